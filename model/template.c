/*
 * Chat templates: which one a text is, and rendering the known ones.
 *
 * Templates are small programs in Jinja. The engine for all of them will stand here; until then a template is recognised by
 * what it does, not by how it is written: it is reduced to a normal form (white space of tags gone, trim_blocks and
 * lstrip_blocks applied, string constants that are printed turned into plain text, a.b written as a['b'],
 * comments dropped) and that is compared with the normal forms of the templates we know, each with its renderer. Whatever differs in
 * meaning differs in normal form. Anything else is refused; nothing is guessed.
 *
 * The text is hostile: one pass without recursion, at most MAX_SOURCE bytes are looked at.
 *
 * Normal form: text as it is, but \ and { written as \\ and \{; an expression {{tokens}}; a statement {%tokens%}; tokens
 * are joined by single spaces; strings are in '...' with \ ' and newline escaped.
 */
#include "config.h"

#include "model/template.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/mem.h"

#define MAX_SOURCE 65536
#define MAX_ROLE 32

/* ---- normal form ---- */

struct token {
    char kind;     /* 'w' word or number, 's' string, 'o' operator */
    size_t at, n;  /* bytes in scan.text (words, operators) or scan.str (strings) */
};

struct scan {
    const char *s;
    size_t n, i;
    struct token *tok; /* of one tag */
    size_t n_tok, cap_tok;
    struct buf str; /* decoded strings of one tag */
    struct buf out;
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool wordish(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void put_text(struct scan *sc, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\' || s[i] == '{')
            buf_addch(&sc->out, '\\');
        buf_addch(&sc->out, s[i]);
    }
}

static void add_token(struct scan *sc, char kind, size_t at, size_t n)
{
    if (sc->n_tok == sc->cap_tok) {
        sc->cap_tok = sc->cap_tok * 2 + 64;
        sc->tok = mem_grow(sc->tok, sc->cap_tok, sizeof *sc->tok);
    }
    sc->tok[sc->n_tok++] = (struct token){kind, at, n};
}

/* A string constant at sc->i; false: it does not end, or has an escape that we do not read. */
static bool read_string(struct scan *sc)
{
    char quote = sc->s[sc->i++];
    size_t at = sc->str.len;
    for (; sc->i < sc->n && sc->s[sc->i] != quote; sc->i++) {
        char c = sc->s[sc->i];
        if (c == '\\') {
            if (++sc->i >= sc->n)
                return false;
            c = sc->s[sc->i];
            if (c == 'n')
                c = '\n';
            else if (c == 't')
                c = '\t';
            else if (c == 'r')
                c = '\r';
            else if (c != '\\' && c != '\'' && c != '"')
                return false;
        }
        buf_addch(&sc->str, c);
    }
    if (sc->i >= sc->n)
        return false;
    sc->i++;
    add_token(sc, 's', at, sc->str.len - at);
    return true;
}

/* The tokens of a tag, up to and with its closing delimiter `close` ("%}" or "}}"). *trim: '-', '+' or 0 before it. */
static bool read_tag(struct scan *sc, const char *close, char *trim)
{
    int depth = 0;
    sc->n_tok = 0;
    buf_reset(&sc->str);
    while (sc->i < sc->n) {
        const char *p = sc->s + sc->i;
        size_t left = sc->n - sc->i;
        if (blank(*p)) {
            sc->i++;
            continue;
        }
        if (depth == 0 && left >= 2 && memcmp(p, close, 2) == 0) {
            *trim = 0;
            sc->i += 2;
            return true;
        }
        if (depth == 0 && left >= 3 && (*p == '-' || *p == '+') && memcmp(p + 1, close, 2) == 0) {
            *trim = *p;
            sc->i += 3;
            return true;
        }
        if (*p == '\'' || *p == '"') {
            if (!read_string(sc))
                return false;
        } else if (wordish(*p)) {
            size_t k = 1;
            while (k < left && wordish(p[k]))
                k++;
            add_token(sc, 'w', sc->i, k);
            sc->i += k;
        } else {
            size_t k = left >= 2 && strchr("=!<>/*", *p) && (p[1] == '=' || ((*p == '/' || *p == '*') && p[1] == *p)) ? 2 : 1;
            if ((unsigned char)*p >= 0x80 || (unsigned char)*p < 0x20 || *p == 0x7F)
                return false;
            depth += strchr("([{", *p) ? 1 : strchr(")]}", *p) ? -1 : 0;
            if (depth < 0)
                return false;
            add_token(sc, 'o', sc->i, k);
            sc->i += k;
        }
    }
    return false;
}

static bool op(const struct scan *sc, const struct token *t, char c)
{
    return t->kind == 'o' && t->n == 1 && sc->s[t->at] == c;
}

static void put_string(struct scan *sc, const char *s, size_t n)
{
    buf_addch(&sc->out, '\'');
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\'' || s[i] == '\\')
            buf_addch(&sc->out, '\\');
        if (s[i] == '\n')
            buf_addstr(&sc->out, "\\n");
        else
            buf_addch(&sc->out, s[i]);
    }
    buf_addch(&sc->out, '\'');
}

