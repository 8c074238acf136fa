/*
 * Following a text through a grammar. What may come next is a set of threads, each a node that takes bytes and a frame: where to go on when
 * its rule ends, and the frame behind that. Frames are made once (equal ones are one), so a set is a sorted list of pairs of
 * numbers, and sets that are equal are one, too: a state. A state keeps where each byte leads, once that is known, and which tokens it
 * allows. So a text that stays in known states costs a look into a table for each byte, and the mask of all tokens is made once a state.
 *
 * The mask walks the sorted vocabulary: two neighbours share the states of their common beginning, and what follows a refused
 * beginning is passed over.
 *
 * Budgets: threads of a state, states and frames. States that are not the current one are forgotten when there are many.
 */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/grammar_impl.h"

#define MAX_THREADS (1 << 13) /* of a state, and steps to find it */
#define MAX_STATES (1 << 16)
#define KEEP_STATES (1 << 13) /* more are forgotten between two tokens */
#define MAX_FRAMES (1 << 22)
#define KEEP_FRAMES (1 << 20)
#define KEEP_MASKS 512
#define MAX_TOKEN 255 /* bytes; a longer one is never allowed */

#define DEAD (-1)
#define UNKNOWN (-2)

/* ---- the vocabulary ---- */

struct grammar_vocab {
    int n;
    uint32_t *at; /* of each id's bytes, n + 1 */
    unsigned char *bytes;
    bool *ends; /* ends a generation */
    int32_t *order; /* ids with bytes, by bytes */
    unsigned char *shared; /* how many bytes of order[i] are those of order[i - 1] */
    int n_order, bucket[257]; /* by first byte */
};

static _Thread_local const struct grammar_vocab *sorting;

static size_t length_of(const struct grammar_vocab *v, int32_t id)
{
    return v->at[id + 1] - v->at[id];
}

static int by_bytes(const void *a, const void *b)
{
    const struct grammar_vocab *v = sorting;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    size_t n = length_of(v, x), m = length_of(v, y);
    int c = memcmp(v->bytes + v->at[x], v->bytes + v->at[y], n < m ? n : m);
    return c ? c : n != m ? (n < m ? -1 : 1) : x < y ? -1 : 1;
}

struct grammar_vocab *grammar_vocab_new(const struct tok *t)
{
    struct grammar_vocab *v = mem_zalloc(sizeof *v);
    struct buf all = BUF_INIT(UINT32_MAX), one = BUF_INIT(1 << 20);
    v->n = tok_count(t);
    v->at = mem_array((size_t)v->n + 1, sizeof *v->at);
    v->ends = mem_array((size_t)v->n + 1, sizeof *v->ends);
    v->order = mem_array((size_t)v->n + 1, sizeof *v->order);
    for (int32_t i = 0; i < v->n; i++) {
        enum tok_type kind = tok_kind(t, i);
        v->at[i] = (uint32_t)all.len;
        v->ends[i] = tok_is_eog(t, i);
        if (v->ends[i] || kind == TOK_CONTROL || kind == TOK_UNKNOWN || kind == TOK_UNUSED)
            continue;
        buf_reset(&one);
        tok_decode(t, i, false, &one);
        if (!one.len || one.len > MAX_TOKEN)
            continue;
        buf_add(&all, one.data, one.len);
        v->order[v->n_order++] = i;
    }
    v->at[v->n] = (uint32_t)all.len;
    v->bytes = (unsigned char *)buf_take(&all);
    buf_finish(&one);
    sorting = v;
    qsort(v->order, (size_t)v->n_order, sizeof *v->order, by_bytes);
    v->shared = mem_array((size_t)v->n_order + 1, 1);
    for (int i = 0, b = 0; i <= v->n_order; i++) {
        const unsigned char *p = i < v->n_order ? v->bytes + v->at[v->order[i]] : NULL;
        while (b <= (p ? *p : 256))
            v->bucket[b++] = i;
        if (!p || !i)
            continue;
        const unsigned char *q = v->bytes + v->at[v->order[i - 1]];
        size_t n = length_of(v, v->order[i]), m = length_of(v, v->order[i - 1]), k = 0;
        while (k < n && k < m && p[k] == q[k])
            k++;
        v->shared[i] = (unsigned char)k;
    }
    return v;
}

