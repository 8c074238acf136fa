/*
 * The input line on a pseudo-terminal. A child runs a small face around it; what its callbacks hear comes back over a pipe, one
 * event a line: "L text", "E" (end of input), "I" (interrupt), "D text" (discarded), with newline, backslash and bytes below space as \xHH. The parent plays the person.
 * Lines that the face takes as orders: "hide" hides the prompt until "show" (both typed), "draft" tells what stands in the line 0.2 s later, "fill" prefills.
 */
#include "config.h"
#include "tests/t.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ui/line.h"

/* ---- the child ---- */
static int events;
static bool quit, hidden;

static void tell(char what, const char *s)
{
    struct buf b = BUF_INIT(1 << 24);
    buf_addf(&b, "%c ", what);
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == '\\' || *s == 0x7F)
            buf_addf(&b, "\\x%02x", (unsigned)*s);
        else
            buf_addch(&b, *s);
    buf_addch(&b, '\n');
    for (size_t at = 0; at < b.len;) {
        ssize_t n = write(events, b.data + at, b.len - at);
        if (n <= 0)
            _exit(99);
        at += (size_t)n;
    }
    buf_finish(&b);
}

static void on_line(void *arg, char *text)
{
    (void)arg;
    if (!text) {
        tell('E', "");
        quit = true;
        return;
    }
    tell('L', text);
    prompt_remember(text);
    if (!strcmp(text, "hide"))
        hidden = true;
    else if (!strcmp(text, "show"))
        hidden = false;
    else if (!strcmp(text, "fill"))
        prompt_prefill("one\ntwo \x1b[2J\xc2\x9b\xc3\xa4\xe2\x80\xae");
    if (!hidden)
        prompt_show("you> ");
    free(text);
}

static void on_interrupt(void *arg)
{
    (void)arg;
    char *d = prompt_draft();
    tell('I', d);
    free(d);
}

static void on_discard(void *arg, const char *text)
{
    (void)arg;
    tell('D', text);
}

static char *on_complete(void *arg, const char *line, int start, const char *word, int i)
{
    static const char *const all[] = {"/help", "/hello", "/quit", "x\xc3\xa4y", "x\xc3\xb6y", "dir/"};
    (void)arg;
    if (start > 0 && strncmp(line, "/open", 5) != 0)
        return NULL;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        if (!strncmp(all[k], word, strlen(word)) && i-- == 0)
            return mem_strdup(all[k]);
    return NULL;
}

static volatile sig_atomic_t got_winch, got_usr1;
static void on_signal(int sig)
{
    if (sig == SIGWINCH)
        got_winch = 1;
    else
        got_usr1 = 1;
}

static void child(bool plain)
{
    struct prompt_conf c = {.name = "hadal", .plain = plain, .line = on_line, .interrupt = on_interrupt, .discard = on_discard, .complete = on_complete};
    signal(SIGWINCH, on_signal);
    signal(SIGUSR1, on_signal);
    if (prompt_open(&c) < 0)
        _exit(98);
    prompt_remember("older");
    prompt_remember("first\nsecond");
    prompt_show("you> ");
    while (!quit) {
        struct pollfd p = {.fd = 0, .events = POLLIN};
        if (poll(&p, 1, -1) == 1)
            prompt_read();
        if (got_winch) {
            got_winch = 0;
            prompt_winch();
        }
        if (got_usr1) { /* the draft, and answer text above the line */
            got_usr1 = 0;
            char *d = prompt_draft();
            tell('T', d);
            free(d);
            bool was = prompt_shown();
            prompt_hide();
            term_say(TERM_OUT, "answer\n");
            if (was)
                prompt_show("you> ");
        }
    }
    prompt_close();
    _exit(0);
}

/* ---- the parent ---- */
struct person {
    pid_t pid;
    int tty, events;
    struct buf screen, heard; /* since the last look */
    struct termios before;
};

static char inputrc[] = "/tmp/hadal-inputrc-XXXXXX";

