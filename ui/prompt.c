/*
 * The input line: GNU readline in callback mode, with its own display on the real terminal.
 *
 * In front of readline stands a small input layer, because readline itself would block in the middle of a paste that comes in several
 * reads. It takes raw bytes from the terminal and does three things: a bracketed paste is collected whole and inserted as data; so is
 * all that comes within BURST_MS after a paste (an end marker may be forged, and a newline behind it must not send anything); the
 * interrupt and suspend characters are taken out, in their place between the other keys. Everything else is readline's, and so are the
 * user's inputrc, bindings, undo and history keys.
 *
 * The terminal is in our mode from prompt_open to prompt_close (readline's own preparation at each line is switched off), so keys typed
 * while an answer runs are neither echoed nor lost. Hidden means: readline works on, with no echo and a display function that does nothing.
 *
 * Accepted lines are collected while readline is on the stack and delivered after it has returned, so that a callback may do anything.
 *
 * A long text stands in the line as a label, [paste 1: 214 lines, 9321 characters]; whoever takes the line gets the text itself.
 *
 * The editor of the full screen is the same readline with no display at all: whole keys are put in, its buffer is looked at. It
 * writes to /dev/null, never waits for a byte, and never sees accept-line: Enter is our own command.
 */
#include "config.h"
#include "ui/line.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sane.h"
#include "base/utf8.h"
#include "ui/editor.h"
#include "ui/surface.h"

#define PASTE_BEGIN "\x1b[200~"
#define PASTE_END "\x1b[201~"
#define MARK_LEN 6
#define ESCAPE_MS 25                  /* how long the rest of an escape sequence may take */
#define BURST_MS 100
#define BURST_BYTES 8                 /* more than a hand types at once: the burst goes on */
#define INPUT_MAX ((size_t)64 << 20)  /* a paste */
#define LABEL_FROM 2000               /* bytes of a paste that is shown by a label */
#define WHOLE_MAX 16000               /* bytes, and lines, of another text (history, draft) that stands in the line as it is */
#define WHOLE_LINES 100
#define HISTORY_MAX 2000
#define TOO_LONG "[a paste was left out: it is longer than 64 MB]"

static struct prompt_conf conf;
static bool is_open, shown;
static bool at_end, ended; /* the end of input has come; has been told: what follows is for somebody else */
static volatile sig_atomic_t prepared;
static struct termios saved_tty;
static char *shown_prompt;

/* Input layer. */
static struct buf in = {.max = INPUT_MAX};    /* bytes read and not yet looked at */
static struct buf keys = {.max = INPUT_MAX};  /* bytes for readline */
static size_t keys_at;
static struct buf paste = {.max = INPUT_MAX};
static bool in_paste;
static int64_t burst_until;
static struct utf8_wait burst_tail; /* a character cut by the end of a read */

/* What readline has accepted and nobody has heard of yet. */
static char **lines;
static size_t n_lines;

static struct label {
    char *name, *text;
} *labels;
static size_t n_labels;

/* Set while readline has been told about a resume by prompt_suspend: the SIGCONT that follows needs no second prompt. */
static bool just_resumed;

static const char white[] = " \t\n";

static bool is_editor; /* the editor is open, not the prompt */

/* ---- the terminal's modes ---- */

static bool is_foreground(void)
{
    pid_t group = tcgetpgrp(STDIN_FILENO);
    return group < 0 || group == getpgrp(); /* a terminal that controls nobody is ours */
}

static bool has_paste_mode(void)
{
    const char *v = rl_variable_value("enable-bracketed-paste");
    return v && !strcmp(v, "on") && !term_is_dumb();
}

static void prepare(void)
{
    struct termios t = saved_tty;
    t.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
    t.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR | ISTRIP | INPCK);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    /* These come as keys, in order with the others; VQUIT stays the emergency exit. */
    t.c_cc[VINTR] = t.c_cc[VSUSP] = _POSIX_VDISABLE;
    prepared = has_paste_mode() ? 2 : 1;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
    if (prepared == 2) {
        fputs("\x1b[?2004h", rl_outstream);
        fflush(rl_outstream);
    }
}

void prompt_restore(void)
{
    static const char off[] = "\x1b[0m\x1b[?2004l";
    int was = prepared;
    if (!was)
        return;
    prepared = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &saved_tty);
    if (was == 2 && write(STDOUT_FILENO, off, sizeof off - 1) < 0) {
        /* nothing better can be done */
    }
}

/* Readline prepares the terminal for each line; ours is prepared once. */
static void prepare_nothing(int meta)
{
    (void)meta;
}

static void deprepare_nothing(void)
{
}

/* ---- showing and hiding ---- */

static void display_nothing(void)
{
}

/* Bytes that the first n of the line take on the screen. */
static int shown_at(int n)
{
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    sane_text(&b, rl_line_buffer, (size_t)(n < rl_end ? n : rl_end));
    int len = (int)b.len;
    buf_finish(&b);
    return len;
}

