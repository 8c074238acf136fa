/*
 * Looking: for messages (hist_find) and for sessions in a list (hist_list_filter). What a person typed is parted into words, which FTS5
 * looks for, and conditions (tag:, model:, after: ..), which are tested on the rows that it finds. As one types, nothing is done for more
 * than MANY messages: counting the matches is quick, ranking them is what takes time, so beyond that the newest come first.
 */
#include "config.h"
#include "history/impl.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/mem.h"
#include "base/utf8.h"

#define MANY 2000      /* matches that are ranked as one types */
#define LOOKS 15000    /* messages whose conditions alone are looked at as one types */
#define BETWEEN '\x1f' /* as search.c puts it */
#define MAX_WORDS 64   /* words and conditions of a query; those behind do not count */

enum what { WORD, TAG, MODEL, AFTER, BEFORE, PINNED, ARCHIVED };

struct term {
    enum what what;
    bool minus, prefix;
    struct word word; /* WORD, and the value of TAG and MODEL, borrowed from the query's text */
    int64_t ms;       /* AFTER, BEFORE */
};

struct query {
    char *text;
    struct term at[MAX_WORDS];
    size_t n;
    char columns[64]; /* of the index, "" for all */
};

/* ---- taking a query apart ---- */

/* "2026", "2026-06", "2026-06-14", "today", "yesterday" as local midnight. */
static bool parse_date(const char *s, size_t n, int64_t *ms)
{
    char text[16];
    struct tm tm = {.tm_isdst = -1, .tm_mday = 1};
    time_t now = time(NULL);
    int year, month = 1, day = 1, used = 0;
    if (n >= sizeof text)
        return false;
    memcpy(text, s, n);
    text[n] = 0;
    if (strcasecmp(text, "today") == 0 || strcasecmp(text, "yesterday") == 0) {
        if (!localtime_r(&now, &tm))
            return false;
        tm = (struct tm){.tm_isdst = -1, .tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday - (tolower(text[0]) == 'y')};
    } else {
        if (strspn(text, "0123456789-") != n || n < 4 || text[n - 1] == '-' || !isdigit((unsigned char)text[0]))
            return false;
        int got = sscanf(text, "%4d%n-%2d%n-%2d%n", &year, &used, &month, &used, &day, &used);
        if (got < 1 || (size_t)used != n || year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31)
            return false;
        tm.tm_year = year - 1900;
        tm.tm_mon = month - 1;
        tm.tm_mday = day;
    }
    time_t t = mktime(&tm);
    *ms = (int64_t)t * 1000;
    return t != (time_t)-1;
}

static bool is_word(const struct word *w, const char *text)
{
    return w->n == strlen(text) && strncasecmp(w->s, text, w->n) == 0;
}