static void start(struct person *p, const char *rc, const char *term, bool plain)
{
    int fd[2];
    struct winsize w = {.ws_row = 24, .ws_col = 80};
    int rcfd = open(inputrc, O_WRONLY | O_TRUNC);
    assert_int_equal(write(rcfd, rc, strlen(rc)), strlen(rc));
    close(rcfd);
    assert_int_equal(pipe(fd), 0);
    *p = (struct person){.screen = BUF_INIT(1 << 26), .heard = BUF_INIT(1 << 26)};
    int go[2]; /* closed when the terminal's modes are known */
    assert_int_equal(pipe(go), 0);
    p->pid = forkpty(&p->tty, NULL, NULL, &w);
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        char c;
        close(go[1]);
        if (read(go[0], &c, 1))
            _exit(1);
        close(go[0]);
        close(fd[0]);
        events = fd[1];
        setenv("INPUTRC", inputrc, 1);
        setenv("TERM", term, 1);
        setenv("LC_ALL", "C", 1); /* UTF-8 all the same */
        child(plain);
    }
    close(fd[1]);
    p->events = fd[0];
    tcgetattr(p->tty, &p->before);
    close(go[0]);
    close(go[1]);
}

/* Reads both for up to ms, until `want` stands in b (NULL: until quiet). */
static bool wait_for(struct person *p, struct buf *b, const char *want, int ms)
{
    int64_t end = clock_mono_us() + ms * 1000;
    for (;;) {
        if (want && b->len && memmem(b->data, b->len, want, strlen(want)))
            return true;
        struct pollfd f[2] = {{.fd = p->tty, .events = POLLIN}, {.fd = p->events, .events = POLLIN}};
        int left = (int)((end - clock_mono_us()) / 1000);
        if (left <= 0 || poll(f, 2, left) <= 0)
            return false;
        char piece[65536];
        ssize_t a = f[0].revents ? read(p->tty, piece, sizeof piece) : 0;
        if (a > 0)
            buf_add(&p->screen, piece, (size_t)a);
        ssize_t e = f[1].revents ? read(p->events, piece, sizeof piece) : 0;
        if (e > 0)
            buf_add(&p->heard, piece, (size_t)e);
        if (a <= 0 && e <= 0)
            return false;
    }
}

static void type_n(struct person *p, const char *s, size_t n)
{
    while (n) {
        ssize_t k = write(p->tty, s, n < 512 ? n : 512);
        assert_true(k > 0);
        s += k;
        n -= (size_t)k;
        if (n)
            wait_for(p, &p->screen, NULL, 0);
    }
}

static void type(struct person *p, const char *s)
{
    type_n(p, s, strlen(s));
}

static void hear(struct person *p, const char *want)
{
    char line[4096];
    snprintf(line, sizeof line, "%s\n", want);
    if (!wait_for(p, &p->heard, line, 5000)) {
        fprintf(stderr, "wanted %s, heard: %s\nscreen: %s\n", want, buf_str(&p->heard), buf_str(&p->screen));
        fail();
    }
    /* In order: nothing else came before it. */
    if (strncmp(buf_str(&p->heard), line, strlen(line))) {
        fprintf(stderr, "wanted %s first, heard: %s\n", want, buf_str(&p->heard));
        fail();
    }
    buf_drop(&p->heard, strlen(line));
}

/* Nothing is heard for a while. */
static void hear_nothing(struct person *p)
{
    wait_for(p, &p->heard, "\n", 250);
    assert_string_equal(buf_str(&p->heard), "");
}

static void see(struct person *p, const char *want)
{
    if (!wait_for(p, &p->screen, want, 5000)) {
        fprintf(stderr, "wanted on screen: %s\nscreen: %s\n", want, buf_str(&p->screen));
        fail();
    }
    char *at = memmem(p->screen.data, p->screen.len, want, strlen(want));
    buf_drop(&p->screen, (size_t)(at - p->screen.data) + strlen(want));
}

static void leave(struct person *p)
{
    type(p, "\x04");
    hear(p, "E ");
    int status;
    while (wait_for(p, &p->screen, NULL, 200)) {
    }
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct termios after;
    tcgetattr(p->tty, &after);
    assert_int_equal(after.c_lflag, p->before.c_lflag);
    assert_int_equal(after.c_iflag, p->before.c_iflag);
    assert_memory_equal(after.c_cc, p->before.c_cc, sizeof after.c_cc);
    close(p->tty);
    close(p->events);
    buf_finish(&p->screen);
    buf_finish(&p->heard);
}