/*
 * Readline draws what stands in its buffer; what must not reach the terminal as it is (bad bytes, characters that reorder or hide text, from
 * a paste or the history) is drawn in its visible form instead.
 */
static void display(void)
{
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    sane_text(&b, rl_line_buffer, (size_t)rl_end);
    if (b.len == (size_t)rl_end && !memcmp(buf_str(&b), rl_line_buffer, b.len)) {
        rl_redisplay();
    } else {
        char *line = rl_line_buffer;
        int point = rl_point, end = rl_end, mark = rl_mark, at = shown_at(rl_point), mark_at = shown_at(rl_mark);
        rl_line_buffer = b.data;
        rl_end = (int)b.len;
        rl_point = at < rl_end ? at : rl_end;
        rl_mark = mark_at < rl_end ? mark_at : rl_end;
        rl_redisplay();
        rl_line_buffer = line;
        rl_point = point;
        rl_end = end;
        rl_mark = mark;
    }
    buf_finish(&b);
}

static void set_shown(bool on)
{
    shown = on;
    rl_tty_set_echoing(on);
    rl_redisplay_function = on ? display : display_nothing;
}

bool prompt_shown(void)
{
    return shown;
}

void prompt_show(const char *text)
{
    if (!is_open)
        return;
    if (shown && !strcmp(shown_prompt, text))
        return;
    ended = false;
    term_status("");
    prompt_hide();
    if (!shown_prompt || strcmp(shown_prompt, text)) {
        free(shown_prompt);
        shown_prompt = mem_strdup(text);
        rl_set_prompt(text);
    }
    set_shown(true);
    rl_on_new_line();
    display();
}

void prompt_hide(void)
{
    if (!shown)
        return;
    if (conf.plain)
        fputs("\n", rl_outstream);
    else
        rl_clear_visible_line();
    fflush(rl_outstream);
    set_shown(false);
}

void prompt_winch(void)
{
    if (!is_open)
        return;
    /* With a display function of another it would draw the prompt once more; this one is drawn over. */
    if (shown)
        rl_redisplay_function = rl_redisplay;
    rl_resize_terminal();
    set_shown(shown);
}

/* ---- text in and out of the line ---- */

/* Only what may stand in a line: valid UTF-8, no control characters but tab and newline; CR LF and CR are newlines. */
static char *clean(const char *s, size_t n)
{
    struct buf good = BUF_INIT(3 * INPUT_MAX), out = BUF_INIT(3 * INPUT_MAX);
    utf8_repair(&good, s, n);
    const char *p = buf_str(&good);
    for (size_t i = 0, len; i < good.len; i += len) {
        uint32_t c = utf8_decode(p + i, good.len - i, &len);
        if (c == '\r') {
            buf_addch(&out, '\n');
            if (i + 1 < good.len && p[i + 1] == '\n')
                len = 2;
        } else if (c == '\t' || c == '\n' || (c >= 0x20 && c != 0x7F && !(c >= 0x80 && c < 0xA0))) {
            buf_add(&out, p + i, len);
        }
    }
    buf_finish(&good);
    return buf_take(&out);
}

/* The text with each label that still stands there replaced by its paste. */
static char *expand(const char *s)
{
    struct buf out = BUF_INIT(4 * INPUT_MAX);
    while (*s) {
        size_t best = n_labels, len = 0;
        if (*s == '[')
            for (size_t i = 0; i < n_labels; i++)
                if (!strncmp(s, labels[i].name, len = strlen(labels[i].name))) {
                    best = i;
                    break;
                }
        if (best < n_labels) {
            buf_addstr(&out, labels[best].text);
            s += len;
        } else {
            buf_addch(&out, *s++);
        }
    }
    return buf_take(&out);
}

/* A label for a text, which it takes. */
static const char *add_label(const char *kind, char *text)
{
    size_t count = 1;
    for (size_t i = 0; i < n_labels; i++)
        if (!strcmp(labels[i].text, text)) {
            free(text);
            return labels[i].name;
        }
    for (const char *p = text; *p; p++)
        count += *p == '\n' && p[1];
    labels = mem_grow(labels, n_labels + 1, sizeof *labels);
    labels[n_labels].name = mem_printf("[%s %zu: %zu line%s, %zu characters]", kind, n_labels + 1, count, count == 1 ? "" : "s",
                                       utf8_count(text, strlen(text)));
    labels[n_labels].text = text;
    return labels[n_labels++].name;
}

/* A whole text for the line; what would flood the screen gets a label. */
static char *fit_line(const char *s)
{
    char *text = clean(s, strlen(s));
    size_t count = 0;
    for (const char *p = text; *p; p++)
        count += *p == '\n';
    return strlen(text) > WHOLE_MAX || count > WHOLE_LINES ? mem_strdup(add_label("text", text)) : text;
}

/* Foreign bytes into the line at the cursor: one step for undo. */
static void insert(const char *s, size_t n)
{
    char *text = clean(s, n);
    if (*text) {
        rl_callback_sigcleanup(); /* a search or a half-typed sequence ends here */
        rl_begin_undo_group();
        if (strlen(text) > LABEL_FROM) {
            rl_insert_text(add_label("paste", text));
            text = NULL;
        } else {
            rl_insert_text(text);
        }
        rl_end_undo_group();
        rl_redisplay_function();
    }
    free(text);
}