/* "in:you": one more column to look in. */
static bool add_column(struct query *q, const struct word *w)
{
    static const struct {
        const char *name, *column;
    } all[] = {{"in:you", "prompt"}, {"in:prompt", "prompt"}, {"in:answer", "answer"}, {"in:thought", "reasoning"}, {"in:title", "title"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        size_t have = strlen(q->columns);
        if (!is_word(w, all[i].name))
            continue;
        if (!strstr(q->columns, all[i].column))
            snprintf(q->columns + have, sizeof q->columns - have, "%s%s", have ? " " : "", all[i].column);
        return true;
    }
    return false;
}

/* A condition; false: a word like others. */
static bool condition(const struct word *w, struct term *t)
{
    static const struct {
        const char *name;
        enum what what;
    } all[] = {{"tag:", TAG}, {"model:", MODEL}, {"after:", AFTER}, {"before:", BEFORE}, {"is:pinned", PINNED}, {"is:archived", ARCHIVED}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        size_t n = strlen(all[i].name);
        if (w->n < n || strncasecmp(w->s, all[i].name, n) != 0)
            continue;
        *t = (struct term){.what = all[i].what, .minus = w->minus, .word = {.s = w->s + n, .n = w->n - n}};
        if (t->what == PINNED || t->what == ARCHIVED)
            return t->word.n == 0;
        if (t->word.n && *t->word.s == '#' && t->what == TAG) {
            t->word.s++;
            t->word.n--;
        }
        return t->word.n && (t->what == TAG || t->what == MODEL || parse_date(t->word.s, t->word.n, &t->ms));
    }
    return false;
}

/* typing: the last word is a beginning, unless something stands behind it. */
static void query_init(struct query *q, const char *words, bool typing)
{
    *q = (struct query){.text = mem_strndup(words, strnlen(words, SEARCH_MAX_QUERY))};
    struct word w;
    for (const char *at = q->text; q->n < MAX_WORDS && search_word(&at, &w);) {
        struct term *t = &q->at[q->n];
        if (!w.quoted && add_column(q, &w))
            continue;
        if (!w.quoted && condition(&w, t)) {
            q->n++;
            continue;
        }
        *t = (struct term){.what = WORD, .minus = w.minus, .word = w, .prefix = typing && !*at && !w.minus && !w.quoted};
        q->n++;
    }
}

static void query_finish(struct query *q)
{
    free(q->text);
}

/* One ASCII letter begins too much to be looked for. */
static bool is_short(const struct term *t)
{
    return t->prefix && t->word.n == 1 && (unsigned char)t->word.s[0] < 0x80;
}

/* The words as an FTS5 expression; nothing when there are none. Only excluded ones are looked for. */
static void query_fts(const struct query *q, struct buf *out)
{
    bool plus = false, minus = false, more;
    for (size_t i = 0; i < q->n; i++) {
        plus |= q->at[i].what == WORD && !q->at[i].minus;
        minus |= q->at[i].what == WORD && q->at[i].minus;
    }
    if (!plus && !minus)
        return;
    if (q->columns[0])
        buf_addf(out, "{%s} : ", q->columns);
    buf_addch(out, '(');
    more = false;
    for (size_t i = 0; i < q->n; i++) {
        const struct term *t = &q->at[i];
        if (t->what != WORD || (t->minus && plus) || (is_short(t) && more))
            continue;
        search_add(out, &t->word, t->prefix && !is_short(t));
        more = true;
    }
    buf_addch(out, ')');
    const char *before = " NOT (";
    for (size_t i = 0; plus && minus && i < q->n; i++)
        if (q->at[i].what == WORD && q->at[i].minus) {
            buf_addstr(out, before);
            search_add(out, &q->at[i].word, false);
            before = "OR ";
        }
    if (plus && minus)
        buf_addch(out, ')');
}

/* ---- conditions ---- */

/* What conditions are about. Texts are never NULL. */
struct facts {
    const char *tags, *model;
    int64_t ms;
    bool pinned, archived;
};

/* Is it in the text, ASCII letters without case? */
static bool contains(const char *text, const struct word *w)
{
    size_t n = strlen(text);
    for (size_t i = 0; i + w->n <= n; i++)
        if (strncasecmp(text + i, w->s, w->n) == 0)
            return true;
    return false;
}

/* A tag of the list is, or begins, like this. */
static bool has_tag(const char *tags, const struct word *w, bool begins)
{
    for (const char *s = tags; *s;) {
        size_t n = strcspn(s, " ");
        if ((begins ? n >= w->n : n == w->n) && strncasecmp(s, w->s, w->n) == 0)
            return true;
        s += n + (s[n] == ' ');
    }
    return false;
}

/* All conditions (words are another's); session: those that are the same for all messages of one. */
static bool fits(const struct query *q, const struct facts *f, bool session)
{
    for (size_t i = 0; i < q->n; i++) {
        const struct term *t = &q->at[i];
        if (session && (t->what == MODEL || t->what == AFTER || t->what == BEFORE))
            continue;
        bool is = t->what == WORD  ? !t->minus :
                  t->what == TAG   ? has_tag(f->tags, &t->word, false) :
                  t->what == MODEL ? contains(f->model, &t->word) :
                  t->what == AFTER ? f->ms >= t->ms :
                  t->what == BEFORE ? f->ms < t->ms :
                  t->what == PINNED ? f->pinned : f->archived;
        if (is == t->minus)
            return false;
    }
    return true;
}

/* ---- messages ---- */

static char *clean_snippet(const char *s)
{
    char *out = mem_strdup(s), *to = out;
    for (const char *p = out; *p; p++)
        if (*p != BETWEEN)
            *to++ = *p;
    *to = 0;
    return out;
}

void hist_hits_finish(struct hist_hits *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->at[i].title);
        free(l->at[i].snippet);
        free(l->at[i].model);
    }
    free(l->at);
    *l = (struct hist_hits){0};
}

struct finding {
    struct query q;
    struct buf fts;
    int64_t session;
    size_t limit; /* 0: none */
    int looks;    /* that are left for conditions alone */
    struct hist_hits l;
    struct hist_hit hit; /* the message that has just been found to fit, but for its snippet */
    int rc;              /* of looking at it, with its error */
    struct err err;
};

static void hit_finish(struct hist_hit *hit)
{
    free(hit->title);
    free(hit->model);
    *hit = (struct hist_hit){0};
}

