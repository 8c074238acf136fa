#ifndef APP_FACE_H
#define APP_FACE_H
/*
 * A conversation's face, line by line (app/face_line.c) or full screen (app/face_full.c), as slash commands (app/slash*.c) see it. What these write
 * goes by ui/line.h; the full screen catches it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/app.h"
#include "app/chat.h"

enum phase { PHASE_IDLE, PHASE_WAIT, PHASE_LOAD, PHASE_READ, PHASE_THINK, PHASE_ANSWER };

/* The turn that runs, or the last one. */
struct turn {
    enum phase phase;
    int64_t began_us, thought_us; /* when it began; when its thoughts began */
    uint64_t done, total;         /* of LOAD, READ */
    int reused;
    bool raw;                     /* /raw: the prompt is shown, nothing generated */
    bool any;                     /* something of the answer has been shown */
    bool thinking;                /* thoughts whose line is still due */
    size_t words;                 /* of the thoughts */
    bool in_word;
    int64_t pause_us;             /* when a word that is not whole yet is shown; 0: none waits */
    int newlines;                 /* at the end of the answer so far, not written yet */
    int quarter;                  /* --plain: of LOAD, READ, what has been said */
    bool stopping;
    /* set by chat's end */
    bool over;
    enum hist_state state;
    struct err err;
    bool died;
    char stop[16];
};

struct face {
    struct conf *conf;
    struct hist *h;    /* NULL: nothing is saved */
    struct chat *chat;
    int leave;         /* exit status once the face is to end; -1: not yet */
    int edit;          /* the next input replaces the edit-th latest prompt; 0: it is one more */
    char *model;       /* what answers, as /stats shows it; NULL: not known yet */
    int64_t deleted;   /* the session that /undelete brings back; 0: none known */
    bool gap;          /* something stands above: a blank line before the next prompt */
    struct turn turn;
    char **queue;      /* inputs typed while it answers */
    size_t n_queue, n_told; /* of these, how many the person has been told of */
    char **notes;      /* of the chat, until the cursor stands at the start of a line */
    size_t n_notes;
    char *sent;        /* the newest prompt; NULL: none yet */
    char *draft;       /* as it was last saved, "" for none */
    int64_t draft_due_us; /* when to look at it again; 0: no need */
    char *restore;     /* goes into the line before the next prompt */
};

/* ---- app/face_show.c ---- */
/* "[text]", dim, on a line of its own; sanitized. */
void face_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Foreign text with a newline at its end; as it is, and wrapped at words. */
void face_text(const char *s, size_t n);
void face_prose(const char *s, size_t n);
/* Foreign text on one line, cut to `columns` with "..." when it is longer; padded when `pad`. */
void face_cut(struct buf *out, const char *s, int columns, bool pad);
/* "9.4k" */
void face_short_count(uint64_t n, char out[16]);

/* "session "title"" or "a new session" or "not saved". */
void face_session_name(struct face *f, struct buf *out);
/* The last prompt of the path; NULL: there is none. */
const struct hist_node *face_last_prompt(const struct face *f);
/* That, and its answer, as they stood on the screen. */
void face_last_exchange(struct face *f);

/* ---- app/face_draft.c ---- */
/* Saves what is unsent (queue and line) if it has changed. */
void face_save_draft(struct face *f);
/* Takes a session that has nothing but a draft for this process; false: another one is writing in it. */
bool face_claim(int64_t session);

/* ---- app/face.c ---- */
#define FACE_DRAFT_REST_US 300000 /* the draft is saved when no key came for so long */
bool face_is_blank(const char *s);
int face_percent(const struct turn *t); /* of LOAD, READ */
void face_model(void *face, const struct event *e); /* chat's callback */
/* Opens a session (0: a new one) and puts its draft into the line. Reports its own errors. */
bool face_open(struct face *f, int64_t session);
/* After a call of chat_send, chat_regen, chat_edit, chat_raw that returned rc: follows the turn, or tells what is wrong. False: it did not begin. */
bool face_begin(struct face *f, int rc, const struct err *err);
/* Text for the line before the next prompt. */
void face_restore(struct face *f, const char *text);

/* Opens the session to begin with; *go_on: one that has messages. An exit status. */
int face_first_session(struct face *f, bool *go_on);
void face_load_history(struct face *f, int most); /* prompts typed before, for the Up key */
/* At the end: what runs is stopped and kept, all is saved. */
void face_settle(struct face *f);
void face_finish(struct face *f); /* frees what f owns, but not the chat */

#endif