void grammar_vocab_free(struct grammar_vocab *v)
{
    if (!v)
        return;
    free(v->at);
    free(v->bytes);
    free(v->ends);
    free(v->order);
    free(v->shared);
    free(v);
}

/* ---- frames and states ---- */

struct frame {
    int32_t node, parent; /* frame 0 is the bottom: node -1 */
    uint32_t least;       /* fewest bytes from here to the end of the text */
};

struct thread {
    int32_t node, frame;
};

struct state {
    struct thread *thread;
    int n;
    bool end;       /* the text may end here */
    uint32_t least; /* fewest bytes to the end */
    uint32_t hash;
    int32_t next[256];
    uint64_t *mask;     /* by id, or NULL while it is not known */
    uint32_t mask_most; /* the largest `least` behind an allowed token */
    int mask_n;
};

struct table { /* open addressing, of indices; -1 is free */
    int32_t *slot;
    uint32_t n;
};

struct matcher {
    const struct grammar *g;
    const struct grammar_vocab *v;
    struct frame *frame;
    int32_t n_frame;
    struct table frames;
    struct state **state;
    int32_t n_state, now;
    struct table states;
    int n_masks;
    /* while a state is made */
    struct thread *work, *got;
    int n_work, n_got, cap_work, cap_got;
    struct thread *seen;
    uint32_t *stamp, pass, n_seen, cap_seen;
    int32_t *deep; /* states along a token */
};

static uint32_t mix(uint32_t a, uint32_t b)
{
    uint64_t h = ((uint64_t)a << 32 | b) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32) ^ (uint32_t)h;
}

static void table_grow(struct table *t, uint32_t n)
{
    t->n = n;
    free(t->slot);
    t->slot = mem_array(n, sizeof *t->slot);
    memset(t->slot, -1, n * sizeof *t->slot);
}

static int too_much(struct err *err)
{
    return err_set(err, ERR_INCOMPLETE, "the grammar has too many ways to go on from here");
}

static uint32_t sum(uint32_t a, uint32_t b)
{
    return a > GRAMMAR_NEVER - 1 - b ? GRAMMAR_NEVER - 1 : a + b;
}

/* The frame that goes on at `node`, then at `parent`; -1: there are too many. */
static int32_t frame_of(struct matcher *m, int32_t node, int32_t parent)
{
    if ((uint32_t)m->n_frame * 2 >= m->frames.n) {
        table_grow(&m->frames, m->frames.n * 2);
        for (int32_t i = 1; i < m->n_frame; i++) {
            uint32_t h = mix((uint32_t)m->frame[i].node, (uint32_t)m->frame[i].parent) & (m->frames.n - 1);
            while (m->frames.slot[h] >= 0)
                h = (h + 1) & (m->frames.n - 1);
            m->frames.slot[h] = i;
        }
    }
    uint32_t h = mix((uint32_t)node, (uint32_t)parent) & (m->frames.n - 1);
    for (int32_t i; (i = m->frames.slot[h]) >= 0; h = (h + 1) & (m->frames.n - 1))
        if (m->frame[i].node == node && m->frame[i].parent == parent)
            return i;
    if (m->n_frame >= MAX_FRAMES)
        return -1;
    if ((m->n_frame & (m->n_frame - 1)) == 0)
        m->frame = mem_grow(m->frame, (size_t)m->n_frame * 2, sizeof *m->frame);
    m->frame[m->n_frame] = (struct frame){node, parent, sum(m->g->least[node], m->frame[parent].least)};
    m->frames.slot[h] = m->n_frame;
    return m->n_frame++;
}

/* ---- making a state ---- */

static void push(struct thread **list, int *n, int *cap, struct thread t)
{
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 64;
        *list = mem_grow(*list, (size_t)*cap, sizeof **list);
    }
    (*list)[(*n)++] = t;
}

