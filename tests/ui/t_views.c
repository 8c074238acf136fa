/*
 * The views beside the chat, with made-up data: what they draw at 80x24 and 120x40 (tests/screens/NAME_COLSxROWS.txt; HADAL_UPDATE=1 writes those
 * anew), what their keys ask for, and that no size makes them draw outside.
 */
#include "config.h"
#include "tests/t.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/path.h"
#include "ui/views.h"

/* ---- what was asked for ---- */

static char heard[400];

static void hear(const char *what, int64_t id, const char *text)
{
    size_t n = strlen(heard);
    snprintf(heard + n, sizeof heard - n, "%s %lld %s; ", what, (long long)id, text ? text : "-");
}

static void preview(void *arg, int64_t id, pane_add *add, void *to)
{
    char text[80];
    (void)arg;
    snprintf(text, sizeof text, "message %lld", (long long)id);
    add(to, ROLE_TITLE, text, strlen(text));
    static const char body[] = "How should gguf_open() report a truncated tensor table? I want one place that formats the message, not forty.\n";
    add(to, ROLE_USER, "you", 3);
    add(to, ROLE_TEXT, body, sizeof body - 1);
    add(to, ROLE_TEXT, "", 0);
    add(to, ROLE_MODEL, "ds4-flash", 9);
    for (int i = 1; i <= 30; i++) {
        snprintf(text, sizeof text, "line %d of the answer%s", i, i == 20 ? ", where the mmap is" : "");
        add(to, ROLE_TEXT, text, strlen(text));
    }
}

/* ---- sessions ---- */

static const struct session_row sessions[] = {
    {1, "mmap and the page cache", "ds4-flash", "now", "2 br", 12, ' ', true, false, true},
    {2, "trace.log: first slow request", "ds4-flash", "now", "", 2, '!', true, false, false},
    {3, "GGUF reader in C, error handling", "ds4-flash", "1 h", "3 br", 41, ' ', true, false, false},
    {4, "日本語のトークナイザについて", "qwen3-14b", "3 h", "", 8, ' ', false, false, false},
    {5, "review: patch to kv cache eviction\x1b[31m", "ds4-flash", "tue", "1 br", 19, ' ', false, false, false},
    {6, "sqlite WAL on NFS", "a-model-with-a-long-name", "14 Aug", "", 3, 'i', false, false, false},
    {7, "", "", "2025-03-01", "", 4, ' ', false, true, false},
};

static void list_sessions(void *arg, const char *filter, struct sessions_data *out, struct say *say)
{
    static struct session_row kept[7];
    (void)arg;
    (void)say;
    *out = (struct sessions_data){.at = kept, .total = 7, .sort = "updated", .which = "all"};
    for (size_t i = 0; i < 7; i++)
        if (strstr(sessions[i].title, filter))
            kept[out->n++] = sessions[i];
}

static bool act(void *arg, enum sessions_act what, int64_t id, const char *text, struct say *say)
{
    static const char *const names[] = {"open", "new", "rename", "pin", "tag", "archive", "delete", "undo", "export", "fork", "sort", "which"};
    (void)arg;
    hear(names[what], id, text);
    if (what == SESSIONS_DELETE)
        snprintf(say->text, sizeof say->text, "deleted; u brings it back");
    return what == SESSIONS_OPEN;
}

static struct view *make_sessions(void)
{
    return view_sessions(&(struct view_sessions_conf){.list = list_sessions, .preview = preview, .act = act});
}

/* ---- search ---- */

static const struct search_row hits[] = {
    {1, 11, "mmap and the page cache", "ds4-flash", "today 09:41", ".. is backed by the file itself: void *p = \x01mmap\x02(NULL, len, PROT_READ, MAP.."},
    {1, 12, "mmap and the page cache", "you", "today 09:41", "Why is loading a 90 GB GGUF with \x01mmap\x02 faster the second time?"},
    {6, 13, "sqlite WAL on NFS", "ds4-flash", "mon 22:07", "WAL needs a shared-memory \x01mmap\x02 of the -shm file, which NFS\ndoes not keep .."},
};