void prompt_prefill(const char *text)
{
    if (!is_open)
        return;
    char *good = fit_line(text);
    rl_replace_line(good, 1);
    rl_point = rl_end;
    free(good);
    rl_redisplay_function();
}

char *prompt_draft(void)
{
    return is_open && rl_line_buffer ? expand(rl_line_buffer) : mem_strdup("");
}

void prompt_remember(const char *text)
{
    if (!is_open || !*text)
        return;
    char *good = fit_line(text);
    bool browsing = where_history() != history_length;
    HIST_ENTRY *last = history_length ? history_get(history_base + history_length - 1) : NULL;
    if (!last || strcmp(last->line, good))
        add_history(good);
    if (!browsing)
        using_history();
    free(good);
}

/* ---- readline's functions of ours ---- */

/* A newline in the text instead of its end. */
static int insert_newline(int count, int key)
{
    (void)count;
    (void)key;
    return rl_insert_text("\n") > 0 ? 0 : 1;
}

/* Stands where accept-line was bound: a backslash at the end asks for another line. */
static int accept(int count, int key)
{
    int n = 0;
    while (n < rl_end && rl_line_buffer[rl_end - 1 - n] == '\\')
        n++;
    if (n % 2 == 0)
        return rl_newline(count, key);
    rl_begin_undo_group();
    rl_delete_text(rl_end - 1, rl_end);
    rl_point = rl_end;
    rl_insert_text("\n");
    rl_end_undo_group();
    return 0;
}

static void rebind(Keymap map)
{
    char **seq = rl_invoking_keyseqs_in_map(rl_newline, map);
    for (size_t i = 0; seq && seq[i]; i++) {
        rl_bind_keyseq_in_map(seq[i], accept, map);
        free(seq[i]);
    }
    free(seq);
}

/* Alt-Enter is a newline, unless the inputrc says something else. (What readline has there switches to vi mode, which nobody expects.) */
static void bind_alt_enter(void)
{
    static const char *const seqs[] = {"\\e\\C-m", "\\e\\C-j"}, *const raw[] = {"\x1b\r", "\x1b\n"};
    for (int i = 0; i < 2; i++) {
        rl_command_func_t *f = rl_function_of_keyseq(raw[i], emacs_standard_keymap, NULL);
        if (!f || f == rl_vi_editing_mode)
            rl_bind_keyseq_in_map(seqs[i], insert_newline, emacs_standard_keymap);
    }
}

static void on_line(char *text)
{
    if (text) {
        lines = mem_grow(lines, n_lines + 1, sizeof *lines);
        lines[n_lines++] = text;
    } else {
        at_end = true;
        if (shown)
            fputs("\n", rl_outstream);
        fflush(rl_outstream);
    }
    set_shown(false);
}

static int next_key(FILE *f)
{
    (void)f;
    if (keys_at < keys.len)
        return (unsigned char)keys.data[keys_at++];
    if (is_editor)
        return 7; /* Ctrl-G: what wants more than one whole key is given up */
    /* Readline wants the rest of a sequence at once; it is on its way. */
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    unsigned char c;
    for (;;) {
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return EOF;
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n == 1)
            return c;
        if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return EOF;
    }
}

static int have_key(void)
{
    return keys_at < keys.len;
}

static char **complete_word(const char *word, int start, int end)
{
    (void)end;
    rl_attempted_completion_over = 1; /* never file names on its own */
    if (!conf.complete)
        return NULL;
    char **m = NULL;
    size_t n = 0;
    for (char *w; (w = conf.complete(conf.arg, rl_line_buffer, start, word, (int)n)); n++) {
        m = mem_grow(m, n + 3, sizeof *m);
        m[n + 1] = w;
    }
    if (!n)
        return NULL;
    /* First the longest common beginning; never shorter than the word (matches may differ from it in case). */
    size_t len = strlen(m[1]);
    for (size_t i = 2; i <= n; i++) {
        size_t k = 0;
        while (k < len && m[i][k] == m[1][k])
            k++;
        while (k && ((unsigned char)m[1][k] & 0xC0) == 0x80)
            k--;
        len = k;
    }
    m[0] = n > 1 && len < strlen(word) ? mem_strdup(word) : mem_strndup(m[1], len);
    m[n + 1] = NULL;
    if (n == 1) { /* then readline wants it alone */
        free(m[1]);
        m[1] = NULL;
    }
    size_t l = strlen(m[0]);
    rl_completion_append_character = l && (m[0][l - 1] == '/' || m[0][l - 1] == '=') ? 0 : ' ';
    return m;
}

static void keep_matches(char **m, int n);

static void display_matches(char **m, int n, int longest)
{
    if (is_editor)
        keep_matches(m, n);
    if (!shown)
        return;
    rl_display_match_list(m, n, longest);
    rl_forced_update_display();
}