/* True: it was not there yet. */
static bool see(struct matcher *m, struct thread t)
{
    if (m->n_seen * 2 >= m->cap_seen) {
        uint32_t n = m->cap_seen;
        struct thread *old = m->seen;
        uint32_t *stamp = m->stamp;
        m->cap_seen = n ? n * 2 : 256;
        m->seen = mem_array(m->cap_seen, sizeof *m->seen);
        m->stamp = mem_array(m->cap_seen, sizeof *m->stamp);
        for (uint32_t i = 0; i < n; i++)
            if (stamp[i] == m->pass) {
                uint32_t h = mix((uint32_t)old[i].node, (uint32_t)old[i].frame) & (m->cap_seen - 1);
                while (m->stamp[h] == m->pass)
                    h = (h + 1) & (m->cap_seen - 1);
                m->seen[h] = old[i];
                m->stamp[h] = m->pass;
            }
        free(old);
        free(stamp);
    }
    uint32_t h = mix((uint32_t)t.node, (uint32_t)t.frame) & (m->cap_seen - 1);
    for (; m->stamp[h] == m->pass; h = (h + 1) & (m->cap_seen - 1))
        if (m->seen[h].node == t.node && m->seen[h].frame == t.frame)
            return false;
    m->seen[h] = t;
    m->stamp[h] = m->pass;
    m->n_seen++;
    return true;
}

/* Does this node only lead to the end of its rule? Then a call in front of it needs no frame. */
static bool only_returns(const struct grammar *g, int32_t node)
{
    for (int i = 0; g->node[node].type == GN_STEP && i < 64; i++)
        node = g->node[node].next;
    return g->node[node].type == GN_RET;
}

/* From the nodes in work[] to those that take bytes, in got[]. *end: the text may end. */
static int close_over(struct matcher *m, bool *end)
{
    const struct grammar *g = m->g;
    m->n_got = 0;
    m->n_seen = 0;
    if (++m->pass == 0) { /* once in four thousand million states */
        memset(m->stamp, 0, m->cap_seen * sizeof *m->stamp);
        m->pass = 1;
    }
    *end = false;
    while (m->n_work) {
        struct thread t = m->work[--m->n_work];
        const struct gnode *n = &g->node[t.node];
        if (g->least[t.node] == GRAMMAR_NEVER || !see(m, t))
            continue;
        if (m->n_seen > MAX_THREADS)
            return -1;
        switch (n->type) {
        case GN_BYTES:
            push(&m->got, &m->n_got, &m->cap_got, t);
            break;
        case GN_SPLIT:
            push(&m->work, &m->n_work, &m->cap_work, (struct thread){n->alt, t.frame}); /* fall through */
        case GN_STEP:
            push(&m->work, &m->n_work, &m->cap_work, (struct thread){n->next, t.frame});
            break;
        case GN_CALL: {
            int32_t f = only_returns(g, n->next) ? t.frame : frame_of(m, n->next, t.frame);
            if (f < 0)
                return -1;
            push(&m->work, &m->n_work, &m->cap_work, (struct thread){g->rule[n->alt].entry, f});
            break;
        }
        case GN_RET:
            if (t.frame == 0)
                *end = true;
            else
                push(&m->work, &m->n_work, &m->cap_work, (struct thread){m->frame[t.frame].node, m->frame[t.frame].parent});
            break;
        }
    }
    return 0;
}

static int by_thread(const void *a, const void *b)
{
    const struct thread *x = a, *y = b;
    return x->node != y->node ? (x->node < y->node ? -1 : 1) : x->frame < y->frame ? -1 : x->frame > y->frame;
}

static void index_state(struct matcher *m, int32_t i)
{
    uint32_t h = m->state[i]->hash & (m->states.n - 1);
    while (m->states.slot[h] >= 0)
        h = (h + 1) & (m->states.n - 1);
    m->states.slot[h] = i;
}

