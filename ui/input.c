/*
 * The input layer. See input.h.
 *
 * Bytes wait in `b` until the event they begin is whole. What is not whole gets a moment: a lone Esc escape_ms, the beginning of a
 * sequence longer, because a paste marker may be cut anywhere and nobody types three bytes of one by hand. When the moment is over the
 * bytes are taken for keys. A paste has no limit of time, only one of size.
 *
 * An end marker may be forged inside of pasted text; so what comes within BURST_US behind one counts as text: characters, Tab and
 * newlines pass (marked `burst`), keys that do something are dropped.
 */
#include "config.h"
#include "ui/input.h"

#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"

#define PASTE_BEGIN "\x1b[200~"
#define PASTE_END "\x1b[201~"
#define MARK_LEN ((size_t)6)
#define BURST_US 100000
#define BURST_BYTES 8      /* more than a hand types at once: the burst goes on */
#define PREFIX_US 100000   /* Esc and one more */
#define SEQUENCE_US 500000 /* more of a sequence */
#define REPLY_MAX 4096     /* a longer one is dropped */
#define PENDING_MAX ((size_t)1 << 20)

struct input {
    struct buf b;
    size_t at;
    int64_t escape_us, last_us, burst_until;
    bool in_paste, dropping; /* dropping: the rest of a reply that is too long */
    struct buf paste;
};

struct input *input_create(int escape_ms)
{
    struct input *in = mem_zalloc(sizeof *in);
    in->b = BUF_INIT(SIZE_MAX / 2);
    in->paste = BUF_INIT(INPUT_PASTE_MAX);
    in->escape_us = (int64_t)escape_ms * 1000;
    return in;
}

void input_destroy(struct input *in)
{
    if (!in)
        return;
    buf_finish(&in->b);
    buf_finish(&in->paste);
    free(in);
}

void input_event_finish(struct input_event *e)
{
    free(e->text);
    *e = (struct input_event){0};
}

bool key_is(const struct input_event *e, const char *name)
{
    return e->kind == INPUT_KEY && !strcmp(e->name, name);
}

bool key_in(const struct input_event *e, const char *names)
{
    const char *name = !strcmp(e->name, " ") ? "Space" : e->name;
    size_t len = strlen(name);
    if (e->kind != INPUT_KEY || !len)
        return false;
    for (const char *p = names; *p;) {
        size_t n = strcspn(p, " ");
        if (n == len && !memcmp(p, name, n))
            return true;
        p += n + (p[n] == ' ');
    }
    return false;
}

void input_feed(struct input *in, const char *s, size_t n, int64_t now)
{
    buf_drop(&in->b, in->at);
    in->at = 0;
    if (now < in->burst_until && n >= BURST_BYTES)
        in->burst_until = now + BURST_US;
    in->last_us = now;
    if (in->in_paste && n == 1 && s[0] == 3) /* Ctrl-C: the way out when no end marker ever comes */
        buf_add(&in->b, PASTE_END, MARK_LEN);
    else
        buf_add(&in->b, s, n);
}

size_t input_pasting(const struct input *in)
{
    return in->in_paste ? in->paste.len + 1 : 0;
}

/* ---- names ---- */

static void set_name(struct input_event *e, int mods, const char *name)
{
    snprintf(e->name, sizeof e->name, "%s%s%s%s", mods & 4 ? "C-" : "", mods & 2 ? "M-" : "", mods & 1 ? "S-" : "", name);
}

static void set_bytes(struct input_event *e, const char *s, size_t n)
{
    e->n_bytes = n < sizeof e->bytes ? n : 0;
    memcpy(e->bytes, s, e->n_bytes);
}

/* One character or control byte without an Esc in front; `mods` says whether one was there. */
static void name_char(struct input_event *e, int mods, uint32_t cp)
{
    char text[8] = "";
    switch (cp) {
    case '\r': set_name(e, mods, "Enter"); return;
    case '\t': set_name(e, mods, "Tab"); return;
    case 0x1b: set_name(e, mods, "Esc"); return;
    case 0x7f: set_name(e, mods, "Backspace"); return;
    default: break;
    }
    if (cp < 0x20) {
        text[0] = (char)(cp == 0 ? '@' : cp <= 26 ? cp + 0x60 : cp + 0x40);
        set_name(e, mods | 4, text);
    } else {
        text[utf8_encode(cp, text)] = 0;
        set_name(e, mods, text);
    }
}

