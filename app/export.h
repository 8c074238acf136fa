#ifndef APP_EXPORT_H
#define APP_EXPORT_H
/*
 * What the forms of an export share (app/export.c, app/export_html.c).
 */
#include "app/app.h"

int export_html(struct hist *h, const struct hist_session *s, struct buf *out, struct err *err);
void export_time(struct buf *out, int64_t ms); /* "2026-06-14 09:41", local */
/* The model of an answer, when it is not the session's, else NULL; owned by the caller. */
int export_other_model(struct hist *h, const struct hist_session *s, int64_t node, char **name, struct err *err);

#endif
