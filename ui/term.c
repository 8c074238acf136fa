/*
 * The full screen, by ncursesw. See term.h.
 *
 * Curses gets cells and makes the difference; it reads nothing (no keypad, no getch) and handles no signal (those that stand when it
 * starts, it leaves). What it has no notion of, pastes, focus, links, synchronized output, is written around it, only between its updates.
 *
 * Links (OSC 8) are drawn over what curses drew, with the cursor and its attributes saved and restored, so curses does not notice.
 *
 * The way back is one string, built in advance: term_restore may run in a signal handler at any moment. Two copies exist, `way` tells which
 * one is whole.
 */
#include "config.h"
#include "ui/term.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "ui/line.h"

#define FAREWELL_MAX ((size_t)64 << 10)
#define COPY_MAX ((size_t)74994) /* what xterm takes at most, before base64 */
#define CONGESTED 4096           /* bytes on their way */

extern char **environ;

static SCREEN *screen;
static struct termios saved_tty;
static volatile sig_atomic_t taken, way; /* taken: the terminal is ours */
static char way_back[2][512];
static size_t way_len[2];
static char *farewell[2];
static size_t farewell_len[2];
static volatile sig_atomic_t farewell_at;

static struct surface *shown; /* what curses has been told */
static bool all;              /* draw all of it */
static int rows, cols;
static enum theme wanted, theme;
static bool modern;           /* not of the kind that prints what it does not understand */
static bool colors, links, sync_output, kitty_asked, kitty;
static char *title;
static struct { attr_t attr; short pair; } looks[ROLE_COUNT];

/* ---- bytes past curses ---- */

static void put(const char *s, size_t n)
{
    while (n) {
        ssize_t k = write(STDOUT_FILENO, s, n);
        if (k > 0) {
            s += k;
            n -= (size_t)k;
        } else if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd w = {.fd = STDOUT_FILENO, .events = POLLOUT};
            if (poll(&w, 1, 1000) <= 0)
                return;
        } else if (k == 0 || errno != EINTR) {
            return;
        }
    }
}

static void puts_modern(const char *s)
{
    if (modern)
        put(s, strlen(s));
}

static const char *capability(const char *name)
{
    char *s = tigetstr((char *)(uintptr_t)name);
    return s && s != (char *)-1 ? s : "";
}

/* Delays of terminfo, "$<5>", are for real vt100s and not ours to wait. */
static void add_capability(struct buf *b, const char *s)
{
    for (; *s; s++) {
        const char *end = s[0] == '$' && s[1] == '<' ? strchr(s, '>') : NULL;
        if (end)
            s = end;
        else
            buf_addch(b, *s);
    }
}

static void build_way_back(void)
{
    struct buf b = BUF_INIT(sizeof way_back[0]);
    if (kitty)
        buf_addstr(&b, "\x1b[<u");
    if (modern)
        buf_addf(&b, "%s\x1b[?1004l\x1b[?2004l\x1b[?1007r\x1b[23;2t", sync_output ? "\x1b[?2026l" : "");
    add_capability(&b, capability("sgr0"));
    const char *region = capability("csr"), *place = capability("cup");
    if (*region)
        add_capability(&b, tparm(region, 0, rows - 1));
    add_capability(&b, tparm(place, rows - 1, 0));
    add_capability(&b, capability("el"));
    add_capability(&b, capability("cnorm"));
    add_capability(&b, capability("rmcup"));
    add_capability(&b, capability("rmkx"));
    buf_addstr(&b, "\r");
    int next = !way;
    way_len[next] = buf_over(&b) ? 0 : b.len;
    memcpy(way_back[next], buf_str(&b), way_len[next]);
    way = next;
    buf_finish(&b);
}

static void give_back(bool with_farewell)
{
    if (!taken)
        return;
    taken = 0;
    int at = way, last = farewell_at;
    put(way_back[at], way_len[at]);
    tcsetattr(STDIN_FILENO, TCSANOW, &saved_tty);
    if (with_farewell && farewell_len[last])
        put(farewell[last], farewell_len[last]);
}

void term_restore(void)
{
    give_back(true);
}

void term_farewell(const char *text, size_t n)
{
    int next = !farewell_at;
    if (n > FAREWELL_MAX || !farewell[next])
        return;
    memcpy(farewell[next], text, n);
    farewell_len[next] = n;
    farewell_at = next;
}

/* ---- themes ---- */