/* ---- opening and closing ---- */

/* What we speak is UTF-8 whatever the locale says; readline looks at the environment again for each line. */
static void use_utf8(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0 && setlocale(LC_CTYPE, "C.UTF-8"))
        setenv("LC_ALL", "C.UTF-8", 1);
}

/* What the prompt and the editor have in common, before inputrc is read. */
static void set_up(const char *name)
{
    rl_readline_name = name;
    rl_catch_signals = rl_catch_sigwinch = rl_change_environment = 0;
    rl_prep_term_function = prepare_nothing;
    rl_deprep_term_function = deprepare_nothing;
    rl_getc_function = next_key;
    rl_input_available_hook = have_key;
    rl_completion_display_matches_hook = display_matches;
    rl_attempted_completion_function = complete_word;
    rl_basic_word_break_characters = white;
    rl_completer_word_break_characters = white;
    rl_completer_quote_characters = "";
    rl_sort_completion_matches = 0;
    rl_add_funmap_entry("hadal-newline", insert_newline);
    rl_add_funmap_entry("hadal-accept", accept);
    use_utf8();
}

int prompt_open(const struct prompt_conf *c)
{
    if (is_open || tcgetattr(STDIN_FILENO, &saved_tty) < 0)
        return -1;
    conf = *c;
    set_up(c->name);
    rl_instream = stdin;
    rl_outstream = stdout;
    if (c->plain)
        rl_terminal_name = "dumb";
    rl_initialize(); /* with its own display function: it would ask no terminal otherwise */
    set_shown(false);
    rl_variable_bind("page-completions", "off"); /* questions would block */
    rl_completion_query_items = -1;
    if (c->plain)
        rl_variable_bind("bell-style", "none");
    rebind(emacs_standard_keymap);
    rebind(vi_insertion_keymap);
    rebind(vi_movement_keymap);
    bind_alt_enter();
    const char *bind_special = rl_variable_value("bind-tty-special-chars");
    if (bind_special && !strcmp(bind_special, "on"))
        rl_tty_set_default_bindings(rl_get_keymap());
    if (!history_is_stifled())
        stifle_history(HISTORY_MAX);
    is_open = true;
    at_end = ended = in_paste = false;
    burst_until = 0;
    if (is_foreground())
        prepare();
    rl_callback_handler_install("", on_line);
    return 0;
}

/* Frees what the prompt and the editor have in common. */
static void forget(void)
{
    is_open = false;
    buf_finish(&keys);
    keys_at = 0;
    for (size_t i = 0; i < n_labels; i++) {
        free(labels[i].name);
        free(labels[i].text);
    }
    free(labels);
    labels = NULL;
    n_labels = 0;
    while (n_lines)
        free(lines[--n_lines]);
    free(lines);
    lines = NULL;
    clear_history();
}

void prompt_close(void)
{
    if (!is_open)
        return;
    prompt_hide();
    rl_callback_handler_remove();
    prompt_restore();
    buf_finish(&in);
    buf_finish(&paste);
    free(shown_prompt);
    shown_prompt = NULL;
    forget();
}

/* ---- keys ---- */

/* Tells the program of what readline has accepted. */
static void deliver(void)
{
    while (n_lines && is_open) {
        char *raw = lines[0];
        memmove(lines, lines + 1, --n_lines * sizeof *lines);
        char *full = expand(raw);
        free(raw);
        struct buf text = BUF_INIT(12 * INPUT_MAX);
        utf8_repair(&text, full, strlen(full));
        free(full);
        while (text.len && text.data[text.len - 1] == '\n')
            text.data[--text.len] = 0;
        conf.line(conf.arg, buf_take(&text));
        buf_finish(&text);
    }
    if (!n_lines) {
        free(lines);
        lines = NULL;
    }
    if (at_end && is_open) {
        at_end = false;
        ended = true;
        conf.line(conf.arg, NULL);
    }
}

/* The text of the line, remembered; NULL when it is empty or an old entry that was only looked at. */
static char *taken(void)
{
    char *text = prompt_draft();
    HIST_ENTRY *old = current_history();
    if (*text && !(old && !strcmp(old->line, rl_line_buffer))) {
        prompt_remember(text);
        return text;
    }
    free(text);
    return NULL;
}

void prompt_interrupt(void)
{
    if (!is_open)
        return;
    if (!shown) {
        conf.interrupt(conf.arg);
        return;
    }
    rl_callback_sigcleanup();
    if (!rl_end && where_history() == history_length) {
        conf.interrupt(conf.arg);
        return;
    }
    rl_point = rl_end;
    display();
    fputs("^C\n", rl_outstream);
    fflush(rl_outstream);
    set_shown(false);
    char *text[2] = {taken(), NULL};
    bool browsing = where_history() != history_length;
    rl_free_line_state();
    rl_replace_line("", 1);
    using_history();
    if (browsing) { /* the line that was set aside when the history was entered goes the same way */
        rl_maybe_unsave_line();
        text[1] = taken();
        rl_replace_line("", 1);
    }
    for (int i = 0; i < 2; i++) {
        if (text[i] && conf.discard)
            conf.discard(conf.arg, text[i]);
        free(text[i]);
    }
    if (is_open)
        prompt_show(shown_prompt);
}

