/*
 * /export: the session as a file, Markdown or JSON. An existing file is left alone.
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

void slash_export(struct face *f, const char *arg)
{
    struct err e;
    struct hist_session s;
    enum export_format format = EXPORT_MD;
    int64_t id = chat_session(f->chat);
    if (!id) {
        face_note("this session is empty; there is nothing to export");
        return;
    }
    size_t n = strcspn(arg, " \t");
    char *word = mem_strndup(arg, n);
    bool given = export_format_parse(word, &format);
    free(word);
    if (given)
        arg += n + strspn(arg + n, " \t");
    size_t len = strlen(arg);
    if (!given && len > 5 && !strcmp(arg + len - 5, ".json"))
        format = EXPORT_JSON;
    if (hist_session_get(f->h, id, &s, &e)) {
        report(&e);
        return;
    }
    char short_name[7];
    short_id(s.uid, short_name);
    hist_session_finish(&s);
    char *path = *arg ? home_path(arg) : mem_printf("hadal-%s.%s", short_name, format == EXPORT_JSON ? "json" : "md");
    struct buf out = BUF_INIT(EXPORT_MAX);
    if (access(path, F_OK) == 0) {
        face_note("%s exists already; name another file", path);
    } else if (export_session(f->h, id, format, &out, &e) || path_write_atomic(path, buf_str(&out), out.len, 0600, &e)) {
        report(&e);
    } else {
        char count[32];
        count_text(out.len, count);
        face_note("%s, %s bytes", path, count);
    }
    buf_finish(&out);
    free(path);
}