static void find(void *arg, const char *words, bool here, struct search_data *out, struct say *say)
{
    (void)arg;
    (void)say;
    *out = (struct search_data){.at = hits, .n = strstr(words, "zzz") ? 0 : here ? 2 : 3, .ms = 3};
}

static void open_hit(void *arg, int64_t session, int64_t node, const char *needle)
{
    (void)arg;
    (void)session;
    hear("goto", node, needle);
}

static struct view *make_search(void)
{
    return view_search(&(struct view_search_conf){.here = true, .find = find, .preview = preview, .open = open_hit}, "");
}

/* ---- tree ---- */

static const struct tree_row nodes[] = {
    {1, 0, "you", "09:41", "Why is loading a 90 GB GGUF with mmap faster the second time?", "", false, true, false},
    {2, 1, "ds4-flash", "09:41", "Because the file's pages are still in the kernel page cache.", "", true, true, false},
    {3, 1, "ds4-flash", "09:42", "Two effects: the page cache and readahead.", "stopped", true, false, false},
    {4, 2, "you", "09:43", "and what changes if I use O_DIRECT?", "", false, false, false},
    {5, 4, "ds4-flash", "09:43", "O_DIRECT bypasses the page cache.", "", true, false, false},
    {6, 2, "you", "09:44", "and what changes if I use O_DIRECT with my own page buffers?", "", false, true, false},
    {7, 6, "ds4-flash", "09:44", "O_DIRECT bypasses the page cache, so the second load costs the same.", "", true, true, true},
};

static void tree_nodes(void *arg, const struct tree_row **at, size_t *n, struct say *say)
{
    (void)arg;
    (void)say;
    *at = nodes;
    *n = 7;
}

static bool go(void *arg, int64_t id, struct say *say)
{
    (void)arg;
    (void)say;
    hear("go", id, NULL);
    return true;
}

static bool fork_here(void *arg, int64_t id, struct say *say)
{
    (void)arg;
    (void)say;
    hear("fork", id, NULL);
    return true;
}

static void compare(void *arg, int64_t a, int64_t b)
{
    (void)arg;
    hear("compare", a * 100 + b, NULL);
}

static struct view *make_tree(void)
{
    return view_tree(&(struct view_tree_conf){.title = "mmap and the page cache", .nodes = tree_nodes, .preview = preview, .go = go, .fork = fork_here,
                                              .compare = compare});
}

static struct view *make_compare(void)
{
    return view_compare(&(struct view_compare_conf){.id = {2, 3}, .preview = preview});
}

/* ---- models ---- */

static const struct model_row models[] = {
    {"DeepSeek-V4-Flash", "IQ2_XXS", "81 GB", "1M", "yes, 38 GB spare", "now", "21.4 tok/s", true, false},
    {"Qwen3-14B", "Q6_K", "12.1 GB", "40k", "yes, 103 GB spare", "3 h", "18.0 tok/s", false, false},
    {"DeepSeek-V3.2", "Q4_K_M", "404 GB", "128k", "no, needs 296 GB more", "-", "", false, true},
};

static void model_rows(void *arg, const struct model_row **at, size_t *n, struct say *say)
{
    (void)arg;
    (void)say;
    *at = models;
    *n = 3;
}

static bool more(void *arg)
{
    (void)arg;
    return false;
}

static void detail(void *arg, size_t row, pane_add *add, void *to)
{
    (void)arg;
    add(to, ROLE_TITLE, models[row].name, strlen(models[row].name));
    static const char text[] = "file      ~/models/ds4flash.gguf\nmeasured  prefill 1,240 tok/s, decode 21.4 tok/s, load 11 s (3 runs)";
    add(to, ROLE_TEXT, text, sizeof text - 1);
}

static bool use(void *arg, size_t row, struct say *say)
{
    (void)arg;
    hear("use", (int64_t)row, NULL);
    if (models[row].bad)
        snprintf(say->text, sizeof say->text, "%s does not fit: 296 GB more are needed", models[row].name);
    say->bad = models[row].bad;
    return !models[row].bad;
}

static struct view *make_models(void)
{
    return view_models(&(struct view_models_conf){.right = "~/models   RAM 128 GB", .rows = model_rows, .more = more, .detail = detail, .use = use});
}

/* ---- settings, help ---- */

static char temp[20];