/* The state of work[]: DEAD, or its number; below: ERR_INCOMPLETE. */
static int32_t state_of(struct matcher *m, struct err *err)
{
    bool end;
    if (close_over(m, &end)) {
        m->n_work = 0;
        return too_much(err);
    }
    if (!m->n_got && !end)
        return DEAD;
    if (m->n_got)
        qsort(m->got, (size_t)m->n_got, sizeof *m->got, by_thread);
    uint32_t hash = end;
    for (int i = 0; i < m->n_got; i++)
        hash = mix(hash ^ (uint32_t)m->got[i].node, (uint32_t)m->got[i].frame);
    size_t bytes = (size_t)m->n_got * sizeof *m->got;
    for (uint32_t h = hash & (m->states.n - 1); m->states.slot[h] >= 0; h = (h + 1) & (m->states.n - 1)) {
        const struct state *s = m->state[m->states.slot[h]];
        if (s->hash == hash && s->n == m->n_got && s->end == end && (!bytes || !memcmp(s->thread, m->got, bytes)))
            return m->states.slot[h];
    }
    if (m->n_state >= MAX_STATES)
        return too_much(err);
    if ((m->n_state & (m->n_state - 1)) == 0)
        m->state = mem_grow(m->state, m->n_state ? (size_t)m->n_state * 2 : 1, sizeof *m->state);
    struct state *s = mem_zalloc(sizeof *s);
    s->thread = mem_array((size_t)m->n_got + 1, sizeof *s->thread);
    if (bytes)
        memcpy(s->thread, m->got, bytes);
    s->n = m->n_got;
    s->end = end;
    s->hash = hash;
    s->least = end ? 0 : GRAMMAR_NEVER;
    for (int i = 0; i < s->n; i++) {
        uint32_t k = sum(m->g->least[s->thread[i].node], m->frame[s->thread[i].frame].least);
        s->least = k < s->least ? k : s->least;
    }
    for (int i = 0; i < 256; i++)
        s->next[i] = UNKNOWN;
    m->state[m->n_state] = s;
    if ((uint32_t)m->n_state * 2 >= m->states.n) {
        table_grow(&m->states, m->states.n * 2);
        for (int32_t i = 0; i < m->n_state; i++)
            index_state(m, i);
    }
    index_state(m, m->n_state);
    return m->n_state++;
}

/* Where a byte leads: a state, DEAD, or ERR_INCOMPLETE (which is less than both). */
static int32_t step(struct matcher *m, int32_t state, unsigned char c, struct err *err)
{
    struct state *s = m->state[state];
    if (s->next[c] != UNKNOWN)
        return s->next[c];
    m->n_work = 0;
    for (int i = 0; i < s->n; i++) {
        const struct gnode *n = &m->g->node[s->thread[i].node];
        if (gset_has(&m->g->set[n->alt], c))
            push(&m->work, &m->n_work, &m->cap_work, (struct thread){n->next, s->thread[i].frame});
    }
    int32_t to = m->n_work ? state_of(m, err) : DEAD;
    if (to >= DEAD)
        s->next[c] = to;
    return to;
}

/* ---- forgetting ---- */

static void free_state(struct state *s)
{
    free(s->thread);
    free(s->mask);
    free(s);
}

/* Makes a frame of the old table anew, from the bottom up. */
static int32_t move_frame(struct matcher *m, const struct frame *old, int32_t f, int32_t *moved)
{
    int32_t chain = 0; /* reversed through `moved` while walking down: -2 - the one above */
    for (int32_t above = -2; f > 0 && moved[f] == -1; f = old[f].parent) {
        moved[f] = above;
        above = -2 - f;
        chain = f;
    }
    int32_t to = f > 0 ? moved[f] : 0;
    for (int32_t at = chain; chain && at > 0;) {
        int32_t above = -2 - moved[at];
        to = frame_of(m, old[at].node, to);
        moved[at] = to;
        at = above;
    }
    return to;
}

/* Keeps the current state alone. */
static int forget(struct matcher *m, struct err *err)
{
    struct state *now = m->state[m->now];
    if (!now->n)
        return 0; /* the text ends here */
    struct frame *old = m->frame;
    int32_t n = m->n_frame, *moved = mem_alloc((size_t)n * sizeof *moved);
    memset(moved, -1, (size_t)n * sizeof *moved);
    m->frame = mem_array(2, sizeof *m->frame);
    m->frame[0] = old[0];
    m->n_frame = 1;
    table_grow(&m->frames, 1024);
    m->n_work = 0;
    for (int i = 0; i < now->n; i++)
        push(&m->work, &m->n_work, &m->cap_work, (struct thread){now->thread[i].node, move_frame(m, old, now->thread[i].frame, moved)});
    bool end = now->end;
    free(old);
    free(moved);
    for (int32_t i = 0; i < m->n_state; i++)
        free_state(m->state[i]);
    m->n_state = m->n_masks = 0;
    table_grow(&m->states, 1024);
    m->now = state_of(m, err);
    if (m->now < 0) { /* nothing of a matcher that failed is of use but its memory */
        m->now = 0;
        return ERR_INCOMPLETE;
    }
    m->state[m->now]->end = end; /* the closure of nodes that take bytes does not see the end */
    if (end)
        m->state[m->now]->least = 0;
    return m->n_frame > KEEP_FRAMES / 2 ? too_much(err) : 0;
}