static void feed(const char *s, size_t n)
{
    buf_reset(&keys);
    keys_at = 0;
    buf_add(&keys, s, n);
    while (keys_at < keys.len && is_open && !ended) {
        rl_callback_read_char();
        deliver();
    }
    buf_reset(&keys);
    keys_at = 0;
}

/* Keys outside of pastes: the characters that are signals elsewhere are taken out. */
static void feed_keys(const char *s, size_t n)
{
    cc_t intr = saved_tty.c_cc[VINTR], susp = saved_tty.c_cc[VSUSP];
    size_t from = 0;
    for (size_t i = 0; i < n && is_open; i++) {
        bool is_intr = intr != _POSIX_VDISABLE && (cc_t)s[i] == intr, is_susp = susp != _POSIX_VDISABLE && (cc_t)s[i] == susp;
        if (!is_intr && !is_susp)
            continue;
        feed(s + from, i - from);
        from = i + 1;
        if (is_open && is_intr)
            prompt_interrupt();
        else if (is_open)
            prompt_suspend();
    }
    if (is_open)
        feed(s + from, n - from);
}

/* Bytes at the end of s that may be the beginning of `mark`. */
static size_t partial(const char *s, size_t n, const char *mark)
{
    for (size_t k = n < MARK_LEN - 1 ? n : MARK_LEN - 1; k > 0; k--)
        if (!memcmp(s + n - k, mark, k))
            return k;
    return 0;
}

static const char *find(const char *s, size_t n, const char *mark)
{
    return memmem(s, n, mark, MARK_LEN);
}

/* The paste is whole. A marker inside it is not text. */
static void end_paste(void)
{
    in_paste = false;
    struct buf out = BUF_INIT(INPUT_MAX);
    const char *s = buf_str(&paste), *hit;
    size_t n = paste.len;
    while ((hit = find(s, n, PASTE_BEGIN))) {
        buf_add(&out, s, (size_t)(hit - s));
        n -= (size_t)(hit - s) + MARK_LEN;
        s = hit + MARK_LEN;
    }
    buf_add(&out, s, n);
    if (buf_over(&paste))
        insert(TOO_LONG, sizeof TOO_LONG - 1);
    else
        insert(buf_str(&out), out.len);
    buf_finish(&out);
    buf_finish(&paste);
    burst_until = clock_mono_us() + BURST_MS * 1000;
}

/* What comes right behind a paste. A character may be cut by the end of what has been read, unless another paste follows. */
static void insert_burst(const char *s, size_t n, bool whole)
{
    struct buf b = BUF_INIT(INPUT_MAX);
    utf8_feed(&burst_tail, s, n, &b);
    if (whole)
        utf8_flush(&burst_tail, &b);
    insert(buf_str(&b), b.len);
    buf_finish(&b);
}

/* Looks at what has been read; `last`: nothing more comes for now. Returns the bytes used. */
static size_t look(const char *s, size_t n, bool last)
{
    const char *mark = in_paste ? PASTE_END : PASTE_BEGIN;
    const char *hit = find(s, n, mark);
    size_t use = hit ? (size_t)(hit - s) : n;
    if (!hit && (in_paste || !last))
        use -= partial(s, n, mark);
    if (in_paste)
        buf_add(&paste, s, use);
    else if (clock_mono_us() < burst_until)
        insert_burst(s, use, hit);
    else
        feed_keys(s, use);
    if (!hit || !is_open)
        return use;
    if (in_paste) {
        end_paste();
    } else {
        in_paste = true;
        buf_reset(&paste);
    }
    return use + MARK_LEN;
}

static bool more_within(int ms)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&p, 1, ms) == 1 && (p.revents & (POLLIN | POLLHUP));
}

void prompt_read(void)
{
    char piece[16384];
    if (!is_open)
        return;
    ssize_t n = read(STDIN_FILENO, piece, sizeof piece);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    just_resumed = false;
    if (n <= 0) {
        at_end = true;
        set_shown(false);
        deliver();
        return;
    }
    if (in_paste && n == 1 && (cc_t)piece[0] == saved_tty.c_cc[VINTR]) {
        end_paste(); /* the way out when no end marker ever comes */
        return;
    }
    int64_t now = clock_mono_us();
    if (now < burst_until && n >= BURST_BYTES)
        burst_until = now + BURST_MS * 1000;
    buf_add(&in, piece, (size_t)n);
    bool last = false;
    while (in.len && is_open) {
        size_t used = look(in.data, in.len, last);
        if (!is_open)
            return;
        buf_drop(&in, used);
        if (used)
            continue;
        /* The beginning of a marker or of an escape sequence, or a key Esc: a moment tells. A paste's end may take as long as it likes. */
        if (in_paste || more_within(ESCAPE_MS))
            return;
        last = true;
    }
}

/* ---- stop and go on ---- */