static void make_looks(void)
{
    theme = wanted == THEME_AUTO ? (theme == THEME_LIGHT ? THEME_LIGHT : THEME_DARK) : wanted;
    if (!colors)
        theme = THEME_MONO;
    for (int r = 0; r < ROLE_COUNT; r++) {
        struct theme_look l = theme_role(theme, (enum role)r);
        bool few = theme != THEME_MONO && COLORS < 256;
        unsigned char plain = few ? theme_role(THEME_MONO, (enum role)r).flags : 0;
        looks[r].attr = A_NORMAL;
        looks[r].pair = 0;
        if (few && (l.fg8 != -1 || l.bg8 != -1))
            plain &= (unsigned char)~(LOOK_REVERSE | THEME_DIM);
        unsigned char f = l.flags | plain;
        looks[r].attr |= (f & LOOK_BOLD ? A_BOLD : 0) | (f & LOOK_ITALIC ? A_ITALIC : 0) | (f & LOOK_UNDERLINE ? A_UNDERLINE : 0) |
                         (f & LOOK_REVERSE ? A_REVERSE : 0) | (f & THEME_DIM ? A_DIM : 0);
        short fg = few ? l.fg8 : l.fg, bg = few ? l.bg8 : l.bg;
        if (theme != THEME_MONO && (fg != -1 || bg != -1) && init_pair((short)(r + 1), fg, bg) == OK)
            looks[r].pair = (short)(r + 1);
    }
}

void term_theme(enum theme t)
{
    if (!screen || t == wanted)
        return;
    wanted = t;
    make_looks();
    all = true;
}

enum theme term_theme_now(void)
{
    return theme;
}

/* ---- taking the terminal ---- */

static void use_utf8(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

static bool env_is(const char *name)
{
    const char *v = getenv(name);
    return v && *v;
}

static bool begins(const char *s, const char *with)
{
    return !strncmp(s, with, strlen(with));
}

/* What else the terminal can, as far as its environment tells. */
static void look_around(void)
{
    const char *t = getenv("TERM"), *program = getenv("TERM_PROGRAM"), *vte = getenv("VTE_VERSION");
    t = t ? t : "";
    program = program ? program : "";
    modern = !begins(t, "linux") && !begins(t, "vt") && !begins(t, "ansi") && !begins(t, "cons") && !begins(t, "sun") && !begins(t, "hurd");
    links = modern && ((vte && strlen(vte) >= 4 && strcmp(vte, "5000") >= 0) || env_is("KITTY_WINDOW_ID") || env_is("WEZTERM_PANE") ||
                       begins(t, "xterm-kitty") || begins(t, "foot") || begins(t, "alacritty") || begins(t, "xterm-ghostty") ||
                       !strcmp(program, "iTerm.app") || !strcmp(program, "vscode") || !strcmp(program, "ghostty"));
}

static void read_size(void)
{
    struct winsize w;
    rows = LINES;
    cols = COLS;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 && w.ws_col > 0) {
        rows = w.ws_row;
        cols = w.ws_col;
    }
}

static void begin_modes(void)
{
    puts_modern("\x1b[22;2t\x1b[?2004h\x1b[?1004h\x1b[?1007s\x1b[?1007h");
    if (kitty)
        puts_modern("\x1b[>1u");
    if (title) {
        char *name = title;
        title = NULL;
        term_title(name);
        free(name);
    }
}

/* There is such a terminal in the database. (A newterm that fails loses memory.) */
static bool is_known(const char *t)
{
    int error;
    if (!t || !*t || setupterm(t, STDOUT_FILENO, &error) != OK)
        return false;
    del_curterm(cur_term);
    return true;
}

static bool make_screen(void)
{
    const char *names[] = {getenv("TERM"), "xterm-256color"};
    for (int i = 0; i < 2 && !screen; i++)
        if (is_known(names[i]))
            screen = newterm(names[i], stdout, stdin);
    if (screen && *capability("cup"))
        return true;
    if (screen) {
        endwin();
        delscreen(screen);
        screen = NULL;
    }
    return false;
}

