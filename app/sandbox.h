#ifndef APP_SANDBOX_H
#define APP_SANDBOX_H
/*
 * The engine's confinement: after this the process reads files and uses the descriptors it has, and that is all. It cannot write, make
 * or remove a file, run a program, make a process, connect, trace or mount. For good, and for all threads made later (those
 * that are there already get the filter, but not Landlock: call it before there is a second one).
 *
 * Steps the kernel does not offer are left out, none is fatal. `text` (may be NULL) gets what holds, for the log:
 * "no new privileges, no core dumps, Landlock 7, seccomp". True when all of them hold.
 */
#include <stdbool.h>
#include <stddef.h>

bool sandbox_enter(char *text, size_t size);

#endif
