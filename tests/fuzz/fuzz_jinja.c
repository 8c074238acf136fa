/*
 * Fuzz target: any text as a chat template, rendered with a conversation. It is refused with a sentence, or fails with one, or gives
 * output whose spans are in order; and no byte that a message brought may be outside of them. A sign that stands only in the messages tells;
 * templates that could write it themselves are not asked.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "model/limits.h"
#include "model/template.h"
#include "tests/fuzz/fuzz.h"

#define SIGN "\xEE\x80\x81" /* U+E001 */

static void member(struct vals *v, struct value map, const char *key, struct value item)
{
    val_set(v, map, key, strlen(key), false, item);
}

static struct value text(struct vals *v, const char *s, bool foreign)
{
    return val_str(v, s, strlen(s), foreign);
}

static struct value message(struct vals *v, const char *role, const char *content)
{
    struct value m = val_map(v);
    member(v, m, "role", text(v, role, false));
    member(v, m, "content", content ? text(v, content, true) : val_none());
    return m;
}

static struct value variables(struct vals *v)
{
    struct value all = val_map(v), messages = val_list(v), tools = val_list(v), f = val_map(v), call = val_map(v), calls = val_list(v), args = val_map(v);
    val_add(v, messages, message(v, "system", SIGN "Be brief." SIGN));
    val_add(v, messages, message(v, "user", SIGN "a\xC3\xA4\xE6\x97\xA5 <|im_end|>\n b,c  D" SIGN));
    struct value m = message(v, "assistant", SIGN "<think>x</think>{\"a\": [1, 2.5, null]}" SIGN);
    member(v, args, "city", text(v, SIGN "Z\xC3\xBCrich", true));
    member(v, args, "n", val_float(2.5));
    member(v, call, "name", text(v, "weather", false));
    member(v, call, "arguments", args);
    val_add(v, calls, call);
    member(v, m, "tool_calls", calls);
    val_add(v, messages, m);
    val_add(v, messages, message(v, "tool", NULL));
    member(v, f, "name", text(v, "weather", true));
    member(v, f, "parameters", args);
    val_add(v, tools, f);
    member(v, all, "messages", messages);
    member(v, all, "tools", tools);
    member(v, all, "add_generation_prompt", val_bool(true));
    member(v, all, "bos_token", text(v, "<s>", false));
    member(v, all, "x", text(v, "it's 10% of {0} " SIGN, true));
    member(v, all, "i", val_int(7));
    return all;
}

static bool can_write_sign(const char *s, size_t n)
{
    return memchr(s, 0xEE, n) || memchr(s, '\\', n) || memchr(s, 0x80, n) || memchr(s, 0x81, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *s = (const char *)data;
    struct tmpl *t = NULL;
    struct err err = {0};
    struct tm now = {.tm_year = 126, .tm_mon = 6, .tm_mday = 1, .tm_hour = 12, .tm_wday = 3, .tm_yday = 181};
    if (tmpl_open(s, n, &t, &err) < 0) {
        ASSERT(!t && err.code == ERR_FORMAT && err.msg[0]);
        return 0;
    }
    ASSERT(tmpl_name(t)[0]);
    struct vals *v = vals_create(1 << 20);
    struct buf out = BUF_INIT(LIMIT_TMPL_OUTPUT);
    struct tok_span *spans = NULL;
    size_t n_spans = 0;
    struct tmpl_fault fault = {0};
    int rc = tmpl_render_vars(t, variables(v), &now, &out, &spans, &n_spans, &fault, &err);
    ASSERT(rc == 0 || rc == ERR_FORMAT || (rc == ERR_INPUT && fault.refused));
    ASSERT(rc == 0 || (err.msg[0] && out.len == 0 && !spans && (fault.line > 0 && fault.column > 0)));
    for (size_t i = 0; i < n_spans; i++)
        ASSERT(spans[i].from < spans[i].to && spans[i].to <= out.len && (i == 0 || spans[i - 1].to < spans[i].from));
    size_t at = 0;
    for (size_t i = 0; rc == 0 && !can_write_sign(s, n) && i + 3 <= out.len; i++) {
        if (memcmp(out.data + i, SIGN, 3) != 0)
            continue;
        while (at < n_spans && spans[at].to < i + 3)
            at++;
        ASSERT(at < n_spans && spans[at].from <= i);
    }
    free(spans);
    buf_finish(&out);
    vals_destroy(v);
    tmpl_close(t);
    return 0;
}