static void setting_rows(void *arg, const struct setting_row **at, size_t *n)
{
    static struct setting_row rows[] = {{"temp", temp, "how freely it chooses (0: always the likeliest)", false},
                                        {"top-k", "40", "choose among the N likeliest tokens only", false},
                                        {"stats", "no", "show what an answer took", true}};
    (void)arg;
    *at = rows;
    *n = 3;
}

static bool set(void *arg, const char *name, const char *value, struct say *say)
{
    (void)arg;
    hear(name, 0, value);
    bool ok = strcmp(name, "temp") != 0 || value[0] != '-';
    if (!ok)
        snprintf(say->text, sizeof say->text, "temp takes a number from 0 to 100, not %s", value);
    else if (strcmp(name, "temp") == 0)
        snprintf(temp, sizeof temp, "%s", value);
    return ok;
}

static struct view *make_settings(void)
{
    snprintf(temp, sizeof temp, "0.8");
    return view_settings(&(struct view_settings_conf){.rows = setting_rows, .set = set});
}

static struct view *make_help(void)
{
    static const struct help_row rows[] = {{"Writing", "Enter", "send, or queue"},   {"Writing", "M-Enter C-j", "a new line"},
                                           {"Reading", "j k", "a line"},              {"Commands", "/search WORDS", "find words in all sessions"},
                                           {"Commands", "/regen [NAME=VALUE ...]", "answer the last prompt once more"}};
    return view_help(rows, sizeof rows / sizeof rows[0], "hadal 0.1");
}

/* ---- driving ---- */

static void settle(struct view *v)
{
    for (int i = 0; i < 200 && view_tick_ms(v) >= 0; i++)
        view_tick_now(v);
}

static void press(struct view *v, const char *keys) /* names with blanks between; "Space" for a blank */
{
    char word[24];
    while (*(keys += strspn(keys, " "))) {
        size_t n = strcspn(keys, " ");
        struct input_event e = {.kind = INPUT_KEY};
        snprintf(word, sizeof word, "%.*s", (int)n, keys);
        snprintf(e.name, sizeof e.name, "%s", strcmp(word, "Space") ? word : " ");
        if (strlen(e.name) == 1 || (unsigned char)e.name[0] >= 0x80) {
            e.n_bytes = strlen(e.name);
            memcpy(e.bytes, e.name, e.n_bytes);
        }
        if (view_key(v, &e) == VIEW_CLOSE)
            hear("close", 0, NULL);
        keys += n;
        settle(v);
    }
}

static const struct {
    const char *name;
    struct view *(*make)(void);
    const char *keys;
} screens[] = {
    {"sessions", make_sessions, "j j"},          {"sessions_filter", make_sessions, "/ c a c h e"}, {"sessions_rename", make_sessions, "r ! !"},
    {"sessions_deleted", make_sessions, "G d"},  {"search", make_search, "m m a p Down"},           {"search_empty", make_search, ""},
    {"search_nothing", make_search, "z z z C-o"}, {"tree", make_tree, "k k m"},                     {"compare", make_compare, "j j"},
    {"models", make_models, ""},                 {"models_filter", make_models, "d e e p Down Enter"}, {"settings", make_settings, "Enter - 1 Enter"},
    {"settings_value", make_settings, "j Enter 5"}, {"help", make_help, ""},                        {"help_filter", make_help, "/ s e"},
};

static void compare_screen(const char *name, int cols, int rows, const struct surface *s)
{
    char path[600];
    const char *srcdir = getenv("srcdir");
    struct buf now = BUF_INIT(1 << 20), want = BUF_INIT(1 << 20);
    struct err err = {0};
    snprintf(path, sizeof path, "%s/tests/screens/view_%s_%dx%d.txt", srcdir ? srcdir : "..", name, cols, rows);
    surface_dump(s, true, &now);
    if (getenv("HADAL_UPDATE"))
        assert_int_equal(path_write_atomic(path, buf_str(&now), now.len, 0644, &err), 0);
    if (path_read(path, &want, &err) != 0)
        fail_msg("%s", err.msg);
    if (now.len != want.len || memcmp(now.data, want.data, now.len) != 0)
        fail_msg("%s differs; this was drawn:\n%s", path, buf_str(&now));
    buf_finish(&now);
    buf_finish(&want);
}

