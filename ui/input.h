#ifndef UI_INPUT_H
#define UI_INPUT_H
/*
 * Raw bytes of a terminal, hostile or not, become events: keys by name, whole pastes, focus, replies. No descriptor, no clock: whoever
 * reads feeds the bytes with the time they came at (tests and fuzzers do it from memory).
 *
 * Key names. A character is itself ("a", "A", "ä", " "). Others: "Enter" "Tab" "Esc" "Backspace" "Delete" "Insert" "Up" "Down" "Left"
 * "Right" "Home" "End" "PgUp" "PgDn" "F1".."F12". In front of them "C-", "M-", "S-" (in this order), where the terminal tells: "C-a",
 * "M-Enter", "S-Tab", "C-Home", "M-x". C-h, C-i, C-j, C-m, C-[ keep the bytes' old meaning: "Backspace" is 0x7F, "C-h" 0x08, "Tab" 0x09, "C-j"
 * 0x0A, "Enter" 0x0D.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum input_kind {
    INPUT_KEY,
    INPUT_PASTE,     /* text: the whole, as it came, markers taken out; NULL text: one that was too long and is left out */
    INPUT_WHEEL,     /* the wheel as arrow keys (mode 1007): `lines`, up is negative */
    INPUT_FOCUS_IN, INPUT_FOCUS_OUT,
    INPUT_REPLY,     /* what the terminal answers: a sequence of ours, whole, in bytes/text */
};

struct input_event {
    enum input_kind kind;
    char name[24];      /* INPUT_KEY */
    char bytes[32];     /* INPUT_KEY: what readline is to see (kitty forms as legacy bytes); with its length */
    size_t n_bytes;
    char *text;         /* INPUT_PASTE, INPUT_REPLY: owned by the event, NUL behind n */
    size_t n;
    int lines;          /* INPUT_WHEEL */
    bool burst;         /* INPUT_KEY: at or within 100 ms after the end of a paste; a newline in there submits nothing */
};
void input_event_finish(struct input_event *e);
/* A key of this name. */
bool key_is(const struct input_event *e, const char *name);
/* One of several, separated by blanks: key_in(e, "Up k C-p"). The character blank is written "Space" here. */
bool key_in(const struct input_event *e, const char *names);

#define INPUT_PASTE_MAX ((size_t)64 << 20)

struct input;
struct input *input_create(int escape_ms); /* how long the rest of a sequence may take: 25, 50 over ssh */
void input_destroy(struct input *in);
/* Bytes of one read. now_us: monotonic. */
void input_feed(struct input *in, const char *s, size_t n, int64_t now_us);
/* The next event; false: none (yet). Call until false after each feed and each timeout. */
bool input_next(struct input *in, struct input_event *out, int64_t now_us);
/* Milliseconds until input_next should be asked again without new bytes; -1: no need. */
int input_timeout_ms(const struct input *in, int64_t now_us);
/* In the middle of a paste: its bytes so far; 0: not. */
size_t input_pasting(const struct input *in);

#endif
