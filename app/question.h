#ifndef APP_QUESTION_H
#define APP_QUESTION_H
/* The question of a one-shot run: words of the command line and standard input, as one text. */
#include "app/conf.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * Fills *out (finish it in any case) with stdin, a blank line, and the question, or the question first; stdin only when it is a pipe, a
 * file or a socket. Bytes that are not UTF-8 are replaced and counted on stderr (--strict: refused). ERR_INPUT when there is nothing to ask
 * or it is UTF-16 or too long.
 */
int question_read(const struct conf *c, struct buf *out, struct err *err);

#endif