/* Does the message fit? Then it is in f->hit. */
static bool look_at(struct hist *h, int64_t node)
{
    struct finding *f = h->finding;
    sqlite3_stmt *st = db_bind(h, SQL_FIND_ROW, "ii", node, f->session);
    hit_finish(&f->hit);
    if ((f->rc = db_row(h, st, &f->err)) <= 0)
        return false;
    f->rc = 0;
    struct facts facts = {db_text_or(st, 6), db_text_or(st, 5), sqlite3_column_int64(st, 4), sqlite3_column_int(st, 7) != 0,
                          sqlite3_column_int(st, 8) != 0};
    bool is = fits(&f->q, &facts, false);
    if (is) {
        f->hit = (struct hist_hit){
            .session = sqlite3_column_int64(st, 0),
            .node = node,
            .title = mem_strdup(db_text_or(st, 2)),
            .created_ms = sqlite3_column_int64(st, 4),
            .model = db_text(st, 5),
        };
        memccpy(f->hit.uid, db_text_or(st, 1), 0, sizeof f->hit.uid - 1);
        for (int i = 0; hist_role_name(i); i++)
            if (strcmp(hist_role_name(i), db_text_or(st, 3)) == 0)
                f->hit.role = (enum hist_role)i;
    }
    db_reset(st);
    return is;
}

/* hist_fits(node) */
static void fits_function(sqlite3_context *context, int n, sqlite3_value **value)
{
    struct hist *h = sqlite3_user_data(context);
    (void)n;
    bool is = h->finding && look_at(h, sqlite3_value_int64(value[0]));
    if (h->finding && h->finding->rc < 0)
        sqlite3_result_error(context, h->finding->err.msg, -1);
    else
        sqlite3_result_int(context, is);
}

int find_set_up(struct hist *h)
{
    return sqlite3_create_function_v2(h->db, "hist_fits", 1, SQLITE_UTF8 | SQLITE_DIRECTONLY, h, fits_function, NULL, NULL, NULL);
}

/* Takes what was found among the hits; the snippet becomes theirs. 1: there are enough. */
static int take(struct finding *f, char *snippet)
{
    if (f->limit && f->l.n == f->limit) {
        f->l.more = true;
        free(snippet);
        return 1;
    }
    if ((f->l.n & (f->l.n - 1)) == 0) /* grows at powers of two */
        f->l.at = mem_grow(f->l.at, f->l.n ? 2 * f->l.n : 1, sizeof *f->l.at);
    f->l.at[f->l.n] = f->hit;
    f->l.at[f->l.n++].snippet = snippet;
    f->hit = (struct hist_hit){0};
    return 0;
}

/* Are there more matches than are ranked as one types? 1, 0, or an error. */
static int is_many(struct hist *h, const char *fts, struct err *err)
{
    sqlite3_stmt *st = db_bind(h, SQL_FIND_COUNT, "s", fts);
    int rc, n = 0;
    while ((rc = db_row(h, st, err)) > 0)
        if (++n > MANY) {
            db_reset(st);
            return 1;
        }
    return rc;
}

static int find_words(struct hist *h, struct finding *f, bool typing, struct err *err)
{
    int many = typing ? is_many(h, buf_str(&f->fts), err) : 0, rc;
    if (many < 0)
        return many;
    f->l.newest = many > 0;
    sqlite3_stmt *st = db_bind(h, many ? SQL_FIND_NEWEST : SQL_FIND_RANKED, "s", buf_str(&f->fts));
    while ((rc = db_row(h, st, err)) > 0)
        if (take(f, clean_snippet(db_text_or(st, 1)))) {
            db_reset(st);
            return 0;
        }
    return rc;
}

/* How a message begins. */
static int beginning(struct hist *h, int64_t node, char **out, struct err *err)
{
    sqlite3_stmt *st = db_bind(h, SQL_PARTS, "i", node);
    int rc = db_row(h, st, err);
    struct buf b = BUF_INIT(1000);
    if (rc > 0) {
        const char *text = sqlite3_column_blob(st, 1);
        size_t n = (size_t)sqlite3_column_bytes(st, 1), len;
        for (size_t i = 0; i < n && b.len < 200; i += len) {
            uint32_t cp = utf8_decode(text + i, n - i, &len);
            if (cp > ' ' && cp != 0x7f && cp < UTF8_PART)
                buf_add(&b, text + i, len);
            else if (b.len && b.data[b.len - 1] != ' ')
                buf_addch(&b, ' ');
        }
        db_reset(st);
    }
    if (rc >= 0)
        *out = mem_strdup(buf_str(&b));
    buf_finish(&b);
    return rc < 0 ? rc : 0;
}

/* The newest messages of a session, as many as are wanted. 1: there are enough. */
static int find_in(struct hist *h, struct finding *f, int64_t session, struct err *err)
{
    sqlite3_stmt *st = db_bind(h, SQL_NODE_SESSION, "i", session);
    int rc;
    while ((rc = db_row(h, st, err)) > 0) {
        int64_t node = sqlite3_column_int64(st, 0);
        char *text = NULL;
        rc = 0;
        if (f->looks-- == 0) {
            f->l.more = true;
            rc = 1;
        } else if (!look_at(h, node)) {
            if (f->rc < 0)
                rc = err_set(err, ERR_HISTORY, "%s", f->err.msg);
        } else if ((rc = beginning(h, node, &text, err)) == 0) {
            rc = take(f, text);
        }
        if (rc != 0) {
            db_reset(st);
            return rc;
        }
    }
    return rc;
}

