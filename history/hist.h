#ifndef HISTORY_HIST_H
#define HISTORY_HIST_H
/*
 * History: sessions, each a tree of messages with one movable head, in SQLite (design: ux 3.3). The only room that speaks
 * SQL. Names are hist_*: readline owns history_*. One thread, one connection. Nothing here is ever overwritten: an edit or a
 * regenerated answer is a sibling.
 *
 * Errors are ERR_HISTORY with one sentence (locked, full, read-only, corrupt, newer schema, no such session). Strings in
 * result structs are owned by the struct; free with the matching *_finish.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct hist;

enum hist_role { HIST_SYSTEM, HIST_USER, HIST_ASSISTANT, HIST_TOOL };
enum hist_state { HIST_STREAMING, HIST_FINAL, HIST_INTERRUPTED, HIST_ERROR };
enum hist_kind { HIST_TEXT, HIST_REASONING, HIST_ATTACHMENT, HIST_TOOL_CALL, HIST_TOOL_RESULT, HIST_PART_ERROR };
/* As they stand in the database and in exports: "assistant", "interrupted", "tool_call"; NULL behind the last. */
const char *hist_role_name(int role);
const char *hist_state_name(int state);
const char *hist_kind_name(int kind);

/* Opens (creates, migrates) the database; `path` NULL: $XDG_DATA_HOME/hadal/history.db. Marks answers whose writer is dead as interrupted.
 * read_only: nothing is written, not even that (an older schema is brought up to date first, where it can be). A newer schema opens read-only with *notice set (owned by hist). */
int hist_open(const char *path, bool read_only, struct hist **out, struct err *err);
void hist_close(struct hist *h);
const char *hist_path(const struct hist *h);
const char *hist_library(void); /* "SQLite 3.40.1", for `hadal doctor` */
const char *hist_notice(const struct hist *h); /* a line for the person, or NULL */
bool hist_read_only(const struct hist *h);
/* How long a call may wait for another program's lock: 5000 ms at first. Less where the caller tries again by itself. */
void hist_set_wait(struct hist *h, int ms);
int hist_check(struct hist *h, struct err *err); /* quick_check and the search index, for `hadal doctor` */

/* ---- models ---- */
struct hist_model {
    const char *name, *file, *fingerprint, *arch, *quant, *template_sha;
    int ctx_train;
};
/* Finds by fingerprint (without one: by name) or inserts. */
int hist_model_put(struct hist *h, const struct hist_model *m, int64_t *id, struct err *err);
/* Strings are the caller's: hist_model_finish. 1: there, 0: none. */
int hist_model_get(struct hist *h, int64_t id, struct hist_model *out, struct err *err);
void hist_model_finish(struct hist_model *m);
/* Models that answered, the one used last first, with what was measured last; 0: not known. */
struct hist_usage {
    struct hist_model model;
    int64_t id, used_ms;
    int runs;
    double decode_tps, prefill_tps, load_ms;
};
struct hist_usages {
    struct hist_usage *at;
    size_t n;
};
int hist_models_used(struct hist *h, struct hist_usages *out, struct err *err);
void hist_usages_finish(struct hist_usages *l);

/* ---- sessions ---- */
struct hist_session {
    int64_t id;
    char uid[27];      /* ULID; its first or last 6 or more characters name it; the last 6 are shown as the short id */
    char *title;       /* never NULL, "" until there is one */
    char *title_src;   /* "auto", "user" */
    char *system;      /* NULL: none */
    char *params;      /* JSON object or NULL */
    char *model;       /* name of the model last used, or NULL */
    int64_t created_ms, updated_ms, archived_ms, deleted_ms; /* 0: not */
    bool pinned;
    int n_messages;    /* on all branches, system excluded */
    int n_branches;
    int64_t head;      /* node id, 0: empty */
    int head_state;    /* enum hist_state of that, -1: empty */
    char *draft;
    char *tags;        /* with a blank between, "" for none */
    int64_t from_session, from_node; /* a fork's origin, 0: none; it may be gone */
};
void hist_session_finish(struct hist_session *s);

struct hist_list {
    struct hist_session *at;
    size_t n;
};
void hist_list_finish(struct hist_list *l);

/* A session that is in no list until its first message or draft: *id is real, an empty session is removed at close. */
int hist_session_new(struct hist *h, int64_t *id, struct err *err);
/* Inserts a session as it is (import): title, title_src, system, params, times, pinned, draft; the uid is a new one, the head is set later. */
int hist_session_put(struct hist *h, const struct hist_session *s, int64_t *id, struct err *err);
int hist_session_get(struct hist *h, int64_t id, struct hist_session *out, struct err *err);
/*
 * Resolves what a person typed: NULL or "": the newest; a short id (suffix or prefix of the ULID, case-insensitive); else words that all
 * occur in a title. "no such session" or "ambiguous" (naming up to three) otherwise. deleted: look among the deleted ones.
 */
