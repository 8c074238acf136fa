#ifndef TESTS_ISA_H
#define TESTS_ISA_H
/*
 * Runs a test program once for each instruction set of this machine: the choice is made once a process, so main() starts
 * the program again for each, with HADAL_ISA set (and HADAL_EXACT, for bits are compared). Test names get the level in front.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/mat.h"
#include "tests/t.h"

#define T_ISA_CHILD "HADAL_TEST_ISA"

static inline int t_isa_child(char *self, const char *isa)
{
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        setenv("HADAL_ISA", isa, 1);
        setenv("HADAL_EXACT", "1", 1);
        setenv(T_ISA_CHILD, isa, 1);
        execl("/proc/self/exe", self, (char *)NULL);
        _exit(126);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 1;
    if (!WIFEXITED(status))
        fprintf(stderr, "[  FAILED  ] %s: ended by signal %d\n", isa, WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* What main() returns. */
static inline int t_every_isa(char **argv, struct CMUnitTest *tests, size_t n)
{
    static const char *const levels[] = {"scalar", "avx2", "avx512"};
    const char *isa = getenv(T_ISA_CHILD);
    if (!isa) {
        int bad = 0, top = (int)isa_level(), first = 0;
#ifdef __SANITIZE_THREAD__
        first = top; /* threads meet in the same way on every level */
#endif
        for (int i = first; i <= top; i++)
            bad |= t_isa_child(argv[0], levels[i]);
        return bad;
    }
    if (strcmp(levels[isa_level()], isa) != 0) {
        fprintf(stderr, "[  FAILED  ] %s: HADAL_ISA does not choose it\n", isa);
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        char *name = malloc(128);
        snprintf(name, 128, "%s: %s", isa, tests[i].name);
        tests[i].name = name;
    }
    int failed = _cmocka_run_group_tests(isa, tests, n, NULL, NULL);
    for (size_t i = 0; i < n; i++)
        free((char *)(uintptr_t)tests[i].name);
    return failed;
}

#endif