/* Tokens [a, b), joined; a.b becomes a['b']. */
static void put_tokens(struct scan *sc, size_t a, size_t b)
{
    for (size_t i = a; i < b; i++) {
        const struct token *t = &sc->tok[i];
        if (i > a)
            buf_addch(&sc->out, ' ');
        if (op(sc, t, '.') && i > a && i + 1 < b && t[1].kind == 'w' && (sc->s[t[1].at] < '0' || sc->s[t[1].at] > '9')) {
            buf_addstr(&sc->out, "[ ");
            put_string(sc, sc->s + t[1].at, t[1].n);
            buf_addstr(&sc->out, " ]");
            i++;
        } else if (t->kind == 's') {
            put_string(sc, buf_str(&sc->str) + t->at, t->n);
        } else {
            buf_add(&sc->out, sc->s + t->at, t->n);
        }
    }
}

/* What is printed: the parts of a sum (or of a ~ b) one after the other, constants as text. */
static bool put_print(struct scan *sc)
{
    int depth = 0;
    for (size_t a = 0, i = 0; i <= sc->n_tok; i++) {
        if (i < sc->n_tok) {
            const struct token *t = &sc->tok[i];
            if (t->kind == 'o')
                depth += strchr("([{", sc->s[t->at]) ? 1 : strchr(")]}", sc->s[t->at]) ? -1 : 0;
            if (depth || (!op(sc, t, '+') && !op(sc, t, '~')))
                continue;
        }
        if (i == a)
            return false; /* nothing there, or a sign */
        if (i - a == 1 && sc->tok[a].kind == 's') {
            put_text(sc, buf_str(&sc->str) + sc->tok[a].at, sc->tok[a].n);
        } else {
            buf_addstr(&sc->out, "{{");
            put_tokens(sc, a, i);
            buf_addstr(&sc->out, "}}");
        }
        a = i + 1;
    }
    return true;
}

/* Where the next tag begins, or n. */
static size_t next_tag(const struct scan *sc, size_t i)
{
    for (; i + 1 < sc->n; i++)
        if (sc->s[i] == '{' && (sc->s[i + 1] == '%' || sc->s[i + 1] == '{' || sc->s[i + 1] == '#'))
            return i;
    return sc->n;
}

/*
 * The normal form of a template into sc->out; false: it is none that we read. As Jinja with trim_blocks and lstrip_blocks: one final newline
 * of the source is dropped, so is the newline behind a statement or comment, and the blanks before one on its line.
 */
