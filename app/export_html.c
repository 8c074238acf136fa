/*
 * A session as one page of HTML that needs nothing else: no script, no image, no address of another host; a Content-Security-Policy says so. All
 * text is escaped and shown as it was written (Markdown is not rendered, but code blocks are set apart), thoughts are folded.
 */
#include "config.h"
#include "app/export.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static void escape(struct buf *out, const char *s, size_t n)
{
    struct buf good = BUF_INIT(SIZE_MAX);
    utf8_repair(&good, s, n);
    for (size_t i = 0; i < good.len; i++) {
        char c = good.data[i];
        if (c == '&')
            buf_addstr(out, "&amp;");
        else if (c == '<')
            buf_addstr(out, "&lt;");
        else if (c == '>')
            buf_addstr(out, "&gt;");
        else if (c == '"')
            buf_addstr(out, "&quot;");
        else if (c == '\'')
            buf_addstr(out, "&#39;");
        else if ((unsigned char)c >= ' ' || c == '\n' || c == '\t')
            buf_addch(out, c);
        else if (c != '\r')
            buf_addstr(out, "\xef\xbf\xbd"); /* what no HTML may hold */
    }
    buf_finish(&good);
}

static void escape_text(struct buf *out, const char *s)
{
    escape(out, s, strlen(s));
}

/* Text, its fenced blocks of code as <pre>. */
static void body(struct buf *out, const char *s, size_t n)
{
    const char *end = s + n;
    size_t fence = 0;
    bool text = false;
    while (s < end) {
        const char *newline = memchr(s, '\n', (size_t)(end - s)), *stop = newline ? newline : end;
        size_t len = (size_t)(stop - s), ticks = 0;
        while (ticks < len && s[ticks] == '`')
            ticks++;
        if (ticks >= 3 && (!fence || (ticks >= fence && ticks == len))) {
            if (text)
                buf_addstr(out, "</div>");
            buf_addstr(out, fence ? "</code></pre>\n" : "<pre><code>");
            text = false;
            fence = fence ? 0 : ticks;
        } else {
            if (!fence && !text) {
                buf_addstr(out, "<div class=\"t\">");
                text = true;
            }
            escape(out, s, len);
            buf_addch(out, '\n');
        }
        s = newline ? newline + 1 : end;
    }
    buf_addstr(out, fence ? "</code></pre>\n" : text ? "</div>\n" : "");
}

static void node(struct buf *out, const struct hist_node *n, const char *model)
{
    static const char *const heading[] = {"System", "You", "Assistant", "Tool"};
    static const char *const kind[] = {"", "Reasoning", "Attachment", "Tool call", "Tool result", "Error"};
    buf_addf(out, "<section class=\"%s\"><h2>%s", hist_role_name((int)n->role), heading[n->role]);
    if (model) {
        buf_addstr(out, " <small>");
        escape_text(out, model);
        buf_addstr(out, "</small>");
    }
    buf_addstr(out, " <time>");
    export_time(out, n->created_ms);
    buf_addstr(out, "</time></h2>\n");
    for (size_t i = 0; i < n->n_parts; i++) {
        const struct hist_part *p = &n->parts[i];
        if (p->kind == HIST_REASONING)
            buf_addstr(out, "<details><summary>Reasoning</summary>\n");
        else if (p->kind != HIST_TEXT)
            buf_addf(out, "<h3>%s</h3>\n", kind[p->kind]);
        body(out, p->text, p->n);
        if (p->kind == HIST_REASONING)
            buf_addstr(out, "</details>\n");
    }
    if (n->state != HIST_FINAL)
        buf_addf(out, "<p class=\"note\">(%s)</p>\n", n->state == HIST_ERROR ? "ended by an error" : "interrupted");
    buf_addstr(out, "</section>\n");
}

static const char style[] =
    "body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff}"
    "h1{font-size:1.4rem}h2{font-size:.9rem;margin:2rem 0 .3rem;color:#555}h2 time,h2 small{font-weight:normal;color:#888;margin-left:.5em}"
    ".user .t{background:#f2f4f7;padding:.6rem .8rem;border-radius:.4rem}.t{white-space:pre-wrap;overflow-wrap:anywhere}"
    "pre{background:#f6f6f6;padding:.7rem;overflow-x:auto;border-radius:.4rem}code{font:14px/1.45 ui-monospace,monospace}"
    "details{color:#666;margin:.4rem 0}.note{color:#a60}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}.user .t,pre{background:#242424}h2,details{color:#aaa}}";

int export_html(struct hist *h, const struct hist_session *s, struct buf *out, struct err *err)
{
    struct hist_path p;
    const char *title = *s->title ? s->title : "Untitled";
    int rc = hist_path_get(h, s->id, 0, &p, err);
    if (rc != 0)
        return rc;
    buf_addstr(out, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">"
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
                    "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    escape_text(out, title);
    buf_addf(out, "</title><style>%s</style></head><body>\n<h1>", style);
    escape_text(out, title);
    buf_addstr(out, "</h1>\n<p>");
    if (s->model) {
        escape_text(out, s->model);
        buf_addstr(out, ", ");
    }
    export_time(out, s->created_ms);
    buf_addstr(out, "</p>\n");
    if (s->system) {
        buf_addstr(out, "<section class=\"system\"><h2>System</h2>\n");
        body(out, s->system, strlen(s->system));
        buf_addstr(out, "</section>\n");
    }
    for (size_t i = 0; rc == 0 && i < p.n; i++) {
        char *model;
        rc = export_other_model(h, s, p.at[i].id, &model, err);
        if (rc == 0)
            node(out, &p.at[i], model);
        free(model);
    }
    buf_addstr(out, "</body></html>\n");
    hist_path_finish(&p);
    return rc;
}
