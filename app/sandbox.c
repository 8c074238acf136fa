/*
 * Confinement of the engine. See sandbox.h. Two walls that overlap, so that a kernel that lacks one still has most of it: Landlock by
 * raw calls and by the ABI it answers with, and a seccomp filter (libseccomp) that denies what an engine never needs, with EPERM.
 * The filter names what is denied, not what is allowed: libraries and later kernels may need calls we have not met, and
 * an engine that dies of its own filter would be worse than one that may call getcpu.
 *
 * Reading stays allowed everywhere: models are opened by path, job by job, and may lie anywhere.
 */
#include "config.h"
#include "app/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- Landlock (include/uapi/linux/landlock.h; Debian's header is older than the kernels it runs on) ---- */

enum {
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_ABI1 = (1 << 13) - 1, /* execute, write, read, read directory, remove, make of every kind */
    FS_REFER = 1 << 13,      /* ABI 2 */
    FS_TRUNCATE = 1 << 14,   /* ABI 3 */
    FS_IOCTL_DEV = 1 << 15,  /* ABI 5 */
    NET_TCP = 3,             /* ABI 4: bind, connect */
    SCOPE_ALL = 3,           /* ABI 6: abstract sockets, signals */
    RULE_PATH_BENEATH = 1,
    CREATE_VERSION = 1,
};

struct ruleset {
    uint64_t fs, net, scoped;
};

struct path_beneath {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

/* The ABI that holds now, 0: none. */
static int landlock(void)
{
#ifdef SYS_landlock_create_ruleset
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    if (abi < 1)
        return 0;
    struct ruleset rs = {.fs = FS_ABI1};
    size_t size = sizeof rs.fs;
    if (abi >= 2)
        rs.fs |= FS_REFER;
    if (abi >= 3)
        rs.fs |= FS_TRUNCATE;
    if (abi >= 4) {
        rs.net = NET_TCP;
        size = 2 * sizeof rs.fs;
    }
    if (abi >= 5)
        rs.fs |= FS_IOCTL_DEV;
    if (abi >= 6) {
        rs.scoped = SCOPE_ALL;
        size = sizeof rs;
    }
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rs, size, 0);
    if (fd < 0)
        return 0;
    struct path_beneath root = {FS_READ_FILE | FS_READ_DIR, open("/", O_PATH | O_CLOEXEC)};
    bool ok = root.fd >= 0 && syscall(SYS_landlock_add_rule, fd, RULE_PATH_BENEATH, &root, 0) == 0 &&
              syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    if (root.fd >= 0)
        close(root.fd);
    close(fd);
    return ok ? (int)abi : 0;
#else
    return 0;
#endif
}

/* ---- seccomp ---- */

static const char *const denied[] = {
    /* programs and processes */
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "pidfd_open", "pidfd_send_signal",
    "process_madvise", "kcmp", "setns", "unshare", "personality",
    /* the network, also UDP and local sockets, which Landlock does not cover */
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4",
    /* files: no new ones, none changed */
    "creat", "mknod", "mknodat", "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2", "link", "linkat", "symlink",
    "symlinkat", "truncate", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr",
    "removexattr", "lremovexattr", "fremovexattr", "utime", "utimes", "utimensat", "futimesat", "name_to_handle_at", "open_by_handle_at",
    /* the machine */
    "mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
    "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "acct", "quotactl", "quotactl_fd",
    "sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "iopl", "ioperm", "syslog", "vhangup",
    /* large surfaces */
    "io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "fanotify_init",
    "lookup_dcookie", "modify_ldt",
    /* who it is */
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset",
};

/* Names that this library or this CPU does not know need no rule. */
static int deny(scmp_filter_ctx c, const char *name, int error, unsigned n, const struct scmp_arg_cmp *args)
{
    int nr = seccomp_syscall_resolve_name(name);
    if (nr == __NR_SCMP_ERROR)
        return 0;
    int rc = seccomp_rule_add_array(c, SCMP_ACT_ERRNO((uint32_t)error), nr, n, args);
    return rc == -EDOM ? 0 : rc;
}

static bool filter(void)
{
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    if (!c)
        return false;
    /* The filter must not switch on store-bypass protection, which older kernels tie to it: it slows down arithmetic. And a tree, not a list. */
    seccomp_attr_set(c, SCMP_FLTATR_CTL_SSB, 1);
    seccomp_attr_set(c, SCMP_FLTATR_CTL_TSYNC, 1); /* threads that a library made before main, too */
    seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    int rc = 0;
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
        rc |= deny(c, denied[i], EPERM, 0, NULL);

    /* Opening for writing, in any of its forms; openat2 hides its flags in memory, so callers must fall back. */
    static const uint64_t flags[] = {O_WRONLY, O_RDWR, O_CREAT, O_TRUNC};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        rc |= deny(c, "open", EPERM, 1, &SCMP_A1(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
        rc |= deny(c, "openat", EPERM, 1, &SCMP_A2(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    }
    rc |= deny(c, "openat2", ENOSYS, 0, NULL);

    /* Threads yes, processes no; clone3 hides its flags, too. */
    rc |= deny(c, "clone", EPERM, 1, &SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    rc |= deny(c, "clone3", ENOSYS, 0, NULL);

    /* Signals to itself only (abort). */
    uint64_t self = (uint64_t)getpid();
    rc |= deny(c, "kill", EPERM, 1, &SCMP_A0(SCMP_CMP_NE, self));
    rc |= deny(c, "tgkill", EPERM, 1, &SCMP_A0(SCMP_CMP_NE, self));
    rc |= deny(c, "tkill", EPERM, 0, NULL);
    rc |= deny(c, "rt_sigqueueinfo", EPERM, 0, NULL);
    rc |= deny(c, "rt_tgsigqueueinfo", EPERM, 1, &SCMP_A0(SCMP_CMP_NE, self));

    rc = rc ? rc : seccomp_load(c);
    seccomp_release(c);
    return rc == 0;
}

bool sandbox_enter(char *text, size_t size)
{
    const struct rlimit none = {0, 0};
    bool privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    bool core = setrlimit(RLIMIT_CORE, &none) == 0;
    int abi = landlock();
    bool calls = filter();
    if (text)
        snprintf(text, size, "%s, %s, Landlock %d, %s", privs ? "no new privileges" : "new privileges possible",
                 core ? "no core dumps" : "core dumps possible", abi, calls ? "seccomp" : "no seccomp");
    return privs && core && abi && calls;
}
