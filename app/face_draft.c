/*
 * Drafts of the line face: what is typed and not yet sent is saved with its session when the keys rest. Before the first prompt there is
 * no session, so one is made for the draft; the next chat that begins goes on with it, unless the chat that made it is still running. Which
 * one that is, is told by a lock on the byte of the session's number in a file of its own; locks end with their process.
 */
#include "config.h"
#include "app/face.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "ui/line.h"

#define DRAFT_MAX ((size_t)512 << 20)

bool face_claim(int64_t session)
{
    static int fd = -1;
    char *path = path_state("drafts.lock", NULL), *dir = path_state("", NULL);
    if (fd < 0 && path && dir && path_mkdirs(dir, NULL) == 0)
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(path);
    free(dir);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = session, .l_len = 1};
    return fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) == 0; /* without such a file nobody can know */
}

/* Queue and line, as they would have to be typed again. */
static char *unsent(struct face *f)
{
    struct buf b = BUF_INIT(DRAFT_MAX);
    char *line = prompt_draft();
    for (size_t i = 0; i < f->n_queue; i++)
        buf_addf(&b, "%s%s", f->queue[i], i + 1 < f->n_queue || *line ? "\n" : "");
    buf_addstr(&b, line);
    free(line);
    return buf_take(&b);
}

/* A draft needs a session to belong to. */
static int64_t session_for_draft(struct face *f)
{
    int64_t id = chat_session(f->chat);
    if (id)
        return id;
    char *system = mem_strdup(chat_system(f->chat));
    if (hist_session_new(f->h, &id, NULL) || chat_open(f->chat, id, NULL))
        id = 0;
    else if (system)
        chat_set_system(f->chat, system, NULL);
    if (id)
        face_claim(id);
    free(system);
    return id;
}

void face_save_draft(struct face *f)
{
    f->draft_due_us = 0;
    if (!f->h || hist_read_only(f->h) || f->edit)
        return;
    char *now = unsent(f);
    int64_t id;
    if (strcmp(now, f->draft) && (*now || chat_session(f->chat)) && (id = session_for_draft(f)) &&
        !hist_draft_set(f->h, id, *now ? now : NULL, NULL)) {
        free(f->draft);
        f->draft = now;
        return;
    }
    free(now);
}
