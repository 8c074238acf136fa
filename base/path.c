/*
 * Paths and careful files. See path.h. The atomic write is the sequence that survives a power cut: temporary file in the same directory,
 * fsync, rename, fsync of the directory.
 */
#include "config.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static char *xdg(const char *variable, const char *below_home, const char *name, struct err *err)
{
    const char *dir = getenv(variable);
    char *root;
    if (dir && dir[0] == '/') {
        root = mem_printf("%s/hadal", dir);
    } else {
        const char *home = getenv("HOME");
        if (!home || home[0] != '/') {
            err_set(err, ERR_IO, "neither %s nor HOME names a directory", variable);
            return NULL;
        }
        root = mem_printf("%s/%s/hadal", home, below_home);
    }
    if (!*name)
        return root;
    char *path = path_join(root, name);
    free(root);
    return path;
}

char *path_data(const char *name, struct err *err)
{
    return xdg("XDG_DATA_HOME", ".local/share", name, err);
}

char *path_config(const char *name, struct err *err)
{
    return xdg("XDG_CONFIG_HOME", ".config", name, err);
}

char *path_cache(const char *name, struct err *err)
{
    return xdg("XDG_CACHE_HOME", ".cache", name, err);
}

char *path_state(const char *name, struct err *err)
{
    return xdg("XDG_STATE_HOME", ".local/state", name, err);
}

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return mem_printf(n && dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool path_is_regular(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int path_mkdirs(const char *dir, struct err *err)
{
    char *path = mem_strdup(dir);
    int rc = 0;
    for (char *p = path + 1; rc == 0; p++) {
        if (*p && *p != '/')
            continue;
        char c = *p;
        *p = 0;
        struct stat st;
        if (mkdir(path, 0700) < 0 && !(stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
            rc = err_sys(err, ERR_IO, "cannot create directory %s", path);
        *p = c;
        if (!c)
            break;
    }
    free(path);
    return rc;
}

int path_read_fd(int fd, struct buf *b, const char *name, struct err *err)
{
    for (;;) {
        char chunk[65536];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n == 0)
            return 0;
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return err_sys(err, ERR_IO, "cannot read %s", name);
        }
        buf_add(b, chunk, (size_t)n);
        if (buf_over(b))
            return err_set(err, ERR_INPUT, "%s is longer than %zu bytes", name, b->max);
    }
}

int path_read(const char *path, struct buf *b, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_sys(err, ERR_IO, "cannot open %s", path);
    struct stat st;
    int rc = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? err_set(err, ERR_IO, "%s is a directory", path) :
                                                          path_read_fd(fd, b, path, err);
    close(fd);
    return rc;
}

static bool write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        p += k;
        n -= (size_t)k;
    }
    return true;
}

int path_write_atomic(const char *path, const void *data, size_t n, unsigned mode, struct err *err)
{
    char *temp = mem_printf("%s.XXXXXX", path);
    int rc = 0;
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        rc = err_sys(err, ERR_IO, "cannot write %s", path);
        free(temp);
        return rc;
    }
    if (fchmod(fd, mode) < 0 || !write_all(fd, data, n) || fsync(fd) < 0 || rename(temp, path) < 0) {
        rc = err_sys(err, ERR_IO, "cannot write %s", path);
        unlink(temp);
    } else {
        const char *base = path_base(path);
        char *dir = base == path ? mem_strdup(".") : mem_strndup(path, (size_t)(base - path));
        int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dfd >= 0) {
            fsync(dfd);
            close(dfd);
        }
        free(dir);
    }
    close(fd);
    free(temp);
    return rc;
}