void prompt_suspend(void)
{
    if (is_open) {
        bool was = shown;
        prompt_hide();
        shown = was; /* so that prompt_resume knows */
        rl_tty_set_echoing(0);
        rl_redisplay_function = display_nothing;
        term_status("");
        prompt_restore();
    }
    struct sigaction stop = {.sa_handler = SIG_DFL}, old;
    sigaction(SIGTSTP, &stop, &old);
    kill(0, SIGTSTP);
    sigaction(SIGTSTP, &old, NULL);
    prompt_resume();
    just_resumed = true;
}

void prompt_resume(void)
{
    if (!is_open || !is_foreground() || just_resumed) {
        just_resumed = false;
        return;
    }
    prepare();
    if (!shown)
        return;
    set_shown(true);
    rl_on_new_line();
    display();
}

/* ---- the editor of the full screen ---- */

static struct editor_conf edit;
static FILE *nowhere;
static int edit_width = 80;
static char **matches;
static size_t n_matches;

static void drop_matches(void)
{
    for (size_t i = 0; i < n_matches; i++)
        free(matches[i]);
    free(matches);
    matches = NULL;
    n_matches = 0;
}

static void keep_matches(char **m, int n)
{
    drop_matches();
    matches = mem_array((size_t)n, sizeof *matches);
    for (; (int)n_matches < n; n_matches++)
        matches[n_matches] = mem_strdup(m[n_matches + 1]);
}

/* The whole text of the box, as it is sent. */
static char *whole_text(void)
{
    struct buf text = BUF_INIT(12 * INPUT_MAX);
    char *full = expand(rl_line_buffer);
    utf8_repair(&text, full, strlen(full));
    free(full);
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = 0;
    return text.len ? buf_take(&text) : (buf_finish(&text), mem_strdup(""));
}

/* Empties the box; what was typed before the history was entered comes back. */
static void empty_box(void)
{
    bool browsing = where_history() != history_length;
    rl_free_line_state();
    rl_replace_line("", 1);
    using_history();
    if (browsing)
        rl_maybe_unsave_line();
    rl_point = rl_end;
    rl_mark = 0;
    if (rl_editing_mode == 0)
        rl_vi_insertion_mode(1, 'i');
}

static int send_box(int count, int key)
{
    (void)count;
    (void)key;
    lines = mem_grow(lines, n_lines + 1, sizeof *lines);
    lines[n_lines++] = whole_text();
    prompt_remember(rl_line_buffer); /* pastes stay labels here */
    empty_box();
    return 0;
}

/* Enter: a backslash in front of the cursor asks for another line. */
static int edit_enter(int count, int key)
{
    int n = 0;
    while (n < rl_point && rl_line_buffer[rl_point - 1 - n] == '\\')
        n++;
    if (n % 2) {
        rl_begin_undo_group();
        rl_delete_text(rl_point - 1, rl_point);
        rl_point--;
        rl_insert_text("\n");
        rl_end_undo_group();
        return 0;
    }
    return edit.enter_newline ? insert_newline(count, key) : send_box(count, key);
}

static int edit_other_enter(int count, int key)
{
    return edit.enter_newline ? send_box(count, key) : insert_newline(count, key);
}

/* ---- by grapheme ---- */

static size_t step_right(size_t at)
{
    int columns;
    return (int)at < rl_end ? at + text_cluster(rl_line_buffer + at, (size_t)rl_end - at, &columns) : at;
}

/* Clusters are found from the start of the line they stand in. */
static size_t step_left(size_t at)
{
    size_t from = at ? at - 1 : 0, before = 0;
    while (from && rl_line_buffer[from - 1] != '\n')
        from--;
    for (before = from; from < at;) {
        before = from;
        from = step_right(from);
    }
    return before;
}

static int edit_forward(int count, int key)
{
    bool vi = rl_editing_mode == 0 && rl_get_keymap() == vi_movement_keymap && !RL_ISSTATE(RL_STATE_VIMOTION);
    (void)key;
    for (; count > 0; count--) {
        size_t to = step_right((size_t)rl_point);
        if (vi && (int)to >= rl_end)
            break; /* the cursor stands on a character */
        rl_point = (int)to;
    }
    for (; count < 0; count++)
        rl_point = (int)step_left((size_t)rl_point);
    return 0;
}

static int edit_backward(int count, int key)
{
    return edit_forward(-count, key);
}

static int cut(size_t from, size_t to)
{
    if (from == to)
        return rl_ding();
    if (rl_explicit_arg)
        rl_kill_text((int)from, (int)to);
    else
        rl_delete_text((int)from, (int)to);
    rl_point = (int)from;
    return 0;
}

static int edit_delete(int count, int key)
{
    size_t to = (size_t)rl_point;
    (void)key;
    for (int i = 0; i < count; i++)
        to = step_right(to);
    return cut((size_t)rl_point, to);
}

static int edit_rubout(int count, int key)
{
    size_t from = (size_t)rl_point;
    (void)key;
    for (int i = 0; i < count; i++)
        from = step_left(from);
    return cut(from, (size_t)rl_point);
}

