/*
 * Full-text search. What is indexed is not the text itself but a cleaned copy (table doc): good UTF-8, no control characters, and U+001F
 * between the characters of scripts that write words without spaces, so that each becomes a token and any substring a phrase. A query
 * goes the same way (find.c looks). What a person types never becomes FTS5 syntax: every word is a quoted string.
 */
#include "config.h"
#include "history/impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

#define BETWEEN '\x1f'

/* Scripts without spaces between words, and Hangul, whose words carry endings. */
static bool is_dense(uint32_t c)
{
    return c >= 0x0e00 && ((c <= 0x0eff) ||                    /* Thai, Lao */
                           (c >= 0x1000 && c <= 0x109f) ||     /* Myanmar */
                           (c >= 0x1100 && c <= 0x11ff) ||     /* Hangul letters */
                           (c >= 0x1780 && c <= 0x17ff) ||     /* Khmer */
                           (c >= 0x2e80 && c <= 0x2fdf) ||     /* radicals */
                           (c >= 0x3005 && c <= 0x3007) ||     /* iteration mark, zero */
                           (c >= 0x3040 && c <= 0x31ff) ||     /* kana, bopomofo */
                           (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) || (c >= 0xac00 && c <= 0xd7ff) ||
                           (c >= 0xf900 && c <= 0xfaff) || (c >= 0xff66 && c <= 0xff9f) || (c >= 0x20000 && c <= 0x3ffff));
}

void search_text(struct buf *out, const char *s, size_t n)
{
    bool open = false; /* a letter of another script stands before */
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t cp = utf8_decode(s + i, n - i, &len);
        if (cp == UTF8_BAD || cp == UTF8_PART) {
            buf_addstr(out, "\xef\xbf\xbd");
            open = false;
        } else if (is_dense(cp)) {
            if (open)
                buf_addch(out, BETWEEN);
            buf_add(out, s + i, len);
            buf_addch(out, BETWEEN);
            open = false;
        } else {
            bool control = (cp < ' ' && cp != '\n' && cp != '\t') || cp == 0x7f;
            if (control)
                buf_addch(out, ' ');
            else
                buf_add(out, s + i, len);
            open = cp > ' ';
        }
    }
}

/* ---- keeping the index ---- */

/* One of the columns while it is gathered. */
struct column {
    struct buf text;
    size_t taken; /* bytes of the message */
};

static void gather(struct column *c, const char *s, size_t n)
{
    size_t room = HIST_MAX_INDEXED - c->taken;
    n = n < room ? n : room;
    if (c->text.len)
        buf_addch(&c->text, '\n');
    search_text(&c->text, s, n);
    c->taken += n;
}

/* The session's title, if this is the node that carries it: the first. */
static int title_of(struct hist *h, int64_t node, int64_t session, struct buf *out, int64_t *first, struct err *err)
{
    sqlite3_stmt *st = db_bind(h, SQL_FIRST_NODE, "i", session);
    int rc = db_row(h, st, err);
    if (rc <= 0)
        return rc;
    *first = sqlite3_column_int64(st, 0);
    const char *title = db_text_or(st, 1);
    if (!node || *first == node)
        search_text(out, title, strlen(title));
    db_reset(st);
    return 0;
}

