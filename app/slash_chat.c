/*
 * Slash commands on the conversation: /new /regen /edit /system /thought /raw.
 */
#include "config.h"
#include "app/slash.h"

#include <string.h>

#include "base/num.h"
#include "ui/line.h"

void slash_new(struct face *f, const char *arg)
{
    (void)arg;
    if (face_open(f, 0))
        face_note("a new session");
}

void slash_regen(struct face *f, const char *arg)
{
    struct err e;
    (void)arg;
    face_begin(f, chat_regen(f->chat, &e), &e);
}

void slash_edit(struct face *f, const char *arg)
{
    uint64_t nth = 1;
    if (*arg && (!num_parse_u64(arg, &nth) || nth == 0)) {
        face_note("/edit takes a number: 1 is the last prompt, 2 the one before");
        return;
    }
    const struct hist_path *p = chat_path(f->chat);
    uint64_t n = 0;
    for (size_t i = p->n; i-- > 0;) {
        if (p->at[i].role != HIST_USER || ++n != nth)
            continue;
        size_t len;
        face_restore(f, hist_node_text(&p->at[i], &len));
        f->edit = (int)nth;
        face_note("Enter sends it beside the old one; an empty line leaves it as it was");
        return;
    }
    if (n == 0)
        face_note("there is no prompt to edit yet");
    else
        face_note("there %s only %d prompt%s above", n == 1 ? "is" : "are", (int)n, n == 1 ? "" : "s");
}

void slash_system(struct face *f, const char *arg)
{
    struct err e;
    const char *now = chat_system(f->chat);
    if (!*arg && !now) {
        face_note("no system prompt is set");
    } else if (!*arg) {
        face_prose(now, strlen(now));
    } else {
        bool off = !strcmp(arg, "-");
        if (chat_set_system(f->chat, off ? NULL : arg, &e))
            report(&e);
        else
            face_note(off ? "no system prompt from here on" : "the system prompt is set from here on");
    }
}

void slash_persona(struct face *f, const char *arg)
{
    struct err e;
    const struct persona *p = conf_persona(f->conf, arg);
    const char *now = chat_system(f->chat);
    for (int i = 0; !*arg && i < f->conf->n_personas; i++) {
        const struct persona *q = &f->conf->personas[i];
        struct buf b = BUF_INIT(1 << 16);
        face_cut(&b, q->name, 20, true);
        buf_addstr(&b, "  ");
        face_cut(&b, q->text, 50, false);
        term_say(TERM_OUT, "%s %s\n", now && !strcmp(now, q->text) ? "*" : " ", buf_str(&b));
        buf_finish(&b);
    }
    if (!*arg && !f->conf->n_personas)
        face_note("no personas: a line persona.NAME = TEXT in the config file makes one");
    else if (*arg && !p)
        face_note("no persona of this name; /persona lists them");
    else if (p && chat_set_system(f->chat, p->text, &e))
        report(&e);
    else if (p)
        face_note("its system prompt is set from here on");
}

void slash_thought(struct face *f, const char *arg)
{
    const struct hist_path *p = chat_path(f->chat);
    (void)arg;
    for (size_t i = p->n; i-- > 0;) {
        const struct hist_node *n = &p->at[i];
        if (n->role != HIST_ASSISTANT)
            continue;
        bool any = false;
        for (size_t k = 0; k < n->n_parts; k++) {
            if (n->parts[k].kind != HIST_REASONING || !n->parts[k].n)
                continue;
            any = true;
            term_say(TERM_OUT, "\x1b[2m");
            face_prose(n->parts[k].text, n->parts[k].n);
            term_say(TERM_OUT, "\x1b[0m");
        }
        if (!any)
            face_note("the last answer came without reasoning");
        return;
    }
    face_note("there is no answer yet");
}

void slash_raw(struct face *f, const char *arg)
{
    struct err e;
    (void)arg;
    if (face_begin(f, chat_raw(f->chat, &e), &e))
        f->turn.raw = true;
}