/* ---- the matcher ---- */

int matcher_create(const struct grammar *g, const struct grammar_vocab *v, struct matcher **out, struct err *err)
{
    struct matcher *m = mem_zalloc(sizeof *m);
    m->g = g;
    m->v = v;
    m->frame = mem_array(2, sizeof *m->frame);
    m->frame[0] = (struct frame){-1, -1, 0};
    m->n_frame = 1;
    table_grow(&m->frames, 1024);
    table_grow(&m->states, 1024);
    m->deep = mem_array(MAX_TOKEN + 1, sizeof *m->deep);
    push(&m->work, &m->n_work, &m->cap_work, (struct thread){g->rule[g->root].entry, 0});
    m->now = state_of(m, err);
    if (m->now < 0) { /* a root that ends was checked: it is too many ways */
        matcher_destroy(m);
        return ERR_INCOMPLETE;
    }
    *out = m;
    return 0;
}

void matcher_destroy(struct matcher *m)
{
    if (!m)
        return;
    for (int32_t i = 0; i < m->n_state; i++)
        free_state(m->state[i]);
    free(m->state);
    free(m->frame);
    free(m->frames.slot);
    free(m->states.slot);
    free(m->work);
    free(m->got);
    free(m->seen);
    free(m->stamp);
    free(m->deep);
    free(m);
}

static int go(struct matcher *m, int32_t to, struct err *err)
{
    if (to < DEAD)
        return to;
    if (to == DEAD)
        return 0;
    m->now = to;
    int rc = m->n_state > KEEP_STATES || m->n_frame > KEEP_FRAMES ? forget(m, err) : 0;
    return rc ? rc : 1;
}

int matcher_byte(struct matcher *m, unsigned char c, struct err *err)
{
    return go(m, step(m, m->now, c, err), err);
}

/* Behind all bytes of a token: a state, DEAD, or an error. */
static int32_t behind(struct matcher *m, int32_t id, struct err *err)
{
    const struct grammar_vocab *v = m->v;
    if (id < 0 || id >= v->n || !length_of(v, id))
        return DEAD;
    int32_t at = m->now;
    for (uint32_t i = v->at[id]; i < v->at[id + 1] && at >= 0; i++)
        at = step(m, at, v->bytes[i], err);
    return at;
}

int matcher_accept(struct matcher *m, int32_t id, struct err *err)
{
    if (id >= 0 && id < m->v->n && m->v->ends[id])
        return matcher_can_end(m);
    return go(m, behind(m, id, err), err);
}

bool matcher_can_end(const struct matcher *m)
{
    return m->state[m->now]->end;
}

bool matcher_must_end(const struct matcher *m)
{
    return m->state[m->now]->end && !m->state[m->now]->n;
}

uint32_t matcher_least(const struct matcher *m)
{
    return m->state[m->now]->least;
}

int matcher_allows(struct matcher *m, int32_t id, uint32_t room, struct err *err)
{
    if (id >= 0 && id < m->v->n && m->v->ends[id])
        return matcher_can_end(m);
    int32_t to = behind(m, id, err);
    return to < DEAD ? to : to >= 0 && m->state[to]->least <= room;
}