static const char *tilde_name(int n)
{
    static const char *const names[] = {
        [1] = "Home", [2] = "Insert", [3] = "Delete", [4] = "End", [5] = "PgUp", [6] = "PgDn", [7] = "Home", [8] = "End",
        [11] = "F1", [12] = "F2", [13] = "F3", [14] = "F4", [15] = "F5", [17] = "F6", [18] = "F7", [19] = "F8", [20] = "F9", [21] = "F10",
        [23] = "F11", [24] = "F12",
    };
    return n > 0 && n < (int)(sizeof names / sizeof *names) ? names[n] : NULL;
}

static const char *letter_name(char c)
{
    switch (c) {
    case 'A': return "Up";
    case 'B': return "Down";
    case 'C': return "Right";
    case 'D': return "Left";
    case 'H': return "Home";
    case 'F': return "End";
    case 'P': return "F1";
    case 'Q': return "F2";
    case 'R': return "F3";
    case 'S': return "F4";
    case 'M': return "Enter";
    default: return NULL;
    }
}

/* ---- sequences ---- */

struct csi {
    char private; /* one of < = > ? in front, or 0 */
    int p[4], n;  /* numbers; what stands behind a colon is left out */
    char middle, final;
};

/* Bytes of the CSI at s (behind ESC [); 0: not whole; SIZE_MAX: none (a control byte in it at *bad). */
static size_t read_csi(const char *s, size_t n, struct csi *c, size_t *bad)
{
    size_t i = 0;
    bool sub = false;
    *c = (struct csi){0};
    if (n && s[0] >= '<' && s[0] <= '?')
        c->private = s[i++];
    for (; i < n; i++) {
        unsigned char ch = (unsigned char)s[i];
        if (ch >= '0' && ch <= '9') {
            c->n += c->n == 0;
            if (!sub && c->n <= 4 && c->p[c->n - 1] < 100000000)
                c->p[c->n - 1] = c->p[c->n - 1] * 10 + (ch - '0');
        } else if (ch == ';') {
            c->n = (c->n ? c->n : 1) + (c->n < 100);
            sub = false;
        } else if (ch == ':') {
            sub = true;
        } else if (ch >= 0x20 && ch <= 0x2F) {
            c->middle = (char)ch;
        } else if (ch >= 0x40 && ch <= 0x7E) {
            c->final = (char)ch;
            return i + 1;
        } else {
            *bad = i;
            return SIZE_MAX;
        }
    }
    return 0;
}

/* A key that the kitty protocol or modifyOtherKeys wrote as a number; false: none of ours. */
static bool number_key(struct input_event *e, int code, int mods)
{
    char text[8];
    size_t n = 0;
    if (code >= 57399 && code <= 57408)
        code = '0' + code - 57399;
    else if (code == 57414)
        code = '\r';
    if (code < 0 || code > 0x10FFFF || (code >= 57344 && code <= 63743) || (code >= 0xD800 && code < 0xE000) || (code >= 0x80 && code < 0xA0))
        return false;
    if (code == '\r' && mods) { /* as Alt-Enter for readline, but for Ctrl alone */
        set_name(e, mods, "Enter");
        set_bytes(e, mods == 4 ? "\r" : "\x1b\r", mods == 4 ? 1 : 2);
        return true;
    }
    if (code == '\t' && mods & 1) {
        set_name(e, mods, "Tab");
        set_bytes(e, "\x1b[Z", 3);
        return true;
    }
    if (mods & 2)
        text[n++] = '\x1b';
    if (mods & 4 && ((code >= '@' && code <= '_') || (code >= 'a' && code <= 'z')))
        code &= 0x1f;
    else if (mods & 4 && code == ' ')
        code = 0;
    else if (mods & 1 && code >= 'a' && code <= 'z')
        code -= 0x20;
    n += utf8_encode((uint32_t)code, text + n);
    set_bytes(e, text, n);
    name_char(e, mods & 2, (uint32_t)code);
    return true;
}

/* What a CSI means; false: nothing. s, n: the whole sequence. */
static bool take_csi(struct input_event *e, const struct csi *c, const char *s, size_t n)
{
    int mods = c->n >= 2 && c->p[1] > 1 && c->p[1] <= 256 ? (c->p[1] - 1) & 7 : 0;
    const char *name = NULL;
    e->kind = INPUT_KEY;
    if (c->private || c->middle || c->final == 'n' || c->final == 't' || c->final == 'c') {
        if (c->private == '<')
            return false; /* the mouse */
        e->kind = INPUT_REPLY;
        e->text = mem_strndup(s, n);
        e->n = n;
        return true;
    }
    if ((c->final == 'I' || c->final == 'O') && c->n == 0) {
        e->kind = c->final == 'I' ? INPUT_FOCUS_IN : INPUT_FOCUS_OUT;
        return true;
    }
    if (c->final == 'u')
        return number_key(e, c->p[0], mods);
    if (c->final == '~' && c->p[0] == 27 && c->n >= 3)
        return number_key(e, c->p[2], mods);
    set_bytes(e, s, n);
    if (c->final == '~')
        name = tilde_name(c->p[0]);
    else if (c->final == 'Z')
        name = "S-Tab";
    else if (c->final != 'M' && (c->n < 1 || c->p[0] <= 1))
        name = letter_name(c->final);
    set_name(e, mods, name ? name : "?"); /* readline may know more */
    return e->n_bytes > 0 && (name || c->p[0] < 200 || c->final != '~');
}