/* ---- by row ---- */

static int edit_up(int count, int key);
static int edit_down(int count, int key);

static int edit_vertical(int by, int key, rl_command_func_t *beyond)
{
    static int wanted; /* the column where a run of these began; -1: begins */
    struct edit_rows r;
    edit_layout(&r, rl_line_buffer, (size_t)rl_end, (size_t)rl_point, edit_width);
    if (wanted < 0 || (rl_last_func != edit_up && rl_last_func != edit_down))
        wanted = r.x;
    size_t y = r.y + (size_t)by;
    bool out = by < 0 ? r.y == 0 : r.y + 1 >= r.n;
    if (!out)
        rl_point = (int)edit_row_byte(&r, rl_line_buffer, y, wanted);
    edit_rows_finish(&r);
    if (!out)
        return 0;
    wanted = -1;
    return beyond(1, key);
}

static int edit_up(int count, int key)
{
    (void)count;
    return edit_vertical(-1, key, rl_get_previous_history);
}

static int edit_down(int count, int key)
{
    (void)count;
    return edit_vertical(1, key, rl_get_next_history);
}

/* ---- commands of the program ---- */

static const struct editor_command commands[] = {
#define X(id, name, keys, key, help) {name, key, help},
    EDITOR_COMMANDS
#undef X
    {NULL, NULL, NULL},
};
static const char *asked[16]; /* commands that readline has called, until it is off the stack */
static int n_asked;

static int ask(const char *name)
{
    if (n_asked < (int)(sizeof asked / sizeof *asked))
        asked[n_asked++] = name;
    return 0;
}

#define X(id, name, keys, key, help) \
    static int command_##id(int count, int k) \
    { \
        (void)count; \
        (void)k; \
        return ask(name); \
    }
EDITOR_COMMANDS
#undef X

static const struct {
    const char *seq;
    rl_command_func_t *run;
} command_keys[] = {
#define X(id, name, keys, key, help) {keys, command_##id},
    EDITOR_COMMANDS
#undef X
};

const struct editor_command *editor_command_at(int i)
{
    int n = (int)(sizeof commands / sizeof *commands) - 1;
    return i >= 0 && i < n ? &commands[i] : NULL;
}

/* Wherever `old` is bound, `mine` is. */
static void take_over(rl_command_func_t *old, rl_command_func_t *mine)
{
    Keymap maps[] = {emacs_standard_keymap, vi_insertion_keymap, vi_movement_keymap};
    for (size_t m = 0; m < sizeof maps / sizeof *maps; m++) {
        char **seq = rl_invoking_keyseqs_in_map(old, maps[m]);
        for (size_t i = 0; seq && seq[i]; i++) {
            rl_bind_keyseq_in_map(seq[i], mine, maps[m]);
            free(seq[i]);
        }
        free(seq);
    }
}

static void bind_free(const char *seq, rl_command_func_t *f)
{
    rl_bind_keyseq_if_unbound_in_map(seq, f, emacs_standard_keymap);
    rl_bind_keyseq_if_unbound_in_map(seq, f, vi_insertion_keymap);
}

static void bind_editor(void)
{
    static const struct {
        const char *seq;
        rl_command_func_t *f;
    } more[] = {
        {"\\e[3~", rl_delete}, {"\\e[1~", rl_beg_of_line}, {"\\e[7~", rl_beg_of_line}, {"\\e[H", rl_beg_of_line}, {"\\eOH", rl_beg_of_line},
        {"\\e[4~", rl_end_of_line}, {"\\e[8~", rl_end_of_line}, {"\\e[F", rl_end_of_line}, {"\\eOF", rl_end_of_line},
        {"\\e[1;5C", rl_forward_word}, {"\\e[1;3C", rl_forward_word}, {"\\e[1;5D", rl_backward_word}, {"\\e[1;3D", rl_backward_word},
    };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        bind_free(more[i].seq, more[i].f);
    /* C-j is a new line, if inputrc has nothing else for it. */
    Keymap maps[] = {emacs_standard_keymap, vi_insertion_keymap};
    for (int i = 0; i < 2; i++)
        if (rl_function_of_keyseq("\n", maps[i], NULL) == rl_newline)
            rl_bind_keyseq_in_map("\\C-j", insert_newline, maps[i]);
    bind_alt_enter();
    take_over(rl_newline, edit_enter);
    if (edit.enter_newline)
        take_over(insert_newline, edit_other_enter);
    take_over(rl_forward_char, edit_forward);
    take_over(rl_backward_char, edit_backward);
    take_over(rl_delete, edit_delete);
    take_over(rl_rubout, edit_rubout);
    take_over(rl_get_previous_history, edit_up);
    take_over(rl_get_next_history, edit_down);
    for (size_t i = 0; i < sizeof command_keys / sizeof *command_keys; i++)
        if (*command_keys[i].seq)
            bind_free(command_keys[i].seq, command_keys[i].run);
}

