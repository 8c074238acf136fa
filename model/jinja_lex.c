/*
 * Templates to tokens. Text between tags is one token, already trimmed: with trim_blocks (the newline behind a statement or comment
 * goes) and lstrip_blocks (so do the blanks before one on its line); `-` inside a delimiter takes all white space on its side, `+`
 * turns the two rules off. Comments give nothing; the inside of a raw block is text.
 *
 * The source is one buffer with \n as the only line end; tokens point into it, string constants are decoded into the arena.
 */
#include "config.h"

#include "model/jinja.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "base/num.h"
#include "base/utf8.h"

const char *lex_source(struct vals *v, const char *src, size_t *n)
{
    char *p = vals_alloc(v, *n + 1);
    size_t k = 0;
    for (size_t i = 0; p && i < *n; i++)
        if (src[i] != '\r')
            p[k++] = src[i];
        else if (i + 1 == *n || src[i + 1] != '\n')
            p[k++] = '\n';
    if (k && p[k - 1] == '\n')
        k--;
    *n = k;
    return p;
}

static void lex_error(struct lexer *l, struct token *t, size_t pos, const char *text)
{
    t->type = T_ERROR;
    t->pos = (uint32_t)pos;
    snprintf(l->e->text, sizeof l->e->text, "%s", text);
}

static size_t skip_space(const struct lexer *l, size_t i)
{
    size_t len;
    while (i < l->n && str_space(utf8_decode(l->src + i, l->n - i, &len)))
        i += len;
    return i;
}

/* The beginning of the white space that ends at i; not before `from`, and not over a newline if `line`. */
static size_t space_before(const struct lexer *l, size_t from, size_t i, bool line)
{
    while (i > from) {
        size_t k = i - 1, len;
        while (k > from && i - k < 4 && ((unsigned char)l->src[k] & 0xC0) == 0x80)
            k--;
        if ((line && l->src[k] == '\n') || !str_space(utf8_decode(l->src + k, i - k, &len)) || len != i - k)
            break;
        i = k;
    }
    return i;
}

static bool at(const struct lexer *l, size_t i, const char *s)
{
    size_t n = strlen(s);
    return l->n - i >= n && memcmp(l->src + i, s, n) == 0;
}

/* The end of text [from, tag) before a tag with this sign. */
static size_t trimmed(const struct lexer *l, size_t from, size_t tag, char sign, bool print)
{
    if (sign == '-')
        return space_before(l, from, tag, false);
    if (sign == '+' || print)
        return tag;
    size_t line = space_before(l, from, tag, true);
    return line == 0 || l->src[line - 1] == '\n' ? line : tag;
}

static char sign_at(const struct lexer *l, size_t i)
{
    return i < l->n && (l->src[i] == '-' || l->src[i] == '+') ? l->src[i] : 0;
}

/* Behind a closing delimiter that ends at i and had this sign. */
static size_t behind(const struct lexer *l, size_t i, char sign)
{
    if (sign == '-')
        return skip_space(l, i);
    return sign != '+' && i < l->n && l->src[i] == '\n' ? i + 1 : i;
}

/* {% word %} with the tag at i: where its inside ends (at the sign or "%}"), or 0. */
static size_t lone_word(const struct lexer *l, size_t i, const char *word)
{
    i += 2;
    i = skip_space(l, i + (sign_at(l, i) != 0));
    if (!at(l, i, word))
        return 0;
    i = skip_space(l, i + strlen(word));
    return at(l, i, "%}") || (sign_at(l, i) && at(l, i + 1, "%}")) ? i : 0;
}

/* A raw block whose first tag ends (inside) at `open`. False: it never ends. Its text is [*from, *to). */
static bool raw_block(struct lexer *l, size_t open, size_t *from, size_t *to)
{
    bool dash = l->src[open] == '-';
    *from = dash ? skip_space(l, open + 3) : open + 2;
    for (size_t i = *from; i + 1 < l->n; i++) {
        size_t close = l->src[i] == '{' && l->src[i + 1] == '%' ? lone_word(l, i, "endraw") : 0;
        if (!close)
            continue;
        char sign = sign_at(l, close);
        *to = trimmed(l, *from, i, sign_at(l, i + 2), false);
        l->i = behind(l, close + (sign != 0) + 2, sign);
        return true;
    }
    return false;
}