/* Bytes of a string sequence (OSC, DCS, ..) at s; 0: not whole. */
static size_t string_end(const char *s, size_t n)
{
    for (size_t i = 2; i < n; i++) {
        if (s[i] == '\a')
            return i + 1;
        if (s[i] == '\x1b' && i + 1 < n)
            return s[i + 1] == '\\' ? i + 2 : i; /* another sequence begins: this one is cut */
        if (s[i] == 0x18 || s[i] == 0x1a)
            return i + 1;
    }
    return 0;
}

/* ---- one event ---- */

/* How long what stands there may wait for its rest. */
static int64_t patience(const struct input *in)
{
    const char *s = in->b.data + in->at;
    size_t n = in->b.len - in->at;
    if (s[0] != '\x1b')
        return PREFIX_US; /* a character */
    return n == 1 ? in->escape_us : n == 2 ? PREFIX_US : SEQUENCE_US;
}

static size_t take_escape(struct input *in, struct input_event *e, const char *s, size_t n, bool last, bool *got);

/* A character (bad bytes and C1 controls become U+FFFD), with an Esc in front or not. */
static size_t take_char(struct input_event *e, const char *s, size_t n, int mods, bool last, bool *got)
{
    size_t len, k = 0;
    uint32_t cp = utf8_decode(s, n, &len);
    char text[8];
    if (cp == UTF8_PART && !last)
        return 0;
    if (cp >= UTF8_PART || (cp >= 0x80 && cp < 0xA0))
        cp = 0xFFFD;
    e->kind = INPUT_KEY;
    if (mods & 2)
        text[k++] = '\x1b';
    k += utf8_encode(cp, text + k);
    set_bytes(e, text, k);
    name_char(e, mods, cp);
    *got = true;
    return len;
}

static size_t take_escape(struct input *in, struct input_event *e, const char *s, size_t n, bool last, bool *got)
{
    struct csi c;
    size_t used = 0, bad = 0;
    *got = false;
    if (n == 1 && !last)
        return 0;
    if (n == 1 || s[1] == '\x1b')
        return take_char(e, s, 1, 0, true, got);
    if (s[1] == '[') {
        used = read_csi(s + 2, n - 2, &c, &bad);
        if (used == SIZE_MAX)
            return bad + 2; /* what stands before the control byte is dropped */
        if (used == 4 && !memcmp(s, PASTE_BEGIN, MARK_LEN)) {
            in->in_paste = true;
            buf_reset(&in->paste);
            in->paste.over = false;
            return MARK_LEN;
        }
        if (used == 1 && c.final == 'M') { /* the mouse as xterm had it first: three more bytes */
            if (n < 6 && !last)
                return 0;
            return n < 6 ? n : 6;
        }
        if (used) {
            *got = take_csi(e, &c, s, used + 2);
            return used + 2;
        }
    } else if (s[1] == 'O') {
        if (n > 2) {
            const char *name = letter_name(s[2]);
            e->kind = INPUT_KEY;
            set_name(e, 0, name ? name : "?");
            set_bytes(e, s, 3);
            *got = (unsigned char)s[2] >= 0x20 && (unsigned char)s[2] < 0x7F;
            return *got ? 3 : 2;
        }
    } else if (strchr("]P_^X", s[1])) {
        used = string_end(s, n);
        if (used && used <= REPLY_MAX) {
            e->kind = INPUT_REPLY;
            e->text = mem_strndup(s, used);
            e->n = used;
            *got = true;
        }
        if (used || (n > REPLY_MAX && (in->dropping = true)))
            return used ? used : n - 1; /* an Esc at the end may begin its end */
    } else {
        size_t len = take_char(e, s + 1, n - 1, 2, last, got);
        return len ? len + 1 : 0;
    }
    if (!last)
        return 0;
    if (n == 2)
        return take_char(e, s + 1, 1, 2, true, got) + 1; /* Alt-[, Alt-O, Alt-].. */
    return n; /* a sequence that never ended */
}

