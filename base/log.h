#ifndef BASE_LOG_H
#define BASE_LOG_H
/*
 * The log: a file for people who look for a fault, never the terminal. Off unless HADAL_LOG=FILE is set (opened for
 * appending, 0600) or log_open was called. Safe from any thread. One line an entry: time, process, text (sanitized).
 */
void log_open(const char *path); /* NULL: take HADAL_LOG, or stay off */
void log_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