/* A comment whose inside begins at i; false: it never ends. */
static bool skip_comment(struct lexer *l, size_t i)
{
    for (size_t k = i; k + 1 < l->n; k++)
        if (l->src[k] == '#' && l->src[k + 1] == '}') {
            l->i = behind(l, k + 2, k > i ? sign_at(l, k - 1) : 0);
            return true;
        }
    return false;
}

static size_t next_tag(const struct lexer *l, size_t i)
{
    for (; i + 1 < l->n; i++)
        if (l->src[i] == '{' && (l->src[i + 1] == '%' || l->src[i + 1] == '{' || l->src[i + 1] == '#'))
            return i;
    return l->n;
}

static bool text_token(struct lexer *l, struct token *t, size_t from, size_t to)
{
    *t = (struct token){.type = T_TEXT, .pos = (uint32_t)from, .s = l->src + from, .n = to - from};
    return to > from;
}

/* Outside of tags. */
static void lex_text(struct lexer *l, struct token *t)
{
    for (;;) {
        size_t tag = l->tag;
        if (l->state == LEX_TEXT) {
            tag = l->tag = next_tag(l, l->i);
            size_t to = tag == l->n ? tag : trimmed(l, l->i, tag, sign_at(l, tag + 2), l->src[tag + 1] == '{');
            l->state = LEX_TEXT_DONE;
            if (text_token(l, t, l->i, to))
                return;
        }
        if (tag == l->n) {
            *t = (struct token){.type = T_EOF, .pos = (uint32_t)l->n};
            return;
        }
        l->state = LEX_TEXT;
        size_t inside = tag + 2 + (sign_at(l, tag + 2) != 0), open, from, to;
        if (l->src[tag + 1] == '#') {
            if (!skip_comment(l, inside)) {
                lex_error(l, t, tag, "this comment does not end");
                return;
            }
        } else if (l->src[tag + 1] == '%' && (open = lone_word(l, tag, "raw")) != 0 && l->src[open] != '+') {
            if (!raw_block(l, open, &from, &to)) {
                lex_error(l, t, tag, "this raw block does not end");
                return;
            }
            if (text_token(l, t, from, to))
                return;
        } else {
            bool block = l->src[tag + 1] == '%';
            *t = (struct token){.type = block ? T_BLOCK : T_PRINT, .pos = (uint32_t)tag};
            l->state = block ? LEX_BLOCK : LEX_PRINT;
            l->i = inside;
            return;
        }
    }
}

/* ---- inside of tags ---- */

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Behind digits with single _ between them that begin at i (where one is); i if there are none. */
static size_t digits(const struct lexer *l, size_t i)
{
    while (i < l->n && digit(l->src[i])) {
        i++;
        if (i + 1 < l->n && l->src[i] == '_' && digit(l->src[i + 1]))
            i++;
    }
    return i;
}