int term_open(enum theme want, struct err *err)
{
    if (tcgetattr(STDIN_FILENO, &saved_tty) || !term_is_tty(TERM_OUT))
        return err_set(err, ERR_USAGE, "the full screen needs a terminal");
    use_utf8();
    if (!make_screen()) {
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_tty);
        return err_set(err, ERR_USAGE, "this terminal (%.40s) cannot place its cursor", getenv("TERM") ? getenv("TERM") : "no TERM");
    }
    look_around();
    raw();
    noecho();
    nonl();
    intrflush(stdscr, FALSE);
    typeahead(-1);
    leaveok(stdscr, FALSE);
    idlok(stdscr, TRUE);
    colors = has_colors() && !env_is("NO_COLOR") && start_color() == OK;
    if (colors)
        use_default_colors();
    read_size();
    resizeterm(rows, cols);
    for (int i = 0; i < 2; i++)
        farewell[i] = mem_alloc(FAREWELL_MAX);
    farewell_len[0] = farewell_len[1] = 0;
    shown = surface_create(rows, cols);
    all = true;
    wanted = want;
    theme = THEME_DARK;
    make_looks();
    build_way_back();
    taken = 1;
    refresh();
    begin_modes();
    /* Asked once; what answers is told to term_reply. */
    puts_modern("\x1b]11;?\x1b\\\x1b[?2026$p\x1b[?u\x1b[c");
    kitty_asked = true;
    return 0;
}

void term_close(void)
{
    if (!screen)
        return;
    give_back(true); /* in the place of endwin, which would place the cursor */
    set_term(NULL);
    delscreen(screen);
    screen = NULL;
    surface_destroy(shown);
    shown = NULL;
    for (int i = 0; i < 2; i++) {
        free(farewell[i]);
        farewell[i] = NULL;
    }
    free(title);
    title = NULL;
    kitty = sync_output = false;
}

void term_release(void)
{
    give_back(false);
}

void term_take(void)
{
    if (!screen || taken)
        return;
    read_size();
    resizeterm(rows, cols);
    taken = 1;
    reset_prog_mode();
    struct buf b = BUF_INIT(256);
    add_capability(&b, capability("smcup"));
    put(buf_str(&b), b.len);
    buf_finish(&b);
    clearok(curscr, TRUE);
    refresh();
    begin_modes();
    build_way_back();
    all = true;
}

void term_suspend(void)
{
    struct sigaction stop = {.sa_handler = SIG_DFL}, old;
    term_release();
    sigaction(SIGTSTP, &stop, &old);
    kill(0, SIGTSTP);
    sigaction(SIGTSTP, &old, NULL);
    term_take();
}

void term_continue(void)
{
    struct termios now;
    if (!taken || tcgetattr(STDIN_FILENO, &now) || !(now.c_lflag & ICANON))
        return;
    taken = 0; /* a shell has it put back while we were stopped */
    term_take();
}

void term_size(int *r, int *c)
{
    *r = rows;
    *c = cols;
}

bool term_resized(void)
{
    int r = rows, c = cols;
    read_size();
    if (!screen || (r == rows && c == cols))
        return false;
    resizeterm(rows, cols);
    build_way_back();
    all = true;
    return true;
}

void term_redraw(void)
{
    if (screen)
        clearok(curscr, TRUE);
    all = true;
}

/* ---- showing ---- */

static bool same_cell(const struct cell *a, const struct cell *b)
{
    return a->cp[0] == b->cp[0] && a->cp[1] == b->cp[1] && a->cp[2] == b->cp[2] && a->look.role == b->look.role && a->look.flags == b->look.flags;
}

/* What stands for a character of which curses would think another width: a replacement, of the same columns. */
static void put_cell(int y, int x, const struct cell *c, int width)
{
    wchar_t text[4];
    int n = 0;
    if (wcwidth((wchar_t)c->cp[0]) == width) {
        for (int i = 0; i < 3 && c->cp[i]; i++)
            if (i == 0 || wcwidth((wchar_t)c->cp[i]) == 0)
                text[n++] = (wchar_t)c->cp[i];
    } else {
        text[n++] = 0xFFFD;
    }
    bool stand_in = width == 2 && text[0] == 0xFFFD;
    text[n] = 0;
    unsigned char f = c->look.flags;
    attr_t attr = looks[c->look.role].attr | (f & LOOK_BOLD ? A_BOLD : 0) | (f & LOOK_ITALIC ? A_ITALIC : 0) |
                  (f & LOOK_UNDERLINE ? A_UNDERLINE : 0);
    attr ^= f & LOOK_REVERSE ? A_REVERSE : 0;
    cchar_t out;
    setcchar(&out, text, attr, looks[c->look.role].pair, NULL);
    mvadd_wch(y, x, &out);
    if (stand_in) {
        setcchar(&out, L" ", attr, looks[c->look.role].pair, NULL);
        mvadd_wch(y, x + 1, &out);
    }
}

static const char *url_at(const struct surface *s, int y, int x)
{
    return surface_link_url(s, surface_cell(s, y, x)->look.link);
}