static void t_typing(void **state)
{
    (void)state;
    struct person p;
    start(&p, "", "xterm", false);
    see(&p, "you> ");
    type(&p, "hello\r");
    hear(&p, "L hello");
    type(&p, "a\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x98\x80\x7f\x7fx\r"); /* two characters deleted */
    hear(&p, "L a\xc3\xa4x");
    type(&p, "b\xe6");
    type(&p, "\xbc\xa2" "c\x1b[D\x1b[Dd\r"); /* cut in a character; then two to the left */
    hear(&p, "L bd\xe6\xbc\xa2" "c");
    type(&p, "\r");
    hear(&p, "L ");
    type(&p, "bad \xff byte\r");
    hear(&p, "L bad \xef\xbf\xbd byte");
    leave(&p);
}

static void t_multi_line(void **state)
{
    (void)state;
    struct person p;
    start(&p, "", "xterm", false);
    type(&p, "one\\\rtwo\\\\\r");
    hear(&p, "L one\\x0atwo\\x5c\\x5c");
    type(&p, "one\x1b\rtwo\r"); /* Alt-Enter */
    hear(&p, "L one\\x0atwo");
    leave(&p);
}

static void t_paste(void **state)
{
    (void)state;
    struct person p;
    start(&p, "", "xterm", false);
    see(&p, "\x1b[?2004h");
    type(&p, "say \x1b[200~a\r\nb\tc\x03\x04\x1b[31m\xc2\x9b\x7f\rd\n\x1b[201~\r"); /* with a newline in the same read */
    hear_nothing(&p);
    type(&p, "!\r");
    hear(&p, "L say a\\x0ab\\x09c[31m\\x0ad\\x0a\\x0a!");
    /* Cut anywhere, the end mark too; halves and a nested mark. */
    const char *s = "\x1b[200~x\x1b[20y\x1b[200~z\n\xc3\xa4\x1b[201~";
    for (size_t i = 0; i < strlen(s); i++) {
        type_n(&p, s + i, 1);
        usleep(3000);
    }
    usleep(150000);
    type(&p, "w\r");
    hear(&p, "L x[20yz\\x0a\xc3\xa4w");
    /* A forged end: what follows in the same burst is data. */
    type(&p, "\x1b[200~a\x1b[201~\rrm -rf\r\x0f\x04\x1b[201~\r");
    hear_nothing(&p);
    type(&p, "\r");
    hear(&p, "L a\\x0arm -rf\\x0a[201~");
    /* A paste without an end: Ctrl-C alone ends it. */
    type(&p, "\x1b[200~open");
    usleep(20000);
    type(&p, "\r");
    usleep(20000);
    type(&p, "\x03");
    usleep(200000);
    type(&p, "\r");
    hear(&p, "L open");
    /* One undo takes the whole paste. */
    type(&p, "k\x1b[200~one two\x1b[201~");
    usleep(150000);
    type(&p, "\x1f\r");
    hear(&p, "L k");
    leave(&p);
}

static void t_big_paste(void **state)
{
    (void)state;
    struct person p;
    start(&p, "", "xterm", false);
    struct buf b = BUF_INIT(1 << 24), want = BUF_INIT(1 << 24);
    buf_addstr(&b, "see \x1b[200~");
    buf_addstr(&want, "L see ");
    for (int i = 0; i < 40000; i++) {
        buf_addf(&b, "line %d \xe6\xbc\xa2\n", i);
        buf_addf(&want, "line %d \xe6\xbc\xa2\\x0a", i);
    }
    buf_addstr(&b, "\x1b[201~");
    int64_t t = clock_mono_us();
    type_n(&p, b.data, b.len);
    see(&p, "[paste 1: 40000 lines");
    assert_true(clock_mono_us() - t < 5000000);
    usleep(150000);
    type(&p, " ok\r");
    buf_addstr(&want, " ok\n");
    assert_true(wait_for(&p, &p.heard, "ok\n", 5000));
    assert_string_equal(buf_str(&p.heard), buf_str(&want));
    /* Up brings it back, not line by line. */
    buf_reset(&p.heard);
    buf_reset(&p.screen);
    type(&p, "\x1b[A");
    see(&p, "[text 2: 40001 lines");
    type(&p, "\r");
    assert_true(wait_for(&p, &p.heard, "ok\n", 5000));
    assert_string_equal(buf_str(&p.heard), buf_str(&want));
    buf_reset(&p.heard);
    buf_finish(&b);
    buf_finish(&want);
    leave(&p);
}