int search_index(struct hist *h, int64_t node, struct err *err)
{
    enum { PROMPT, ANSWER, REASONING };
    struct column c[3];
    struct buf title;
    int64_t session = 0, first = 0;
    for (int i = 0; i < 3; i++)
        c[i] = (struct column){BUF_INIT(8 * HIST_MAX_INDEXED), 0};
    buf_init(&title, 1 << 20);
    sqlite3_stmt *st = db_bind(h, SQL_NODE_GET, "i", node);
    int rc = db_row(h, st, err), body = PROMPT;
    if (rc > 0) {
        session = sqlite3_column_int64(st, 0);
        const char *role = db_text_or(st, 1);
        body = strcmp(role, "user") == 0 || strcmp(role, "system") == 0 ? PROMPT : ANSWER;
        db_reset(st);
        rc = 0;
    }
    st = rc == 0 ? db_bind(h, SQL_PARTS, "i", node) : NULL;
    while (rc == 0 && (rc = db_row(h, st, err)) > 0) {
        const char *kind = db_text_or(st, 0), *text = sqlite3_column_blob(st, 1);
        if (text && strcmp(kind, "error") != 0)
            gather(&c[strcmp(kind, "reasoning") == 0 ? REASONING : body], text, (size_t)sqlite3_column_bytes(st, 1));
        rc = 0;
    }
    if (rc == 0)
        rc = title_of(h, node, session, &title, &first, err);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_INDEX_DROP, "i", node), err);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_DOC_ADD, "issss", node, buf_str(&title), buf_str(&c[PROMPT].text), buf_str(&c[ANSWER].text),
                               buf_str(&c[REASONING].text)), err);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_INDEX_ADD, "i", node), err);
    for (int i = 0; i < 3; i++)
        buf_finish(&c[i].text);
    buf_finish(&title);
    return rc;
}

int search_retitle(struct hist *h, int64_t session, struct err *err)
{
    struct buf title = BUF_INIT(1 << 20);
    int64_t first = 0;
    int rc = title_of(h, 0, session, &title, &first, err);
    if (rc == 0 && first) {
        rc = db_run(h, db_bind(h, SQL_INDEX_DROP, "i", first), err);
        if (rc == 0)
            rc = db_run(h, db_bind(h, SQL_DOC_TITLE, "is", first, buf_str(&title)), err);
        if (rc == 0)
            rc = db_run(h, db_bind(h, SQL_INDEX_ADD, "i", first), err);
    }
    buf_finish(&title);
    return rc;
}

/* ---- looking ---- */

static bool is_space(const char *s)
{
    return *s == ' ' || (*s >= '\t' && *s <= '\r') || strncmp(s, "\u3000", 3) == 0;
}

bool search_word(const char **at, struct word *w)
{
    const char *s = *at;
    while (*s && is_space(s))
        s += *s == '\xe3' ? 3 : 1;
    if (!*s)
        return false;
    *w = (struct word){0};
    if (s[0] == '-' && s[1] && s[1] != '-' && !is_space(s + 1)) { /* "--option" is a word */
        w->minus = true;
        s++;
    }
    if (*s == '"') {
        w->quoted = true;
        w->s = ++s;
        w->n = strcspn(s, "\"");
        s += w->n + (s[w->n] == '"');
    } else {
        w->s = s;
        while (*s && !is_space(s))
            s++;
        w->n = (size_t)(s - w->s);
        w->prefix = w->n > 1 && s[-1] == '*';
    }
    *at = s;
    return true;
}

void search_add(struct buf *out, const struct word *w, bool prefix)
{
    struct buf text = BUF_INIT(8 * w->n + 16);
    search_text(&text, w->s, w->n);
    buf_addch(out, '"');
    for (size_t i = 0; i < text.len; i++)
        buf_addch(out, text.data[i] == '"' ? ' ' : text.data[i]);
    buf_addstr(out, w->prefix || prefix ? "\" * " : "\" ");
    buf_finish(&text);
}

void search_query(struct buf *out, const char *words, const char *column, bool prefix)
{
    char *text = mem_strndup(words, strnlen(words, SEARCH_MAX_QUERY));
    struct word w;
    bool plus = false, minus = false;
    for (const char *at = text; search_word(&at, &w);) {
        plus |= !w.minus;
        minus |= w.minus;
    }
    if (plus || minus) {
        buf_addf(out, "%s%s(", column ? column : "", column ? " : " : "");
        for (const char *at = text; search_word(&at, &w);)
            if (!w.minus || !plus)
                search_add(out, &w, prefix);
        buf_addch(out, ')');
    }
    if (plus && minus) {
        const char *before = " NOT (";
        for (const char *at = text; search_word(&at, &w);)
            if (w.minus) {
                buf_addstr(out, before);
                search_add(out, &w, false);
                before = "OR ";
            }
        buf_addch(out, ')');
    }
    free(text);
}