static bool normalize(struct scan *sc)
{
    if (sc->n && sc->s[sc->n - 1] == '\n')
        sc->n--;
    char trim = 0;          /* the sign before the last tag's end */
    bool line_start = true; /* the text begins at the start of a line */
    bool block = false;     /* the last tag was a statement or a comment */
    while (sc->i < sc->n) {
        size_t a = sc->i, e = next_tag(sc, a), b = e;
        if (trim == '-') {
            while (a < e && blank(sc->s[a]))
                a++;
            line_start = a > sc->i ? sc->s[a - 1] == '\n' : line_start;
        } else if (block && trim != '+' && a < e && sc->s[a] == '\n') {
            a++;
            line_start = true;
        }
        if (e == sc->n) {
            put_text(sc, sc->s + a, e - a);
            break;
        }
        char what = sc->s[e + 1], sign = e + 2 < sc->n ? sc->s[e + 2] : 0;
        if (sign == '-') {
            while (b > a && blank(sc->s[b - 1]))
                b--;
        } else if (sign != '+' && what != '{') {
            size_t l = b;
            while (l > a && blank(sc->s[l - 1]) && sc->s[l - 1] != '\n')
                l--;
            if (l > a ? sc->s[l - 1] == '\n' : line_start)
                b = l;
        }
        put_text(sc, sc->s + a, b - a);
        sc->i = e + 2 + (sign == '-' || sign == '+');
        line_start = false;
        trim = 0;
        block = what != '{';
        if (what == '#') {
            while (sc->i + 1 < sc->n && !(sc->s[sc->i] == '#' && sc->s[sc->i + 1] == '}'))
                sc->i++;
            if (sc->i + 1 >= sc->n)
                return false;
            trim = sc->s[sc->i - 1] == '-' ? '-' : 0;
            sc->i += 2;
        } else if (!read_tag(sc, what == '%' ? "%}" : "}}", &trim)) {
            return false;
        } else if (what == '{') {
            if (!put_print(sc))
                return false;
        } else {
            buf_addstr(&sc->out, "{%");
            put_tokens(sc, 0, sc->n_tok);
            buf_addstr(&sc->out, "%}");
        }
    }
    return !buf_over(&sc->out);
}

/* ---- the templates we know ---- */

#define TURNS                                                                                                                          \
    "<|im_start|>{{message [ 'role' ]}}\n{{message [ 'content' ]}}<|im_end|>\n{%endfor%}"                                              \
    "{%if add_generation_prompt%}<|im_start|>assistant\n{%endif%}"
#define CHATML "{%for message in messages%}" TURNS
#define SMOLLM_SYSTEM "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
#define QWEN_SYSTEM "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"

enum style { STYLE_CHATML, STYLE_SMOLLM2, STYLE_QWEN25 };

static const struct {
    const char *name;
    enum style style;
    const char *normal; /* the normal form */
    uint64_t hash[2];   /* or its XXH3 (128 bits, high first), for a long one */
} known[] = {
    {"chatml", STYLE_CHATML, CHATML, {0}},
    {"chatml", STYLE_CHATML,
     "{%if not add_generation_prompt is defined%}{%set add_generation_prompt = false%}{%endif%}" CHATML, {0}},
    {"smollm2", STYLE_SMOLLM2,
     "{%for message in messages%}{%if loop [ 'first' ] and messages [ 0 ] [ 'role' ] != 'system'%}" SMOLLM_SYSTEM "{%endif%}" TURNS, {0}},
    {"qwen2.5", STYLE_QWEN25, NULL, {0xddae5c09a5b0d363, 0x9e75655edd3cd95c}},
};

struct tmpl {
    const char *name;
    enum style style;
};

static int recognise(const char *s, size_t n)
{
    struct scan sc = {.s = s, .n = n, .str = BUF_INIT(MAX_SOURCE), .out = BUF_INIT(4 * MAX_SOURCE)};
    int found = -1;
    char *unix_text = NULL;
    if (memchr(s, '\r', n)) { /* Jinja reads every kind of line end as a newline */
        unix_text = mem_alloc(n);
        sc.s = unix_text;
        sc.n = 0;
        for (size_t i = 0; i < n; i++)
            if (s[i] != '\r' || i + 1 == n || s[i + 1] != '\n')
                unix_text[sc.n++] = s[i] == '\r' ? '\n' : s[i];
    }
    if (normalize(&sc)) {
        XXH128_hash_t h = XXH3_128bits(buf_str(&sc.out), sc.out.len);
        for (size_t i = 0; i < sizeof known / sizeof *known && found < 0; i++)
            if (known[i].normal ? strlen(known[i].normal) == sc.out.len && memcmp(known[i].normal, buf_str(&sc.out), sc.out.len) == 0
                                : known[i].hash[0] == h.high64 && known[i].hash[1] == h.low64)
                found = (int)i;
    }
    free(unix_text);
    free(sc.tok);
    buf_finish(&sc.str);
    buf_finish(&sc.out);
    return found;
}

