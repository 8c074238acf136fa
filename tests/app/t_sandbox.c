/*
 * Confinement: what a process may not do after sandbox_enter, each tried in a child of its own that could do it before; and what an
 * engine must still be able to do.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/sandbox.h"
#include "tests/t.h"

static char dir[64], file[80], other[80];
static int listening = -1;
static struct sockaddr_in addr = {.sin_family = AF_INET};

/* Each returns 0 when it could be done, else errno. */
static int result(long rc)
{
    return rc < 0 ? errno : 0;
}

static int make_file(void)
{
    return result(open(other, O_WRONLY | O_CREAT, 0600));
}
static int write_file(void)
{
    return result(open(file, O_WRONLY));
}
static int write_both(void)
{
    return result(open(file, O_RDWR));
}
static int cut_file(void)
{
    return result(truncate(file, 0));
}
static int remove_file(void)
{
    return result(unlink(file));
}
static int make_dir(void)
{
    return result(mkdir(other, 0700));
}
static int make_link(void)
{
    return result(link(file, other));
}
static int change_mode(void)
{
    return result(chmod(file, 0644));
}
static int run_program(void)
{
    char path[] = "/bin/true", *argv[] = {path, NULL};
    execv(path, argv); /* "could be done" is exit status 0, too */
    return errno;
}
static int make_process(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return result(pid);
}
static int tcp(void)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    return s < 0 ? errno : result(connect(s, (struct sockaddr *)&addr, sizeof addr));
}
static int udp(void)
{
    return result(socket(AF_INET, SOCK_DGRAM, 0));
}
static int local_socket(void)
{
    return result(socket(AF_UNIX, SOCK_STREAM, 0));
}
static int signal_parent(void)
{
    return result(kill(getppid(), 0));
}
static int trace(void)
{
    return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}
static int dump_core(void)
{
    struct rlimit now;
    getrlimit(RLIMIT_CORE, &now);
    return now.rlim_cur == 0 ? EPERM : 0;
}

static const struct {
    const char *name;
    int (*fn)(void);
} forbidden[] = {
    {"make a file", make_file},       {"open for writing", write_file}, {"open for both", write_both}, {"truncate", cut_file},
    {"remove", remove_file},          {"make a directory", make_dir},   {"make a link", make_link},    {"change a mode", change_mode},
    {"run a program", run_program},   {"make a process", make_process}, {"connect", tcp},              {"make a UDP socket", udp},
    {"make a local socket", local_socket}, {"signal another process", signal_parent}, {"be traced", trace},
};

/* The exit status of `fn` in a child, confined or not. */
static int in_child(int (*fn)(void), bool confined)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (confined && !sandbox_enter(NULL, 0))
            _exit(200);
        _exit(fn());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 201;
}

static void fresh(void)
{
    unlink(other);
    rmdir(other);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, "text", 4) == 4);
    close(fd);
}

static void what_is_forbidden(void **state)
{
    (void)state;
    char text[200];
    int p[2];
    /* Does this kernel offer it all? */
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool all = sandbox_enter(text, sizeof text);
        _exit(write(p[1], text, strlen(text) + 1) > 0 && all ? 0 : 1);
    }
    int status;
    assert_true(read(p[0], text, sizeof text) > 0);
    waitpid(pid, &status, 0);
    close(p[0]);
    close(p[1]);
    if (status != 0) {
        print_message("this kernel gives only: %s\n", text);
        skip();
    }
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        fresh();
        int before = in_child(forbidden[i].fn, false);
        fresh();
        int after = in_child(forbidden[i].fn, true);
        if (before != 0 || (after != EPERM && after != EACCES))
            fail_msg("%s: before %s, after %s", forbidden[i].name, strerror(before), after ? strerror(after) : "it could be done");
        struct stat st;
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_size, 4);
    }
    assert_int_equal(in_child(dump_core, true), EPERM);
}

static void *thread(void *arg)
{
    return arg;
}

/* Everything an engine does: reads files, maps, makes threads, uses the socket it has, aborts. */
static int useful(void)
{
    pthread_t t;
    void *back = NULL;
    char b[8];
    int fd = open(file, O_RDONLY | O_CLOEXEC), s[2];
    if (fd < 0 || read(fd, b, 4) != 4 || fcntl(fd, F_GETFD) != FD_CLOEXEC)
        return 1;
    void *m = mmap(NULL, 4, PROT_READ, MAP_PRIVATE, fd, 0);
    if (m == MAP_FAILED || memcmp(m, "text", 4) != 0 || madvise(m, 4, MADV_DONTNEED) != 0)
        return 2;
    FILE *f = fopen("/proc/meminfo", "r");
    if (!f)
        return 3;
    fclose(f);
    if (pthread_create(&t, NULL, thread, b) || pthread_join(t, &back) || back != b)
        return 4;
    if (pipe(s) || write(s[1], "x", 1) != 1)
        return 5;
    struct stat st;
    if (stat(dir, &st) || access(file, R_OK))
        return 6;
    return 0;
}

static int aborts(void)
{
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void what_is_left(void **state)
{
    (void)state;
    fresh();
    assert_int_equal(in_child(useful, false), 0);
    int rc = in_child(useful, true);
    assert_true(rc == 0 || rc == 200); /* 200: not all of it is there on this kernel */
    assert_int_equal(in_child(aborts, true), rc == 200 ? 200 : 201);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_forbidden), cmocka_unit_test(what_is_left)};
    socklen_t len = sizeof addr;
    snprintf(dir, sizeof dir, "/tmp/t_sandbox.XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    snprintf(file, sizeof file, "%s/file", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listening = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listening, (struct sockaddr *)&addr, sizeof addr) || listen(listening, 64) || getsockname(listening, (struct sockaddr *)&addr, &len))
        return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(other);
    rmdir(other);
    unlink(file);
    rmdir(dir);
    return rc;
}