int hist_session_find(struct hist *h, const char *what, bool deleted, int64_t *id, struct err *err);
/* Newest first, archived ones left out; limit 0: all. */
int hist_session_list(struct hist *h, bool deleted, int limit, struct hist_list *out, struct err *err);
enum hist_which { HIST_ACTIVE, HIST_ARCHIVED, HIST_ALL, HIST_DELETED }; /* ALL: but the deleted ones */
int hist_session_list_of(struct hist *h, enum hist_which which, int limit, struct hist_list *out, struct err *err);
/* Pinned ones first; UPDATED as it comes from the database. Titles by letters without case. */
enum hist_sort { HIST_BY_UPDATED, HIST_BY_CREATED, HIST_BY_TITLE, HIST_BY_MESSAGES, HIST_BY_MODEL, HIST_SORTS };
const char *hist_sort_name(int sort); /* "updated"; NULL behind the last */
void hist_list_sort(struct hist_list *l, enum hist_sort by);
/*
 * Which rows of a list a filter keeps, as one types: every word must begin a word of some message, or stand anywhere in the title,
 * or begin a tag (one letter alone: title and tags). -word, tag:, model:, after:, before: as in hist_find, and is:pinned, is:archived.
 */
int hist_list_filter(struct hist *h, const char *words, const struct hist_list *l, bool *keep, struct err *err);
/* Not by_user: a title that a person chose stays. */
/* by_user: the title as it is. Else one made of the text, as of a first prompt. */
int hist_session_rename(struct hist *h, int64_t id, const char *title, bool by_user, struct err *err);
int hist_session_set_system(struct hist *h, int64_t id, const char *text, struct err *err); /* NULL: none */
int hist_session_set_params(struct hist *h, int64_t id, const char *json, struct err *err);
int hist_session_pin(struct hist *h, int64_t id, bool on, struct err *err);
int hist_session_archive(struct hist *h, int64_t id, bool on, struct err *err); /* out of the lists until it is used again; still searched */
/*
 * A new session with the way to `node` (0: the head), its settings and its provenance; the origin is kept with it. title NULL: the same. What
 * is copied is found by search only while the original is gone.
 */
int hist_session_fork(struct hist *h, int64_t id, int64_t node, const char *title, int64_t *fork, struct err *err);
int hist_session_delete(struct hist *h, int64_t id, struct err *err);   /* can be undone for 30 days */
int hist_session_undelete(struct hist *h, int64_t id, struct err *err);
/* Really deletes what was deleted more than so long ago (0: all that is deleted); the text is in no byte of the file then. *n: sessions. */
int hist_purge(struct hist *h, int64_t older_than_ms, int *n, struct err *err);
/* Tags: 1 to 64 bytes, no blanks, no comma; a # in front is dropped; upper and lower case are the same. One that is there already, or is not: fine. */
int hist_tag_add(struct hist *h, int64_t session, const char *tag, struct err *err);
int hist_tag_remove(struct hist *h, int64_t session, const char *tag, struct err *err);
struct hist_tags {
    char **at;
    size_t n;
};
/* session 0: all there are, the most used first. */
int hist_tags_get(struct hist *h, int64_t session, struct hist_tags *out, struct err *err);
void hist_tags_finish(struct hist_tags *t);
int hist_draft_set(struct hist *h, int64_t session, const char *text, struct err *err); /* NULL: none */
/* Moves the head to a node of the session (switching versions, editing earlier prompts). 0: before the first. */
int hist_head_set(struct hist *h, int64_t session, int64_t node, struct err *err);
/* The end of the branch below a node that a person was on last: where the head goes when they switch to this version. */
int hist_leaf(struct hist *h, int64_t node, int64_t *leaf, struct err *err);

/* ---- messages ---- */
struct hist_part {
    enum hist_kind kind;
    char *text; /* bytes as they came; length-counted */
    size_t n;
};
struct hist_node {
    int64_t id, session, parent; /* parent 0: a root */
    enum hist_role role;
    enum hist_state state;
    int64_t created_ms;
    int version, n_versions; /* among its siblings of the same role, 1-based */
    struct hist_part *parts;
    size_t n_parts;
};
/* at, each node's parts and each part's text are blocks of malloc of their own; a text has a NUL behind its n bytes. */
struct hist_path {
    struct hist_node *at;
    size_t n;
};
void hist_path_finish(struct hist_path *p);
/* Root to `node` (0: the head). */
int hist_path_get(struct hist *h, int64_t session, int64_t node, struct hist_path *out, struct err *err);
/* Every node of a session, parents before children; for export and the tree. */
int hist_nodes(struct hist *h, int64_t session, struct hist_path *out, struct err *err);
/* The text parts of a node joined; "" when none. Borrowed: from the node when it has one text part, else until the next call. */
const char *hist_node_text(const struct hist_node *n, size_t *len);