/* Draws a run of cells again, as a link. */
static void put_link(struct buf *b, const struct surface *s, int y, int x, int end)
{
    struct theme_look l = theme_role(theme, (enum role)surface_cell(s, y, x)->look.role);
    const char *url = url_at(s, y, x);
    unsigned char f = l.flags | surface_cell(s, y, x)->look.flags;
    buf_addf(b, "\x1b[%d;%dH\x1b[0", y + 1, x + 1);
    if (f & LOOK_BOLD)
        buf_addstr(b, ";1");
    if (f & LOOK_ITALIC)
        buf_addstr(b, ";3");
    if (f & LOOK_UNDERLINE)
        buf_addstr(b, ";4");
    if (f & LOOK_REVERSE)
        buf_addstr(b, ";7");
    short fg = COLORS < 256 ? l.fg8 : l.fg;
    if (theme != THEME_MONO && fg >= 0)
        buf_addf(b, ";38;5;%d", fg);
    buf_addf(b, "m\x1b]8;;%s\x1b\\", url ? url : "");
    for (; x < end; x++)
        for (int i = 0; i < 3 && surface_cell(s, y, x)->cp[i]; i++) {
            char text[4];
            buf_add(b, text, utf8_encode(surface_cell(s, y, x)->cp[i], text));
        }
    buf_addstr(b, "\x1b]8;;\x1b\\");
}

/* Links that are new, in what has changed. */
static void show_links(const struct surface *s, struct buf *b)
{
    for (int y = 0; y < rows; y++)
        for (int x = 0, end; x < cols; x = end) {
            const char *url = url_at(s, y, x), *before = url_at(shown, y, x);
            bool changed = !same_cell(surface_cell(s, y, x), surface_cell(shown, y, x)) || all;
            end = x + 1;
            if (!url && !before)
                continue;
            changed |= !url || !before || strcmp(url, before) != 0;
            struct look look = surface_cell(s, y, x)->look;
            for (; end < cols; end++) {
                const struct cell *c = surface_cell(s, y, end);
                if (c->look.link != look.link || c->look.role != look.role || c->look.flags != look.flags)
                    break;
                changed |= !same_cell(c, surface_cell(shown, y, end));
            }
            if (changed && (url || before))
                put_link(b, s, y, x, url ? end : x + 1);
        }
}

/* Keeps what is shown, links and all, to compare the next with. */
static void remember(const struct surface *s)
{
    surface_resize(shown, rows, cols);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < cols; x++) {
            struct cell c = *surface_cell(s, y, x);
            const char *url = surface_link_url(s, c.look.link);
            c.look.link = url ? surface_link(shown, url, strlen(url)) : 0;
            surface_set(shown, y, x, &c);
        }
}

static int changed_rows(const struct surface *s)
{
    int n = 0;
    for (int y = 0; y < rows; y++) {
        int x = 0;
        while (x < cols && !all && same_cell(surface_cell(s, y, x), surface_cell(shown, y, x)))
            x++;
        n += x < cols;
    }
    return n;
}

void term_show(const struct surface *s)
{
    int y, x;
    if (!taken)
        return;
    int changed = changed_rows(s);
    for (y = 0; y < rows && changed; y++)
        for (x = 0; x < cols; x++) {
            const struct cell *c = surface_cell(s, y, x);
            bool wide = x + 1 < cols && surface_cell(s, y, x + 1)->cp[0] == 0;
            if (c->cp[0] && (all || !same_cell(c, surface_cell(shown, y, x)) ||
                             (wide && !same_cell(surface_cell(s, y, x + 1), surface_cell(shown, y, x + 1)))))
                put_cell(y, x, c, wide ? 2 : 1);
        }
    surface_get_cursor(s, &y, &x);
    curs_set(y >= 0);
    move(y >= 0 ? y : rows - 1, x >= 0 ? x : cols - 1);
    bool sync_this = sync_output && changed > 2;
    if (sync_this)
        puts_modern("\x1b[?2026h");
    refresh();
    if (links && (changed || all)) {
        struct buf b = BUF_INIT((size_t)4 << 20);
        show_links(s, &b);
        if (b.len) {
            put("\x1b" "7", 2);
            put(b.data, b.len);
            put("\x1b" "8", 2);
        }
        buf_finish(&b);
    }
    if (sync_this)
        puts_modern("\x1b[?2026l");
    if (changed || all)
        remember(s);
    all = false;
}

bool term_congested(void)
{
    int waiting = 0;
    return ioctl(STDOUT_FILENO, TIOCOUTQ, &waiting) == 0 && waiting > CONGESTED;
}

