#ifndef APP_KEYS_H
#define APP_KEYS_H
/*
 * All keys and commands as rows: see app/keys.c.
 */
#include "ui/views.h"

size_t keys_rows(struct help_row **out); /* keys_free */
void keys_free(struct help_row *rows, size_t n);

#endif