/* Conditions alone: the newest messages of the sessions that they leave. */
static int find_newest(struct hist *h, struct finding *f, struct err *err)
{
    struct hist_list all = {0};
    int rc = hist_session_list_of(h, HIST_ALL, 0, &all, err);
    f->l.newest = true;
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        const struct hist_session *s = &all.at[i];
        struct facts facts = {.tags = s->tags, .model = "", .pinned = s->pinned, .archived = s->archived_ms != 0};
        if ((!f->session || s->id == f->session) && fits(&f->q, &facts, true))
            rc = find_in(h, f, s->id, err);
    }
    hist_list_finish(&all);
    return rc < 0 ? rc : 0;
}

int hist_find(struct hist *h, const struct hist_find *what, struct hist_hits *out, struct err *err)
{
    struct finding f = {.fts = BUF_INIT(1 << 20), .session = what->session, .limit = what->limit > 0 ? (size_t)what->limit : 0,
                        .looks = what->typing ? LOOKS : INT_MAX};
    query_init(&f.q, what->words, what->typing);
    query_fts(&f.q, &f.fts);
    int rc = db_read_begin(h, err);
    h->finding = &f;
    if (rc == 0) {
        rc = f.fts.len ? find_words(h, &f, what->typing, err) : f.q.n ? find_newest(h, &f, err) : 0;
        db_read_end(h);
    }
    h->finding = NULL;
    hit_finish(&f.hit);
    query_finish(&f.q);
    buf_finish(&f.fts);
    if (rc == 0)
        *out = f.l;
    else
        hist_hits_finish(&f.l);
    return rc;
}

int hist_search(struct hist *h, const char *words, int limit, struct hist_hits *out, struct err *err)
{
    return hist_find(h, &(struct hist_find){.words = words, .limit = limit}, out, err);
}

/* ---- rows of a list ---- */

/* Where a session stands in the list. */
struct place {
    int64_t id;
    size_t row;
};

static int by_id(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* One word: hit[row] for the sessions with it. */
static int filter_word(struct hist *h, const struct term *t, const struct hist_list *l, const struct place *places, bool *hit, struct err *err)
{
    size_t left = l->n;
    int64_t last = 0;
    for (size_t i = 0; i < l->n; i++) {
        hit[i] = contains(l->at[i].title, &t->word) || has_tag(l->at[i].tags, &t->word, true);
        left -= hit[i];
    }
    if (is_short(t))
        return 0;
    struct buf fts = BUF_INIT(1 << 20);
    search_add(&fts, &t->word, t->prefix);
    sqlite3_stmt *st = left ? db_bind(h, SQL_FIND_SESSIONS, "s", buf_str(&fts)) : NULL;
    int rc = 0;
    while (left && (rc = db_row(h, st, err)) > 0) {
        struct place key = {.id = sqlite3_column_int64(st, 0)};
        const struct place *p = key.id == last ? NULL : bsearch(&key, places, l->n, sizeof *places, by_id);
        last = key.id;
        if (p && !hit[p->row]) {
            hit[p->row] = true;
            left--;
        }
    }
    if (!left && st && rc > 0)
        db_reset(st);
    buf_finish(&fts);
    return rc < 0 ? rc : 0;
}

int hist_list_filter(struct hist *h, const char *words, const struct hist_list *l, bool *keep, struct err *err)
{
    struct query q;
    int rc = 0;
    query_init(&q, words, false);
    bool *hit = mem_alloc(l->n + 1);
    struct place *places = mem_alloc((l->n + 1) * sizeof *places);
    for (size_t i = 0; i < l->n; i++) {
        const struct hist_session *s = &l->at[i];
        struct facts facts = {s->tags, s->model ? s->model : "", s->updated_ms, s->pinned, s->archived_ms != 0};
        keep[i] = fits(&q, &facts, false);
        places[i] = (struct place){s->id, i};
    }
    qsort(places, l->n, sizeof *places, by_id);
    for (size_t k = 0; rc == 0 && k < q.n; k++) {
        if (q.at[k].what != WORD)
            continue;
        q.at[k].prefix = !q.at[k].minus && !q.at[k].word.quoted;
        rc = filter_word(h, &q.at[k], l, places, hit, err);
        for (size_t i = 0; i < l->n; i++)
            keep[i] &= hit[i] != q.at[k].minus;
    }
    free(places);
    free(hit);
    query_finish(&q);
    return rc;
}