int tmpl_open(const char *source, size_t n, struct tmpl **out, struct err *err)
{
    int found = -1;
    for (size_t i = 0; i < sizeof known / sizeof *known && found < 0; i++)
        if (strlen(known[i].name) == n && memcmp(known[i].name, source, n) == 0)
            found = (int)i;
    if (found < 0 && n <= MAX_SOURCE)
        found = recognise(source, n);
    if (found < 0)
        return err_set(err, ERR_FORMAT,
                       "the chat template is none of those this version renders (chatml, smollm2, qwen2.5); --template chatml uses ChatML in its place");
    struct tmpl *t = mem_zalloc(sizeof *t);
    t->name = known[found].name;
    t->style = known[found].style;
    *out = t;
    return 0;
}

void tmpl_close(struct tmpl *t)
{
    free(t);
}

const char *tmpl_name(const struct tmpl *t)
{
    return t->name;
}

/* ---- rendering ---- */

struct render {
    struct buf *out;
    struct tok_span *span;
    size_t n_span;
};

static void put_content(struct render *r, const struct tmpl_msg *m)
{
    size_t from = r->out->len;
    buf_add(r->out, m->text, m->n);
    r->span[r->n_span++] = (struct tok_span){from, r->out->len};
}

static void put_turn(struct render *r, const struct tmpl_msg *m)
{
    buf_addstr(r->out, "<|im_start|>");
    buf_addstr(r->out, m->role);
    buf_addch(r->out, '\n');
    put_content(r, m);
    buf_addstr(r->out, "<|im_end|>\n");
}

static bool is_role(const struct tmpl_msg *m, const char *role)
{
    return strcmp(m->role, role) == 0;
}

/* Qwen 2.5 without tools: answers of tools are user turns; messages of other roles are not rendered. */
static void render_qwen(struct render *r, const struct tmpl_msg *msgs, size_t n)
{
    if (!is_role(&msgs[0], "system"))
        buf_addstr(r->out, QWEN_SYSTEM);
    for (size_t i = 0; i < n; i++) {
        const struct tmpl_msg *m = &msgs[i];
        if (is_role(m, "user") || is_role(m, "system") || is_role(m, "assistant")) {
            put_turn(r, m);
        } else if (is_role(m, "tool")) {
            if (i == 0 || !is_role(m - 1, "tool"))
                buf_addstr(r->out, "<|im_start|>user");
            buf_addstr(r->out, "\n<tool_response>\n");
            put_content(r, m);
            buf_addstr(r->out, "\n</tool_response>");
            if (i + 1 == n || !is_role(m + 1, "tool"))
                buf_addstr(r->out, "<|im_end|>\n");
        }
    }
}

/* A role becomes part of the prompt outside the spans: it must not be able to hold a marker. */
static bool good_role(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (n == 0 || n > MAX_ROLE)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!wordish(s[i]) && s[i] != '-')
            return false;
    return true;
}

int tmpl_render(const struct tmpl *t, const struct tmpl_msg *msgs, size_t n, const struct tmpl_vars *vars, struct buf *out,
                struct tok_span **spans, size_t *n_spans, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!good_role(msgs[i].role))
            return err_set(err, ERR_INPUT, "message %zu: a role is a word of letters, digits, _ and - (at most %d)", i + 1, MAX_ROLE);
    if (t->style == STYLE_QWEN25 && n == 0)
        return err_set(err, ERR_INPUT, "the chat template %s needs at least one message", t->name);
    size_t before = out->len;
    struct render r = {.out = out, .span = mem_array(n + 1, sizeof *r.span)};
    if (t->style == STYLE_QWEN25) {
        render_qwen(&r, msgs, n);
    } else {
        if (t->style == STYLE_SMOLLM2 && n && !is_role(&msgs[0], "system"))
            buf_addstr(out, SMOLLM_SYSTEM);
        for (size_t i = 0; i < n; i++)
            put_turn(&r, &msgs[i]);
    }
    if (vars->add_generation_prompt)
        buf_addstr(out, "<|im_start|>assistant\n");
    if (buf_over(out)) {
        free(r.span);
        out->len = before;
        return err_set(err, ERR_INPUT, "the prompt is longer than %zu bytes", out->max);
    }
    if (spans) {
        *spans = r.span;
        *n_spans = r.n_span;
    } else {
        free(r.span);
    }
    return 0;
}