/* Calls visit() for every token that the grammar takes here, with the state behind it. */
static int each_allowed(struct matcher *m, void (*visit)(void *arg, int32_t id, uint32_t least), void *arg, struct err *err)
{
    const struct grammar_vocab *v = m->v;
    for (int b = 0; b < 256; b++) {
        int from = v->bucket[b], to = v->bucket[b + 1];
        if (from == to)
            continue;
        int32_t s = step(m, m->now, (unsigned char)b, err);
        if (s < DEAD)
            return s;
        if (s == DEAD)
            continue;
        m->deep[1] = s;
        size_t known = 1, dead = SIZE_MAX; /* states along the last token; how many of its bytes end in nothing */
        for (int i = from; i < to; i++) {
            size_t n = length_of(v, v->order[i]), k = i > from ? v->shared[i] : 1;
            if (k >= dead)
                continue;
            k = k < known ? k : known;
            const unsigned char *p = v->bytes + v->at[v->order[i]];
            for (dead = SIZE_MAX; k < n; k++) {
                s = step(m, m->deep[k], p[k], err);
                if (s < DEAD)
                    return s;
                if (s == DEAD) {
                    dead = k + 1;
                    break;
                }
                m->deep[k + 1] = s;
            }
            known = k;
            if (dead == SIZE_MAX)
                visit(arg, v->order[i], m->state[m->deep[n]]->least);
        }
    }
    return 0;
}

struct filling {
    struct state *s;
    uint32_t room, nearest;
    const float *logits;
    float *out;
    int count;
};

static void note_token(void *arg, int32_t id, uint32_t least)
{
    struct filling *f = arg;
    f->s->mask[id >> 6] |= (uint64_t)1 << (id & 63);
    f->s->mask_n++;
    f->s->mask_most = least > f->s->mask_most ? least : f->s->mask_most;
}

static int make_mask(struct matcher *m, struct err *err)
{
    struct state *s = m->state[m->now];
    size_t words = ((size_t)m->v->n + 63) / 64;
    if (m->n_masks == KEEP_MASKS) {
        for (int32_t i = 0; i < m->n_state; i++) {
            free(m->state[i]->mask);
            m->state[i]->mask = NULL;
        }
        m->n_masks = 0;
    }
    s->mask = mem_array(words, sizeof *s->mask);
    s->mask_n = 0;
    s->mask_most = 0;
    struct filling f = {.s = s};
    int rc = each_allowed(m, note_token, &f, err);
    if (rc) {
        free(s->mask);
        s->mask = NULL;
        return rc;
    }
    m->n_masks++;
    for (int32_t i = 0; s->end && i < m->v->n; i++)
        if (m->v->ends[i])
            note_token(&f, i, 0);
    return 0;
}

static void find_nearest(void *arg, int32_t id, uint32_t least)
{
    struct filling *f = arg;
    (void)id;
    f->nearest = least < f->nearest ? least : f->nearest;
}

static void fill_near(void *arg, int32_t id, uint32_t least)
{
    struct filling *f = arg;
    if (least > f->room)
        return;
    f->out[id] = f->logits[id];
    f->count++;
}

int matcher_mask(struct matcher *m, uint32_t room, const float *logits, float *out, int *count, struct err *err)
{
    struct state *s = m->state[m->now];
    int n = m->v->n, rc = s->mask ? 0 : make_mask(m, err);
    if (rc)
        return rc;
    s = m->state[m->now];
    if (s->mask_most <= room) {
        for (int i = 0; i < n; i += 64) {
            uint64_t w = s->mask[i >> 6];
            int end = n - i < 64 ? n - i : 64;
            for (int k = 0; k < end; k++)
                out[i + k] = -INFINITY;
            for (int k = 0; w; k++, w >>= 1)
                if (w & 1)
                    out[i + k] = logits[i + k];
        }
        *count = s->mask_n;
        return 0;
    }
    struct filling f = {.s = s, .room = room, .nearest = GRAMMAR_NEVER, .logits = logits, .out = out};
    for (int i = 0; i < n; i++) {
        bool end = s->end && m->v->ends[i];
        out[i] = end ? logits[i] : -INFINITY;
        f.count += end;
    }
    rc = each_allowed(m, fill_near, &f, err);
    if (!rc && !f.count) {
        rc = each_allowed(m, find_nearest, &f, err);
        f.room = f.nearest;
        if (!rc)
            rc = each_allowed(m, fill_near, &f, err);
    }
    *count = f.count;
    return rc;
}
