/*
 * /export: the session as a file, Markdown, JSON or HTML. An existing file is left alone.
 */
#include "config.h"
#include "app/slash.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"

#define EXPORT_MAX ((size_t)1 << 30)

static char *home_path(const char *s)
{
    const char *home = getenv("HOME");
    return s[0] == '~' && s[1] == '/' && home ? path_join(home, s + 2) : mem_strdup(s);
}

int export_to_file(struct hist *h, int64_t session, const char *arg, char **path, size_t *bytes, struct err *err)
{
    struct hist_session s;
    enum export_format format = EXPORT_MD;
    size_t n = strcspn(arg, " \t");
    char *word = mem_strndup(arg, n), short_name[7];
    bool given = export_format_parse(word, &format);
    free(word);
    if (given)
        arg += n + strspn(arg + n, " \t");
    if (!given)
        export_format_of(arg, &format);
    int rc = hist_session_get(h, session, &s, err);
    if (rc)
        return rc;
    short_id(s.uid, short_name);
    hist_session_finish(&s);
    *path = *arg ? home_path(arg) : mem_printf("hadal-%s.%s", short_name, export_format_name(format));
    struct buf out = BUF_INIT(EXPORT_MAX);
    if (access(*path, F_OK) == 0)
        rc = err_set(err, ERR_IO, "%s exists already; name another file", *path);
    if (rc == 0)
        rc = export_session(h, session, format, &out, err);
    if (rc == 0)
        rc = path_write_atomic(*path, buf_str(&out), out.len, 0600, err);
    *bytes = out.len;
    buf_finish(&out);
    return rc;
}

void slash_export(struct face *f, const char *arg)
{
    struct err e;
    char *path = NULL, count[32];
    size_t bytes;
    int64_t id = chat_session(f->chat);
    if (!id)
        face_note("this session is empty; there is nothing to export");
    else if (export_to_file(f->h, id, arg, &path, &bytes, &e))
        report(&e);
    else
        face_note("%s, %s bytes", path, count_text(bytes, count));
    free(path);
}
