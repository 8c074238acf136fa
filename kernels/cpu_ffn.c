/*
 * The feed-forward block: items of 32 rows of gate and up together, so that the gated values are made, and rounded for
 * the product with down, while they are in the cache.
 */
#include "config.h"
#include "kernels/cpu.h"

struct ffn_job {
    struct bk *b;
    const struct bk_ffn *f;
};

void cpu_gated(struct bk *b, int ith, const struct cpu_gate *g, const struct act *in, int c0, int c1, struct act *out)
{
    const struct cpu_hand *h = &b->hand[ith];
    int rows = g->gate->rows, end = (c1 + MAT_PANEL - 1) / MAT_PANEL * MAT_PANEL, at = 0;
    mat_mul(g->gate, in, c0, end < rows ? end : rows, h->tile[0], CPU_TILE, c0, g->gate_b, h->mat);
    if (g->up) {
        mat_mul(g->up, in, c0, c1, h->tile[1], CPU_TILE, c0, g->up_b, h->mat);
    } else { /* rows behind the gate's; a panel may begin in front of them */
        int r0 = (g->n_ff + c0) / MAT_PANEL * MAT_PANEL, r1 = (g->n_ff + c1 + MAT_PANEL - 1) / MAT_PANEL * MAT_PANEL;
        at = g->n_ff + c0 - r0;
        mat_mul(g->gate, in, r0, r1 < rows ? r1 : rows, h->tile[1], CPU_TILE, r0, g->gate_b, h->mat);
    }
    for (int t = 0; t < in->n; t++) {
        float *y = h->tile[0] + (size_t)t * CPU_TILE, *dst = out->q ? y : (float *)out->f + (size_t)t * out->ld + c0;
        b->vec->gate(g->act, g->limit, y, h->tile[1] + (size_t)t * CPU_TILE + at, c1 - c0, dst);
    }
    if (out->q)
        act_quantize_from(out, b->isa, 0, in->n, c0, c1, h->tile[0], CPU_TILE);
}

static void ffn(void *arg, int ith, int nth)
{
    (void)nth;
    struct ffn_job *j = arg;
    struct bk *b = j->b;
    const struct bk_ffn *f = j->f;
    struct act in, mid;
    struct cpu_gate g = {.gate = &f->gate.w->mat, .up = f->up.w ? &f->up.w->mat : NULL, .gate_b = f->gate.b ? f->gate.b->vec : NULL,
                         .up_b = f->up.b ? f->up.b->vec : NULL, .n_ff = f->n_ff, .act = f->act, .limit = f->limit};
    cpu_start(b, ith);
    cpu_norm(b, ith, 0, &f->in, 0, cpu_reads_q(&f->gate) || cpu_reads_q(&f->up), &in);
    act_init(&mid, b->isa, b->n, f->n_ff, b->wide, b->ld_wide, cpu_reads_q(&f->down) ? b->wide_q : NULL);
    struct cpu_items it = cpu_items(b, 1, ith, (f->n_ff + CPU_GATE_STEP - 1) / CPU_GATE_STEP);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int c0 = i * CPU_GATE_STEP, c1 = c0 + CPU_GATE_STEP < f->n_ff ? c0 + CPU_GATE_STEP : f->n_ff;
        cpu_gated(b, ith, &g, &in, c0, c1, &mid);
    }
    pool_barrier(b->pool, ith);
    cpu_add(b, ith, 2, &f->down, &mid, &f->post, f->out_scale);
}

int cpu_ffn(struct bk *b, const struct bk_ffn *f, struct err *err)
{
    int rc = 0;
    if (!b->kv || f->n_ff < 1 || f->n_ff > b->n_wide)
        rc = err_set(err, ERR_USAGE, "a feed-forward block of %d values does not fit what was reserved (%d)", f->n_ff, b->n_wide);
    if (!rc)
        rc = cpu_check(&f->gate, "gate", f->up.w ? f->n_ff : 2 * f->n_ff, b->n_embd, err);
    if (!rc && f->up.w)
        rc = cpu_check(&f->up, "up", f->n_ff, b->n_embd, err);
    if (!rc)
        rc = cpu_check(&f->down, "down", b->n_embd, f->n_ff, err);
    if (!rc)
        rc = cpu_check_norm(&f->in, "input", b->n_embd, err);
    if (!rc)
        rc = cpu_check_norm(&f->post, "output", b->n_embd, err);
    if (rc)
        return rc;
    struct ffn_job j = {b, f};
    cpu_run(b, ffn, &j);
    return 0;
}