static void t_interrupt(void **state)
{
    (void)state;
    struct person p;
    start(&p, "", "xterm", false);
    see(&p, "you> "); /* until then Ctrl-C is the kernel's */
    type(&p, "\x03");
    hear(&p, "I ");
    type(&p, "a draft\x03");
    hear(&p, "D a draft");
    type(&p, "\x1b[A\r"); /* it can be had again */
    hear(&p, "L a draft");
    /* A draft, then the history: Ctrl-C there keeps the draft, and an entry that was only looked at is not told again. */
    type(&p, "mine\x1b[A\x03");
    hear(&p, "D mine");
    type(&p, "\x1b[A\r");
    hear(&p, "L mine");
    /* Out of a search, a half-typed key, an argument. */
    type(&p, "\x12old\x03\x03");
    wait_for(&p, &p.heard, "I", 2000);
    buf_reset(&p.heard);
    type(&p, "\x1b");
    usleep(60000);
    type(&p, "\x03");
    hear(&p, "I ");
    type(&p, "after\r");
    hear(&p, "L after");
    leave(&p);
}

static void t_history(void **state)
{
    (void)state;
    struct person p;
    start(&p, "", "xterm", false);
    type(&p, "\x1b[A\r");
    hear(&p, "L first\\x0asecond"); /* one entry */
    type(&p, "\x10\x10\r");
    hear(&p, "L older");
    type(&p, "dra\x10\x0e" "ft\r"); /* up, down: the draft is there */
    hear(&p, "L draft");
    type(&p, "\x10" "s\r"); /* an entry that is changed and sent stays as it was */
    hear(&p, "L drafts");
    type(&p, "\x10\x10\r");
    hear(&p, "L draft");
    type(&p, "\x12" "firs\r");
    hear(&p, "L first\\x0asecond");
    leave(&p);
}

static void t_hidden(void **state)
{
    (void)state;
    struct person p;
    start(&p, "", "xterm", false);
    type(&p, "hide\r");
    hear(&p, "L hide");
    wait_for(&p, &p.screen, NULL, 100);
    buf_reset(&p.screen);
    type(&p, "secret words\x1b[D\x7f" "e\t\x1b[200~\nlast\x1b[201~");
    usleep(150000);
    kill(p.pid, SIGUSR1);
    hear(&p, "T secret wore\\x0alasts");
    type(&p, "\x03"); /* the line stays */
    hear(&p, "I secret wore\\x0alasts");
    type(&p, "\rnext\r");
    hear(&p, "L secret wore\\x0alasts");
    hear(&p, "L next");
    type(&p, "\x0f\x0ftail"); /* operate-and-get-next takes lines too */
    hear(&p, "L ");
    hear(&p, "L ");
    wait_for(&p, &p.screen, "never", 100);
    assert_string_equal(buf_str(&p.screen), "answer\r\n"); /* not a key was seen */
    type(&p, "\x15show\r");
    hear(&p, "L show");
    see(&p, "you> ");
    type(&p, "hide\rabc");
    hear(&p, "L hide");
    kill(p.pid, SIGUSR1);
    hear(&p, "T abc");
    type(&p, "\x15show\rtyped ahead");
    hear(&p, "L show");
    see(&p, "you> typed ahead");
    /* Output above a line that is being typed. */
    kill(p.pid, SIGUSR1);
    hear(&p, "T typed ahead");
    see(&p, "\x1b[K\ranswer\r\nyou> typed ahead");
    type(&p, "\r");
    hear(&p, "L typed ahead");
    leave(&p);
}

static void t_prefill(void **state)
{
    (void)state;
    struct person p;
    start(&p, "", "xterm", false);
    type(&p, "fill\r");
    hear(&p, "L fill");
    see(&p, "one\r\n\rtwo [2J\xc3\xa4<U+202E>"); /* no control characters, and what hides is shown */
    type(&p, "!\r");
    hear(&p, "L one\\x0atwo [2J\xc3\xa4\xe2\x80\xae!");
    leave(&p);
}

static void t_completion(void **state)
{
    (void)state;
    struct person p;
    start(&p, "", "xterm", false);
    see(&p, "you> "); /* until then Tab is the kernel's */
    type(&p, "/q\tx\r");
    hear(&p, "L /quit x");
    type(&p, "/he\t\r");
    hear(&p, "L /hel");
    buf_reset(&p.screen);
    type(&p, "/he\t\t\t");
    see(&p, "/help   /hello");
    type(&p, "p\r");
    hear(&p, "L /help");
    type(&p, "x\t\xc3\xa4\t\r"); /* they share half a character: it is not inserted */
    hear(&p, "L x\xc3\xa4y ");
    type(&p, "/open d\tf\r");
    hear(&p, "L /open dir/f");
    type(&p, "word /\t\r"); /* no completion there, no file names either */
    hear(&p, "L word /");
    leave(&p);
}

