#ifndef UI_VIEWS_H
#define UI_VIEWS_H
/*
 * The views beside the chat: each with its entry, the structs it shows, and the callbacks by which it asks for something.
 */
#include "ui/view.h"

/* A text, wrapped, to scroll in. */
struct view *view_text(const char *title, const char *text, size_t n);

#endif
