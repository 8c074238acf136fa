#ifndef BASE_PATH_H
#define BASE_PATH_H
/*
 * Where the program's files are (XDG base directories) and careful file helpers. Directories are created 0700,
 * files 0600. Returned strings are owned by the caller.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* $XDG_DATA_HOME/hadal/NAME and so on; NAME may be "" (the directory itself). NULL with *err when neither the
 * variable nor HOME names an absolute path. Nothing is created. */
char *path_data(const char *name, struct err *err);
char *path_config(const char *name, struct err *err);
char *path_cache(const char *name, struct err *err);
char *path_state(const char *name, struct err *err);

char *path_join(const char *dir, const char *name);
const char *path_base(const char *path);           /* borrowed: behind the last '/' */
bool path_is_regular(const char *path);            /* follows links */
int path_mkdirs(const char *dir, struct err *err); /* with parents, 0700; an existing one is left as it is */

/* Reads a whole regular file (or pipe) of at most b->max bytes. */
int path_read(const char *path, struct buf *b, struct err *err);
/* Reads the rest of a descriptor; ERR_INPUT when it is longer than b->max. */
int path_read_fd(int fd, struct buf *b, const char *name, struct err *err);
/* Writes a file atomically: temporary file beside it, fsync, rename, fsync of the directory. */
int path_write_atomic(const char *path, const void *data, size_t n, unsigned mode, struct err *err);

#endif