/* ---- what the terminal answers ---- */

bool term_reply(const char *s)
{
    bool is_light;
    if (!strncmp(s, "\x1b[?2026;", 8)) { /* 1, 2: it knows the mode */
        sync_output = s[8] == '1' || s[8] == '2';
        build_way_back();
    } else if (kitty_asked && !kitty && s[0] == '\x1b' && s[1] == '[' && s[2] == '?' && s[strlen(s) - 1] == 'u') {
        kitty = true;
        build_way_back();
        puts_modern("\x1b[>1u");
    } else if (theme_answer(s, &is_light) && colors && wanted == THEME_AUTO && (theme == THEME_LIGHT) != is_light) {
        theme = is_light ? THEME_LIGHT : THEME_DARK;
        make_looks();
        all = true;
        return true;
    }
    return false;
}

/* ---- clipboard, title, notices ---- */

static void base64(struct buf *out, const char *s, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)p[i] << 16 | (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0u);
        buf_addch(out, digits[v >> 18]);
        buf_addch(out, digits[v >> 12 & 63]);
        buf_addch(out, i + 1 < n ? digits[v >> 6 & 63] : '=');
        buf_addch(out, i + 2 < n ? digits[v & 63] : '=');
    }
}

/* tmux takes no OSC 52 of a program by default; its own command does it. */
static bool copy_by_tmux(const char *s, size_t n)
{
    char *const argv[] = {(char *)(uintptr_t) "tmux", (char *)(uintptr_t) "load-buffer", (char *)(uintptr_t) "-w", (char *)(uintptr_t) "-", NULL};
    posix_spawn_file_actions_t files;
    pid_t pid;
    int fd = memfd_create("copy", MFD_CLOEXEC), status = 1;
    if (fd < 0)
        return false;
    for (size_t at = 0; at < n;) {
        ssize_t k = write(fd, s + at, n - at);
        if (k <= 0)
            break;
        at += (size_t)k;
    }
    lseek(fd, 0, SEEK_SET);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    bool ok = posix_spawnp(&pid, "tmux", &files, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&files);
    close(fd);
    if (!ok)
        return false;
    for (int64_t until = clock_mono_us() + 500000; clock_mono_us() < until;) {
        pid_t done = waitpid(pid, &status, WNOHANG);
        if (done == pid || (done < 0 && errno != EINTR))
            return done == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
        poll(NULL, 0, 2);
    }
    return false; /* it hangs; what becomes of it is its own affair */
}

bool term_copy(const char *s, size_t n, char what[120])
{
    if (env_is("TMUX") && copy_by_tmux(s, n)) {
        snprintf(what, 120, "copied %zu bytes to tmux's buffer", n);
        return true;
    }
    if (!modern) {
        snprintf(what, 120, "this terminal takes no copies");
        return false;
    }
    if (n > COPY_MAX) {
        snprintf(what, 120, "not copied: %zu bytes, and terminals take %zu at most", n, COPY_MAX);
        return false;
    }
    struct buf b = BUF_INIT(COPY_MAX * 2);
    buf_addstr(&b, "\x1b]52;c;");
    base64(&b, s, n);
    buf_addstr(&b, "\x1b\\");
    put(b.data, b.len);
    buf_finish(&b);
    snprintf(what, 120, "sent %zu bytes to the terminal's clipboard (OSC 52)", n);
    return true;
}

void term_title(const char *fixed)
{
    if (!modern || (title && !strcmp(title, fixed)))
        return;
    free(title);
    title = mem_strdup(fixed);
    if (!taken)
        return;
    put("\x1b]2;", 4);
    put(fixed, strlen(fixed));
    put("\x1b\\", 2);
}

void term_notify(const char *fixed)
{
    struct buf b = BUF_INIT(1024);
    if (!taken)
        return;
    if (links && !env_is("VTE_VERSION"))
        buf_addf(&b, "\x1b]9;%s\x1b\\", fixed);
    else if (links)
        buf_addf(&b, "\x1b]777;notify;hadal;%s\x1b\\", fixed);
    else
        buf_addch(&b, '\a');
    put(buf_str(&b), b.len);
    buf_finish(&b);
}

const char *term_library(void)
{
    static char text[32];
    const char *v = curses_version(); /* "ncurses 6.4.20221231" */
    size_t n = strcspn(v, ".");
    n += v[n] == '.' ? 1 + strcspn(v + n + 1, ".") : 0;
    snprintf(text, sizeof text, "%.*s", (int)n, v);
    return text;
}