/* The next thing at the front: bytes used (0: more is needed), *got: it is an event. */
static size_t take(struct input *in, struct input_event *e, bool last, bool *got)
{
    const char *s = in->b.data + in->at;
    size_t n = in->b.len - in->at;
    *got = false;
    if (in->dropping) { /* up to its end, or to any other sequence */
        size_t i = 0;
        while (i < n && s[i] != '\a' && s[i] != '\x1b')
            i++;
        in->dropping = i == n && !last;
        return i < n && s[i] == '\a' ? i + 1 : i < n && i + 1 < n && s[i + 1] == '\\' ? i + 2 : i ? i : n && !in->dropping ? 1 : n;
    }
    return s[0] == '\x1b' ? take_escape(in, e, s, n, last, got) : take_char(e, s, n, 0, last, got);
}

/* Bytes at the end of s that may be the beginning of the end marker. */
static size_t partial_end(const char *s, size_t n)
{
    for (size_t k = n < MARK_LEN - 1 ? n : MARK_LEN - 1; k > 0; k--)
        if (!memcmp(s + n - k, PASTE_END, k))
            return k;
    return 0;
}

/* More of a paste; true: it is whole. */
static bool take_paste(struct input *in, struct input_event *e)
{
    const char *s = in->b.data + in->at;
    size_t n = in->b.len - in->at;
    const char *hit = memmem(s, n, PASTE_END, MARK_LEN);
    size_t use = hit ? (size_t)(hit - s) : n - partial_end(s, n);
    buf_add(&in->paste, s, use);
    in->at += use + (hit ? MARK_LEN : 0);
    if (!hit)
        return false;
    in->in_paste = false;
    in->burst_until = in->last_us + BURST_US;
    e->kind = INPUT_PASTE;
    if (!buf_over(&in->paste)) {
        struct buf out = BUF_INIT(INPUT_PASTE_MAX);
        const char *p = buf_str(&in->paste), *mark;
        size_t left = in->paste.len;
        while ((mark = memmem(p, left, PASTE_BEGIN, MARK_LEN))) { /* a marker inside is not text */
            buf_add(&out, p, (size_t)(mark - p));
            left -= (size_t)(mark - p) + MARK_LEN;
            p = mark + MARK_LEN;
        }
        buf_add(&out, p, left);
        e->n = out.len;
        e->text = out.len ? buf_take(&out) : mem_strdup("");
        buf_finish(&out);
    }
    buf_finish(&in->paste);
    return true;
}

/* Several equal arrows in one read are the wheel: nobody types so fast. */
static void look_for_wheel(struct input *in, struct input_event *e)
{
    size_t count = 1, n = e->n_bytes;
    bool up = !strcmp(e->name, "Up");
    if (n != 3 || (!up && strcmp(e->name, "Down") != 0))
        return;
    while (in->b.len - in->at >= n && !memcmp(in->b.data + in->at, e->bytes, n)) {
        in->at += n;
        count++;
    }
    if (count == 1)
        return;
    if (count > 1000)
        count = 1000;
    e->kind = INPUT_WHEEL;
    e->lines = up ? -(int)count : (int)count;
}

static bool is_text_key(const struct input_event *e)
{
    return key_in(e, "Enter Tab C-j") || (e->n_bytes && (unsigned char)e->bytes[0] >= 0x20 && e->bytes[0] != 0x7F);
}

bool input_next(struct input *in, struct input_event *e, int64_t now)
{
    *e = (struct input_event){0};
    while (in->at < in->b.len) {
        if (in->in_paste) {
            if (take_paste(in, e))
                return true;
            break;
        }
        bool got, late = now - in->last_us >= patience(in);
        size_t used = take(in, e, late, &got);
        if (!used)
            break;
        in->at += used;
        if (got && e->kind == INPUT_KEY) {
            e->burst = in->last_us < in->burst_until;
            if (e->burst && !is_text_key(e))
                got = false;
            else
                look_for_wheel(in, e);
        }
        if (got)
            return true;
        input_event_finish(e);
    }
    if (in->at == in->b.len) {
        buf_reset(&in->b);
        in->at = 0;
        if (in->b.cap > PENDING_MAX)
            buf_finish(&in->b);
    }
    return false;
}

int input_timeout_ms(const struct input *in, int64_t now)
{
    if (in->in_paste || in->at == in->b.len)
        return -1;
    int64_t left = in->last_us + patience(in) - now;
    return left > 0 ? (int)(left / 1000 + 1) : 0;
}
