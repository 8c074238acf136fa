/* kernels/pool: every thread takes part, meetings hold, nothing is taken twice, and an idle pool costs nothing. */
#include "config.h"
#include "tests/t.h"

#include <sys/resource.h>
#include <unistd.h>

#include "kernels/pool.h"

#define MAX 80

struct job {
    struct pool *p;
    int rounds;
    int seen[MAX];          /* written by the thread of that number alone */
    int wrong[MAX];         /* what a thread found wrong */
    atomic_int next;
    unsigned char taken[10000];
};

static struct pool *make(int n)
{
    struct err err;
    struct pool *p = NULL;
    assert_int_equal(pool_create(n, &p, &err), 0);
    assert_int_equal(pool_threads(p), n);
    return p;
}

static void count(void *arg, int ith, int nth)
{
    struct job *j = arg;
    j->seen[ith]++;
    j->wrong[ith] += nth != pool_threads(j->p);
}

static void every_thread_runs(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 8, 9, 10, 73};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        struct job *j = calloc(1, sizeof *j);
        j->p = make(sizes[k]);
        for (int run = 1; run <= 50; run++) {
            pool_run(j->p, count, j);
            for (int i = 0; i < MAX; i++) {
                assert_int_equal(j->seen[i], i < sizes[k] ? run : 0);
                assert_int_equal(j->wrong[i], 0);
            }
        }
        pool_destroy(j->p);
        free(j);
    }
}

/* Between two meetings each thread writes its own slot only; after one, all slots show the round. */
static void meet(void *arg, int ith, int nth)
{
    struct job *j = arg;
    for (int r = 1; r <= j->rounds; r++) {
        j->seen[ith]++;
        pool_barrier(j->p, ith);
        for (int i = 0; i < nth; i++)
            j->wrong[ith] += j->seen[i] != j->seen[ith];
        pool_barrier(j->p, ith);
    }
}

static void meetings_hold(void **state)
{
    (void)state;
    static const struct {
        int n, rounds;
    } runs[] = {{1, 100}, {2, 5000}, {3, 500}, {9, 100}, {20, 50}, {74, 10}};
    for (size_t k = 0; k < sizeof runs / sizeof runs[0]; k++) {
        struct job *j = calloc(1, sizeof *j);
        j->p = make(runs[k].n);
        j->rounds = runs[k].rounds;
        for (int run = 0; run < 3; run++)
            pool_run(j->p, meet, j);
        for (int i = 0; i < runs[k].n; i++) {
            assert_int_equal(j->seen[i], 3 * runs[k].rounds);
            assert_int_equal(j->wrong[i], 0);
        }
        pool_destroy(j->p);
        free(j);
    }
}

static void take(void *arg, int ith, int nth)
{
    (void)ith, (void)nth;
    struct job *j = arg;
    for (int i; (i = pool_take(&j->next, 7)) < (int)sizeof j->taken;)
        for (int k = i; k < i + 7 && k < (int)sizeof j->taken; k++)
            j->taken[k]++;
}

static void all_is_taken_once(void **state)
{
    (void)state;
    struct job *j = calloc(1, sizeof *j);
    j->p = make(3);
    pool_run(j->p, take, j);
    for (size_t i = 0; i < sizeof j->taken; i++)
        assert_int_equal(j->taken[i], 1);
    pool_destroy(j->p);
    free(j);
}

static void fewer_threads_can_be_used(void **state)
{
    (void)state;
    enum { N = 20 };
    static const int used[] = {20, 3, 1, 1, 9, 20, 10, 2, 20};
    struct job *j = calloc(1, sizeof *j);
    j->p = make(N);
    j->rounds = 5;
    for (size_t k = 0; k < sizeof used / sizeof used[0]; k++) {
        pool_use(j->p, used[k]);
        for (int run = 0; run < 3; run++) {
            memset(j->seen, 0, sizeof j->seen);
            pool_run(j->p, meet, j);
            for (int i = 0; i < N; i++) {
                assert_int_equal(j->seen[i], i < used[k] ? j->rounds : 0);
                assert_int_equal(j->wrong[i], 0);
            }
        }
    }
    assert_int_equal(pool_threads(j->p), N);
    pool_destroy(j->p);
    free(j);
}

/* One thread is late by far more than the others spin: they sleep, and wake. */
static void late(void *arg, int ith, int nth)
{
    struct job *j = arg;
    for (int r = 0; r < 3; r++) {
        if (ith == r % nth)
            usleep(20000);
        j->seen[ith]++;
        pool_barrier(j->p, ith);
        for (int i = 0; i < nth; i++)
            j->wrong[ith] += j->seen[i] != r + 1;
        pool_barrier(j->p, ith);
    }
}

static int64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * (int64_t)1000000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

static void waiting_is_sleeping(void **state)
{
    (void)state;
    struct job *j = calloc(1, sizeof *j);
    j->p = make(3);
    int64_t cpu = cpu_us();
    pool_run(j->p, late, j);
    assert_true(cpu_us() - cpu < 30000); /* three threads, 60 ms each */
    assert_true(pool_slept(j->p) >= 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(j->wrong[i], 0);
    usleep(20000); /* the workers go to sleep */
    cpu = cpu_us();
    usleep(200000);
    assert_true(cpu_us() - cpu < 2000);
    memset(j->seen, 0, sizeof j->seen);
    pool_run(j->p, count, j); /* and come back */
    for (int i = 0; i < 3; i++)
        assert_int_equal(j->seen[i], 1);
    pool_destroy(j->p);
    free(j);
}

static void numbers_are_checked(void **state)
{
    (void)state;
    struct err err = {0};
    struct pool *p = NULL;
    assert_int_equal(pool_create(0, &p, &err), ERR_USAGE);
    assert_string_equal(err.msg, "0 compute threads are asked for; 1 to 1024 can be had");
    assert_int_equal(pool_create(-3, &p, NULL), ERR_USAGE);
    assert_int_equal(pool_create(5000, &p, NULL), ERR_USAGE);
    assert_null(p);
    pool_destroy(NULL);
    pool_destroy(make(4)); /* one that never ran */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_runs),   cmocka_unit_test(meetings_hold),       cmocka_unit_test(all_is_taken_once),
        cmocka_unit_test(fewer_threads_can_be_used), cmocka_unit_test(waiting_is_sleeping), cmocka_unit_test(numbers_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
