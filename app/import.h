#ifndef APP_IMPORT_H
#define APP_IMPORT_H
/*
 * Sessions of other programs (app/import_foreign.c), for app/import.c.
 */
#include <jansson.h>
#include <stdbool.h>

#include "app/app.h"

bool import_is_foreign(const json_t *j); /* ChatGPT's or llama.cpp's form */
int import_foreign(struct hist *h, const json_t *j, struct err *err);

#endif