static int hex_value(char c)
{
    if (digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

static size_t based_digits(const struct lexer *l, size_t i, int base)
{
    for (;;) {
        size_t k = i < l->n && l->src[i] == '_' ? i + 1 : i;
        if (k >= l->n || hex_value(l->src[k]) >= base)
            return i;
        i = k + 1;
    }
}

static void lex_number(struct lexer *l, struct token *t)
{
    size_t from = l->i, end = digits(l, from), k = end;
    bool is_float = false;
    int base = 10;
    if (from == 0 || l->src[from - 1] != '.') { /* a.1.2 is two subscripts */
        if (k + 1 < l->n && l->src[k] == '.' && digit(l->src[k + 1])) {
            k = digits(l, k + 1);
            is_float = true;
        }
        if (k < l->n && (l->src[k] | 0x20) == 'e') {
            size_t d = k + 1 + (k + 1 < l->n && (l->src[k + 1] == '+' || l->src[k + 1] == '-'));
            if (d < l->n && digit(l->src[d])) {
                k = digits(l, d);
                is_float = true;
            }
        }
    }
    if (!is_float) {
        k = end;
        if (l->src[from] == '0') {
            char c = from + 1 < l->n ? (char)(l->src[from + 1] | 0x20) : 0;
            base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
            k = base == 10 ? based_digits(l, from, 1) : based_digits(l, from + 2, base);
            if (base != 10 && k == from + 2) {
                k = from + 1;
                base = 10;
            }
        }
    }
    l->i = k;
    *t = (struct token){.type = is_float ? T_FLOAT : T_INT, .pos = (uint32_t)from};
    int64_t i = 0;
    double f = 0;
    if (is_float ? text_to_float(l->src + from, k - from, &f) : text_to_int(l->src + from, k - from, base, &i) > 0)
        t->val = is_float ? val_float(f) : val_int(i);
    else
        lex_error(l, t, from, "the number is too large");
}

/* A character of a string constant, by the n hexadecimal digits at i. */
static bool hex_escape(const struct lexer *l, size_t i, size_t end, size_t n, uint32_t *cp)
{
    *cp = 0;
    for (size_t k = 0; k < n; k++) {
        if (i + k >= end || hex_value(l->src[i + k]) >= 16)
            return false;
        *cp = *cp << 4 | (uint32_t)hex_value(l->src[i + k]);
    }
    return *cp <= 0x10FFFF;
}

/* The escape behind the backslash at i - 1, as bytes; returns how many of the source it took, 0 for a bad one. */
static size_t escape(const struct lexer *l, size_t i, size_t end, char out[4], size_t *n)
{
    static const char names[] = "abfnrtv\\'\"", values[] = "\a\b\f\n\r\t\v\\'\"";
    char c = l->src[i];
    const char *p = c ? strchr(names, c) : NULL;
    uint32_t cp = 0;
    size_t used;
    if (p) {
        out[0] = values[p - names];
        *n = 1;
        return 1;
    }
    if (c == '\n') { /* a continued line */
        *n = 0;
        return 1;
    }
    if (c >= '0' && c <= '7') {
        for (used = 0; used < 3 && i + used < end && l->src[i + used] >= '0' && l->src[i + used] <= '7'; used++)
            cp = cp * 8 + (uint32_t)(l->src[i + used] - '0');
    } else if (c == 'x' || c == 'u' || c == 'U') {
        used = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        uint32_t low;
        if (!hex_escape(l, i + 1, end, used, &cp))
            return 0;
        used++;
        if (cp >= 0xD800 && cp < 0xDC00 && i + used + 1 < end && l->src[i + used] == '\\' && l->src[i + used + 1] == 'u' &&
            hex_escape(l, i + used + 2, end, 4, &low) && low >= 0xDC00 && low < 0xE000) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            used += 6;
        }
    } else if (c == 'N') {
        return 0;
    } else { /* unknown ones stay */
        out[0] = '\\';
        *n = 1;
        return SIZE_MAX;
    }
    *n = utf8_encode(cp >= 0xD800 && cp < 0xE000 ? 0xFFFD : cp, out);
    return used;
}

static void lex_string(struct lexer *l, struct token *t)
{
    size_t from = l->i + 1, end = from;
    while (end < l->n && l->src[end] != l->src[l->i])
        end += l->src[end] == '\\' ? 2 : 1;
    if (end >= l->n) {
        lex_error(l, t, l->i, "this string does not end");
        return;
    }
    *t = (struct token){.type = T_STRING, .pos = (uint32_t)l->i};
    char *p = vals_alloc(l->vals, end - from + 4);
    size_t n = 0;
    if (!p) {
        lex_error(l, t, l->i, "the template is too large");
        return;
    }
    for (size_t i = from; i < end;) {
        if (l->src[i] != '\\') {
            p[n++] = l->src[i++];
            continue;
        }
        size_t k, used = escape(l, i + 1, end, p + n, &k);
        if (used == 0) {
            lex_error(l, t, i, "this escape in a string is not valid");
            return;
        }
        n += k;
        i += used == SIZE_MAX ? 1 : 1 + used;
    }
    t->val = vstr_value(vstr_ref(l->vals, p, n, false));
    l->i = end + 1;
}

/* Behind the name at i; i: there is none. */
static size_t name_end(const struct lexer *l, size_t i)
{
    while (i < l->n) {
        unsigned char c = (unsigned char)l->src[i];
        size_t len = 1;
        if (c >= 0x80) {
            uint32_t cp = utf8_decode(l->src + i, l->n - i, &len);
            utf8proc_category_t k = cp > 0x10FFFF ? UTF8PROC_CATEGORY_CN : utf8proc_category((utf8proc_int32_t)cp);
            if (!((k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO) || k == UTF8PROC_CATEGORY_PC))
                break;
        } else if (!(digit((char)c) || c == '_' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))) {
            break;
        }
        i += len;
    }
    return i;
}

