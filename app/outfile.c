/*
 * Files that the person named for output. A regular one is replaced as a whole, so that a run that fails leaves the old one; a device or a
 * pipe cannot be replaced (and must not be: think of /dev/null) and is written into.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/app.h"
#include "base/mem.h"
#include "base/path.h"

static int write_into(const char *path, const char *p, size_t n, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    int rc = fd < 0 ? err_sys(err, ERR_IO, "cannot open %s", path) : 0;
    while (!rc && n) {
        ssize_t k = write(fd, p, n);
        if (k >= 0) {
            p += k;
            n -= (size_t)k;
        } else if (errno != EINTR) {
            rc = err_sys(err, ERR_IO, "cannot write %s", path);
        }
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

int file_put(const char *path, const void *data, size_t n, struct err *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return path_write_atomic(path, data, n, 0600, err);
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "%s is a directory", path);
    if (!S_ISREG(st.st_mode))
        return write_into(path, data, n, err);
    char *target = realpath(path, NULL);
    int rc = target ? path_write_atomic(target, data, n, st.st_mode & 0777, err) : err_sys(err, ERR_IO, "cannot write %s", path);
    free(target);
    return rc;
}

int file_check(const char *path, struct err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "%s is a directory", path);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return access(path, W_OK) == 0 ? 0 : err_sys(err, ERR_IO, "cannot write %s", path);
    const char *base = path_base(path);
    char *dir = base == path ? mem_strdup(".") : mem_strndup(path, (size_t)(base - path));
    int rc = access(dir, W_OK | X_OK) == 0 ? 0 : err_sys(err, ERR_IO, "cannot write %s", path);
    free(dir);
    return rc;
}