static void t_inputrc(void **state)
{
    (void)state;
    struct person p;
    start(&p, "$if hadal\n\"\\C-t\": \"macro text\"\n\"\\C-xn\": hadal-newline\n$endif\n\"\\C-o\": accept-line\n", "xterm", false);
    type(&p, "\x14\x18ny\x0f");
    hear(&p, "L macro text\\x0ay");
    leave(&p);
    start(&p, "set editing-mode vi\n", "xterm", false);
    type(&p, "abc\x1b"); /* Esc alone is the key */
    usleep(80000);
    type(&p, "0x\r");
    hear(&p, "L bc");
    type(&p, "de\x1b");
    usleep(80000);
    type(&p, "ia\x1b[A\r"); /* an arrow key is not Esc */
    hear(&p, "L bc");
    leave(&p);
    start(&p, "set enable-bracketed-paste off\n", "xterm", false);
    type(&p, "a\r");
    hear(&p, "L a");
    assert_null(strstr(buf_str(&p.screen), "2004"));
    leave(&p);
}

static void t_signals(void **state)
{
    (void)state;
    struct person p;
    start(&p, "", "xterm", false);
    see(&p, "you> ");
    type(&p, "0123456789012345678901234567890123456789");
    see(&p, "0123456789");
    struct winsize w = {.ws_row = 10, .ws_col = 20};
    ioctl(p.tty, TIOCSWINSZ, &w); /* sends SIGWINCH */
    for (int i = 0; i < 100; i++) {
        w.ws_col = (unsigned short)(10 + i % 50);
        ioctl(p.tty, TIOCSWINSZ, &w);
    }
    type(&p, "!\r");
    hear(&p, "L 0123456789012345678901234567890123456789!");
    /* A session's leader has no shell to go back to, so Ctrl-Z goes on at once, with the prompt again and our modes. */
    buf_reset(&p.screen);
    type(&p, "half\x1a");
    see(&p, "half");
    see(&p, "\x1b[?2004l");
    see(&p, "\x1b[?2004h");
    see(&p, "you> half");
    type(&p, " full\r");
    hear(&p, "L half full");
    leave(&p);
}

/* No escape sequence at all, and a carriage return only before a newline. */
static void t_plain(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct person p;
        start(&p, "", i ? "dumb" : "xterm", i == 0);
        type(&p, "hello w\xc3\xb6rld\r");
        hear(&p, "L hello w\xc3\xb6rld");
        type(&p, "again\r");
        hear(&p, "L again");
        wait_for(&p, &p.screen, "never", 100);
        const char *s = buf_str(&p.screen);
        if (i == 1)
            assert_null(strchr(s, '\x1b'));
        for (const char *q = s; (q = strchr(q, '\x1b')); q++)
            assert_memory_equal(q, "\x1b[?2004h", 8);
        for (const char *q = s; (q = strchr(q, '\r')); q++)
            assert_int_equal(q[1], '\n');
        assert_null(strchr(s, '\b'));
        assert_non_null(strstr(s, "you> hello w\xc3\xb6rld\r\nyou> again\r\nyou> "));
        leave(&p);
    }
}

static void t_no_terminal(void **state)
{
    (void)state;
    int fd[2], status;
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[0], 0);
        struct prompt_conf c = {.name = "hadal"};
        _exit(prompt_open(&c) == -1 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(fd[0]);
    close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t_typing),  cmocka_unit_test(t_multi_line), cmocka_unit_test(t_paste),      cmocka_unit_test(t_big_paste),
        cmocka_unit_test(t_interrupt), cmocka_unit_test(t_history),  cmocka_unit_test(t_hidden),     cmocka_unit_test(t_prefill),
        cmocka_unit_test(t_completion), cmocka_unit_test(t_inputrc), cmocka_unit_test(t_signals),    cmocka_unit_test(t_plain),
        cmocka_unit_test(t_no_terminal),
    };
    close(mkstemp(inputrc));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(inputrc);
    return failed;
}
