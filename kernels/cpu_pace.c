/*
 * How many threads read one token. Its phases are microseconds long and all threads meet after each; when other processes
 * hold the cores, some thread of a meeting is nearly always not running, and fewer threads are faster by far (2 cores with two busy
 * neighbours: 91 tokens a second with one thread, 34 with two). Results do not depend on it.
 *
 * So single-token passes are timed. When threads begin to sleep for each other, a few passes are tried with fewer threads, and that is
 * kept if it was faster; from then on more threads are tried now and then. A trial that does worse ends early and makes the
 * pause to the next one longer. On a quiet machine no thread sleeps, and nothing is tried.
 */
#include "config.h"
#include "kernels/cpu.h"

#include "base/clock.h"

#define TRIAL 4          /* passes */
#define WORTH 0.93       /* of the present time a pass must take to be worth a change */
#define BUSY 2.0f        /* sleeps in a pass, on average */
#define PAUSE_US 250000
#define MAX_PAUSE_US 4000000

void cpu_pace_init(struct cpu_pace *p, int n_threads)
{
    *p = (struct cpu_pace){.trial = -1, .pause = PAUSE_US};
    for (int n = n_threads; n >= 1 && p->n_levels < CPU_LEVELS; n = p->n_levels == 1 && n > 2 ? n - 1 : n / 2)
        p->threads[p->n_levels++] = n;
}

static void use(struct bk *b, int n)
{
    b->n_used = n;
    pool_use(b->pool, n);
}

void cpu_pace_begin(struct bk *b)
{
    struct cpu_pace *p = &b->pace;
    p->began = 0;
    if (b->n > CPU_FEW) {
        use(b, b->n_threads);
        return;
    }
    use(b, p->threads[p->trial >= 0 && b->n == 1 ? p->trial : p->level]);
    if (b->n == 1 && p->n_levels > 1) {
        p->began = clock_mono_us();
        p->slept = pool_slept(b->pool);
    }
}

static void wait_longer(struct cpu_pace *p, int64_t now)
{
    p->pause = p->pause * 2 < MAX_PAUSE_US ? p->pause * 2 : MAX_PAUSE_US;
    p->next = now + p->pause;
    p->trial = -1;
}

void cpu_pace_end(struct bk *b)
{
    struct cpu_pace *p = &b->pace;
    if (!p->began)
        return;
    int64_t now = clock_mono_us(), took = now - p->began;
    p->began = 0;
    if (p->trial >= 0) {
        p->spent += took;
        p->left--;
        if ((double)p->spent > TRIAL * WORTH * p->mean) {
            wait_longer(p, now);
        } else if (!p->left) {
            p->level = p->trial;
            p->trial = -1;
            p->mean = (double)p->spent / TRIAL;
            p->busy = 0;
            p->pause = PAUSE_US;
            p->next = now + p->pause;
        }
        return;
    }
    float slept = (float)(pool_slept(b->pool) - p->slept);
    p->mean += p->mean > 0 ? ((double)took - p->mean) / 8 : (double)took;
    p->busy += (slept - p->busy) / 4;
    if (now < p->next)
        return;
    if (p->busy > BUSY && p->level + 1 < p->n_levels)
        p->trial = p->level + 1;
    else if (p->level > 0)
        p->trial = p->level - 1;
    p->left = TRIAL;
    p->spent = 0;
}