/*
 * What makes an answer reproducible, and what it cost. Times in milliseconds.
 */
struct hist_gen {
    int64_t model_id;
    const char *params;  /* JSON: sampler and limits as used */
    uint64_t seed;
    const char *backend, *engine; /* "cpu", "hadal 0.1 AVX-512" */
    int n_prompt, n_cached, n_reason, n_out;
    double load_ms, prefill_ms, ttft_ms, decode_ms;
    const char *stop;  /* "eog", "length", "cancelled", "context", "error", "closed" */
    const char *error; /* NULL: none */
};

/*
 * Begins a turn, in one committed transaction, before the engine is asked: the user node (below `parent`; 0: root), an empty
 * assistant node (streaming, owned by this process), the head moved to it, the draft cleared, the prompt put into the input history.
 * `user` NULL: only an assistant node below `parent` (regenerate). Sets the automatic title from the first prompt.
 */
int hist_turn_begin(struct hist *h, int64_t session, int64_t parent, const char *user, size_t n, int64_t *user_node,
                    int64_t *answer_node, struct err *err);
/* Appends text to the node's last part if of this kind, else begins a new part; committed. Call at least every 300 ms while text comes. */
int hist_append(struct hist *h, int64_t node, enum hist_kind kind, const char *text, size_t n, struct err *err);
/* Ends the turn: state and provenance, committed. */
int hist_turn_end(struct hist *h, int64_t node, enum hist_state state, const struct hist_gen *gen, struct err *err);
/* Provenance of an answer; strings owned by *out's hidden block: free with hist_gen_finish. 1: there, 0: none. */
int hist_gen_get(struct hist *h, int64_t node, struct hist_gen *out, struct err *err);
void hist_gen_finish(struct hist_gen *g);
/* Provenance of a node of hist_node_put. */
int hist_gen_put(struct hist *h, int64_t node, const struct hist_gen *gen, struct err *err);
/* Inserts a finished node as it is (import). */
int hist_node_put(struct hist *h, int64_t session, int64_t parent, enum hist_role role, enum hist_state state, int64_t created_ms,
                  const struct hist_part *parts, size_t n_parts, int64_t *id, struct err *err);
/*
 * Takes the conversations of the program llm from its logs.db (tables conversations and responses), which is only read, and trusted in nothing. All
 * or none; *n: how many.
 */
int hist_import_llm(struct hist *h, const char *path, int *n, struct err *err);
/* One transaction around several calls (import). */
int hist_begin(struct hist *h, struct err *err);
int hist_commit(struct hist *h, struct err *err);
void hist_rollback(struct hist *h);

/* ---- search ---- */
struct hist_hit {
    int64_t session, node;
    char uid[27];
    char *title, *snippet; /* hits between \x01 and \x02 in the snippet */
    char *model;           /* that wrote it, or that the session has; NULL: none */
    enum hist_role role;
    int64_t created_ms;
};
struct hist_hits {
    struct hist_hit *at;
    size_t n;
    bool more;   /* than `limit` */
    bool newest; /* too many for ranking as one types: newest first */
};
void hist_hits_finish(struct hist_hits *l);
/*
 * Words are ANDed, "a phrase" kept together, -word excluded (unless there are only such), a word* is a beginning; accents and case do not count.
 * in:you, in:answer, in:thought, in:title say where; tag:NAME, model:NAME (a part of it), after:DATE, before:DATE (2026, 2026-06, 2026-06-14, today,
 * yesterday; local time, `before` excludes it) say which, also with - in front; with such alone the newest messages come. What is none of these is a word.
 * Anything a person types is safe; CJK text is found by any substring. Best first; limit 0: all. Of each message the first MiB is searched.
 */
struct hist_find {
    const char *words;
    int64_t session; /* 0: all */
    int limit;
    bool typing;     /* the last word may be a beginning; where very much is found, the newest comes first */
};
int hist_find(struct hist *h, const struct hist_find *f, struct hist_hits *out, struct err *err);
int hist_search(struct hist *h, const char *words, int limit, struct hist_hits *out, struct err *err);

/* ---- prompts typed before ---- */
/* A discarded draft, too. One that is the last already, or longer than 64 KiB, is left out. session 0: none. */
int hist_input_add(struct hist *h, int64_t session, const char *text, struct err *err);
/* Oldest first, at most `limit` newest; each() gets a borrowed string. */
int hist_input_each(struct hist *h, int limit, void (*each)(void *arg, const char *text), void *arg, struct err *err);

#endif