static void golden(void **state)
{
    static const int size[][2] = {{80, 24}, {120, 40}};
    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++)
        for (size_t k = 0; k < 2; k++) {
            struct surface *s = surface_create(size[k][1], size[k][0]);
            struct view *v = screens[i].make();
            struct area a = {0, 0, size[k][1], size[k][0]};
            view_draw(v, s, a);
            press(v, screens[i].keys);
            view_draw(v, s, a);
            compare_screen(screens[i].name, size[k][0], size[k][1], s);
            view_destroy(v);
            surface_destroy(s);
        }
}

/* Any size, with a frame around that must stay as it is. */
static void sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++)
        for (int rows = 1; rows <= 45; rows += rows < 26 ? 1 : 6)
            for (int cols = 1; cols <= 130; cols += cols < 12 ? 1 : 9) {
                struct surface *s = surface_create(rows + 2, cols + 2);
                struct view *v = screens[i].make();
                for (int y = 0; y < rows + 2; y++)
                    for (int x = 0; x < cols + 2; x++)
                        if (!y || !x || y == rows + 1 || x == cols + 1)
                            surface_puts(s, y, x, x + 1, (struct look){0}, "#");
                view_draw(v, s, (struct area){1, 1, rows, cols});
                press(v, screens[i].keys);
                view_draw(v, s, (struct area){1, 1, rows, cols});
                for (int y = 0; y < rows + 2; y++)
                    for (int x = 0; x < cols + 2; x++)
                        if ((!y || !x || y == rows + 1 || x == cols + 1) && surface_cell(s, y, x)->cp[0] != '#')
                            fail_msg("%s at %dx%d draws at %d, %d", screens[i].name, cols, rows, x - 1, y - 1);
                view_destroy(v);
                surface_destroy(s);
            }
}

static void says(struct view *(*make)(void), const char *keys, const char *want)
{
    struct surface *s = surface_create(24, 80);
    struct view *v = make();
    view_draw(v, s, (struct area){0, 0, 24, 80});
    heard[0] = 0;
    press(v, keys);
    if (strcmp(heard, want) != 0)
        fail_msg("%s: heard \"%s\", not \"%s\"", keys, heard, want);
    view_destroy(v);
    surface_destroy(s);
}

static void keys(void **state)
{
    (void)state;
    says(make_sessions, "j p a f", "pin 2 -; archive 2 -; fork 2 -; ");
    says(make_sessions, "d u n s A", "delete 1 -; undo 1 -; new 1 -; sort 1 -; which 1 -; ");
    says(make_sessions, "j j r C-u a Space b Enter", "rename 3 a b; ");
    says(make_sessions, "t c Enter t x Esc", "tag 1 c; ");
    says(make_sessions, "x a . m d Enter", "export 1 a.md; ");
    says(make_sessions, "/ N F S Enter Enter", "open 6 -; close 0 -; ");
    says(make_sessions, "/ q q Enter Enter p d", "");
    says(make_sessions, "/ N F S Esc Enter", "open 6 -; close 0 -; "); /* the selection stays with its session */
    says(make_sessions, "G Enter", "open 7 -; close 0 -; ");
    says(make_sessions, "/ x Enter Esc q", "close 0 -; ");
    says(make_search, "m Down Enter", "goto 12 mmap; close 0 -; ");
    says(make_search, "z z z Enter", "");
    says(make_search, "q Esc", "close 0 -; ");
    says(make_tree, "Enter", "go 7 -; close 0 -; ");
    says(make_tree, "g j m G d", "compare 203 -; ");
    says(make_tree, "d f", "fork 7 -; close 0 -; ");
    says(make_tree, "g j ] Enter", "go 3 -; close 0 -; ");
    says(make_models, "Down Enter", "use 1 -; close 0 -; ");
    says(make_models, "v 3 Enter", "use 2 -; ");
    says(make_settings, "Enter C-u 1 Enter j j Enter", "temp 0 1; stats 0 yes; ");
    says(make_help, "/ q Enter q", "close 0 -; ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden), cmocka_unit_test(sizes), cmocka_unit_test(keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