static void lex_operator(struct lexer *l, struct token *t)
{
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    char c = l->src[l->i];
    size_t n = 1;
    for (size_t k = 0; k < sizeof two / sizeof *two; k++)
        if (at(l, l->i, two[k]))
            n = 2;
    *t = (struct token){.type = T_OP, .pos = (uint32_t)l->i};
    memcpy(t->op, l->src + l->i, n);
    char text[100] = "";
    if (n == 1 && (c == 0 || !strchr("+-/*%~[](){}><=.:|,;", c))) {
        size_t len;
        utf8_decode(l->src + l->i, l->n - l->i, &len);
        snprintf(text, sizeof text, "unexpected character '%.*s'", (int)len, l->src + l->i);
    } else if (n == 1 && strchr("([{", c)) {
        if (l->n_brackets == sizeof l->brackets)
            snprintf(text, sizeof text, "brackets in brackets, more than %zu deep", sizeof l->brackets);
        else
            l->brackets[l->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (n == 1 && strchr(")]}", c)) {
        if (l->n_brackets == 0)
            snprintf(text, sizeof text, "unexpected '%c'", c);
        else if (l->brackets[--l->n_brackets] != c)
            snprintf(text, sizeof text, "unexpected '%c', expected '%c'", c, l->brackets[l->n_brackets]);
    }
    if (*text)
        lex_error(l, t, l->i, text);
    l->i += n;
}

/* The closing delimiter at l->i, if it is one. */
static bool lex_close(struct lexer *l, struct token *t)
{
    char sign = sign_at(l, l->i);
    size_t i = l->i + (sign != 0);
    bool block = l->state == LEX_BLOCK;
    if (l->n_brackets || (sign == '+' && !block) || !at(l, i, block ? "%}" : "}}"))
        return false;
    *t = (struct token){.type = block ? T_BLOCK_END : T_PRINT_END, .pos = (uint32_t)l->i};
    l->i = behind(l, i + 2, block || sign ? sign : '+');
    l->state = LEX_TEXT;
    return true;
}

void lex_next(struct lexer *l, struct token *t)
{
    if (l->state == LEX_TEXT || l->state == LEX_TEXT_DONE) {
        lex_text(l, t);
        return;
    }
    l->i = skip_space(l, l->i);
    if (l->i >= l->n) {
        lex_error(l, t, l->n, "the template ends inside a tag");
        return;
    }
    if (lex_close(l, t))
        return;
    char c = l->src[l->i];
    size_t end;
    if (digit(c)) {
        lex_number(l, t);
    } else if (c == '"' || c == '\'') {
        lex_string(l, t);
    } else if ((end = name_end(l, l->i)) > l->i) {
        *t = (struct token){.type = T_NAME, .pos = (uint32_t)l->i, .s = l->src + l->i, .n = end - l->i};
        l->i = end;
    } else {
        lex_operator(l, t);
    }
}