int editor_open(const struct editor_conf *c)
{
    if (is_open || !(nowhere = fopen("/dev/null", "r+")))
        return -1;
    edit = *c;
    conf = (struct prompt_conf){.arg = c->arg, .complete = c->complete};
    set_up("hadal");
    rl_instream = rl_outstream = nowhere;
    rl_redisplay_function = display_nothing;
    for (size_t i = 0; i < sizeof command_keys / sizeof *command_keys; i++) {
        char *name = mem_printf("hadal-%s", commands[i].name);
        rl_add_funmap_entry(name, command_keys[i].run); /* kept by readline */
    }
    rl_variable_bind("show-all-if-ambiguous", "on"); /* inputrc may say otherwise */
    rl_initialize();
    rl_tty_set_echoing(0);
    rl_variable_bind("page-completions", "off");
    rl_variable_bind("bell-style", "none");
    rl_completion_query_items = -1;
    bind_editor();
    unstifle_history();
    is_open = is_editor = true;
    at_end = false;
    n_asked = 0;
    rl_callback_handler_install("", on_line);
    rl_redisplay_function = display_nothing;
    return 0;
}

void editor_close(void)
{
    if (!is_editor)
        return;
    rl_callback_handler_remove();
    drop_matches();
    forget();
    is_editor = false;
    rl_instream = rl_outstream = NULL;
    fclose(nowhere);
    nowhere = NULL;
}

void editor_width(int columns)
{
    edit_width = columns > 1 ? columns : 1;
}

/* What readline has asked for, now that it is off the stack. */
static void serve(void)
{
    while (n_lines && is_editor) {
        char *text = lines[0];
        memmove(lines, lines + 1, --n_lines * sizeof *lines);
        edit.submit(edit.arg, text);
    }
    for (int i = 0; i < n_asked && is_editor; i++)
        edit.command(edit.arg, asked[i]);
    n_asked = 0;
    if (at_end && is_editor) {
        at_end = false;
        edit.eof(edit.arg);
    }
}

void editor_key(const struct input_event *e)
{
    if (!is_editor || !e->n_bytes)
        return;
    drop_matches();
    if (e->burst && key_in(e, "Enter C-j")) { /* a newline right behind a paste sends nothing */
        editor_paste("\n", 1);
        return;
    }
    /* A sequence that means nothing to readline would leave its tail in the text. */
    int type = ISKMAP;
    if (e->n_bytes > 2 && (e->bytes[1] == '[' || e->bytes[1] == 'O') && e->bytes[0] == '\x1b' &&
        (!rl_function_of_keyseq_len(e->bytes, e->n_bytes, rl_get_keymap(), &type) || type == ISKMAP))
        return;
    buf_reset(&keys);
    keys_at = 0;
    buf_add(&keys, e->bytes, e->n_bytes);
    while (keys_at < keys.len)
        rl_callback_read_char();
    buf_reset(&keys);
    keys_at = 0;
    serve();
}

void editor_paste(const char *s, size_t n)
{
    if (!is_editor)
        return;
    drop_matches();
    insert(s, n);
}

bool editor_wants_escape(void)
{
    if (RL_ISSTATE(RL_STATE_ISEARCH | RL_STATE_NSEARCH | RL_STATE_MULTIKEY | RL_STATE_NUMERICARG | RL_STATE_VIMOTION | RL_STATE_CHARSEARCH))
        return true;
    return rl_editing_mode == 0 && rl_get_keymap() != vi_movement_keymap;
}

char *editor_stash(void)
{
    rl_callback_sigcleanup();
    drop_matches();
    bool browsing = where_history() != history_length;
    HIST_ENTRY *old = current_history();
    char *text = NULL;
    if (rl_end && !(browsing && old && !strcmp(old->line, rl_line_buffer))) {
        text = whole_text();
        prompt_remember(rl_line_buffer);
    } else if (!rl_end && !browsing) {
        return NULL;
    }
    empty_box();
    return text ? text : mem_strdup("");
}

void editor_open_labels(void)
{
    char *full = expand(rl_line_buffer);
    if (strcmp(full, rl_line_buffer) != 0) {
        rl_begin_undo_group();
        rl_delete_text(0, rl_end);
        rl_point = 0;
        rl_insert_text(full);
        rl_end_undo_group();
    }
    free(full);
}

void editor_look(struct editor_view *v)
{
    bool message = RL_ISSTATE(RL_STATE_ISEARCH | RL_STATE_NSEARCH | RL_STATE_NUMERICARG);
    *v = (struct editor_view){.text = rl_line_buffer ? rl_line_buffer : "", .n = (size_t)rl_end, .at = (size_t)rl_point,
                              .prompt = message && rl_display_prompt ? rl_display_prompt : "", .matches = matches, .n_matches = n_matches,
                              .vi = rl_editing_mode == 0, .vi_command = rl_editing_mode == 0 && rl_get_keymap() == vi_movement_keymap,
                              .prefix = RL_ISSTATE(RL_STATE_MULTIKEY)};
}

const char *prompt_library(void)
{
    static char text[32];
    snprintf(text, sizeof text, "readline %s", rl_library_version);
    return text;
}
