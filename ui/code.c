/*
 * Light colour for code. See code.h.
 *
 * A table says what a language's comments, strings and keywords look like; one scanner serves most of them, and four odd ones (markup,
 * diffs, keys with values, make) have a scanner of their own. Each byte is passed once: a token that does not end in its line sets the state.
 */
#include "config.h"
#include "ui/code.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum { /* what a language has */
    TRIPLE = 1,      /* """ and ''' strings */
    STRING_LINES = 2, /* strings go over lines */
    NO_CASE = 4,     /* keywords in any case */
    HASH_WORD = 8,   /* #include */
    CHARS = 16,      /* 'x' is a character; a lone ' nothing */
    DOUBLED = 32,    /* '' within a string, and no backslashes */
    LUA_LONG = 64,   /* [[ ]] and --[[ ]] */
    HEREDOC = 128,
    WORD_HASH = 256, /* # begins a comment only at the beginning of a word */
    DASHES = 512,    /* - belongs to words (CSS) */
    AT_WORD = 1024,  /* @media, @Override */
    KEYS = 2048,     /* a word or string before a colon is a key */
};

struct code_lang {
    const char *name;
    const char *aliases; /* words, each between blanks */
    void (*line)(const struct code_lang *, struct code_state *, const char *, size_t, struct code_spans *);
    const char *comment[2];
    const char *open, *close; /* a comment over lines */
    const char *quotes;       /* a backtick's string goes over lines */
    unsigned flags;
    const char *keywords; /* each between blanks */
};

enum mode { MODE_CODE, MODE_COMMENT, MODE_STRING, MODE_TRIPLE, MODE_LONG, MODE_LONG_COMMENT, MODE_HEREDOC };

/* ---- spans ---- */

static void span(struct code_spans *o, size_t from, size_t to, enum role role)
{
    struct row_span *last = o->n ? &o->at[o->n - 1] : NULL;
    if (from >= to)
        return;
    if (last && last->look.role == role && last->to == from) {
        last->to = (uint32_t)to;
        return;
    }
    if (o->n == o->cap) {
        o->cap = o->cap ? o->cap * 2 : 16;
        o->at = mem_grow(o->at, (size_t)o->cap, sizeof *o->at);
    }
    o->at[o->n++] = (struct row_span){(uint32_t)from, (uint32_t)to, {.role = (uint8_t)role}};
}

/* ---- bits of text ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool begins(const char *s, size_t n, const char *with)
{
    size_t k = with ? strlen(with) : 0;
    return k && n >= k && !memcmp(s, with, k);
}

/* A word among words that stand between blanks. */
static bool among(const char *words, const char *s, size_t n, bool no_case)
{
    if (!words || !n || n > 24)
        return false;
    for (const char *p = words + 1; *p;) {
        const char *end = strchr(p, ' ');
        if ((size_t)(end - p) == n && (no_case ? !strncasecmp(p, s, n) : !memcmp(p, s, n)))
            return true;
        p = end + 1;
    }
    return false;
}

static size_t word_end(const char *s, size_t n, size_t i, bool dashes)
{
    while (i < n && (is_word(s[i]) || (dashes && s[i] == '-')))
        i++;
    return i;
}

/* 12, 0x1F, 1_000, 3.5e-7 */
static size_t number_end(const char *s, size_t n, size_t i)
{
    bool hex = i + 1 < n && s[i] == '0' && (s[i + 1] | 32) == 'x';
    while (i < n) {
        bool sign = (s[i] == '+' || s[i] == '-') && !hex && (s[i - 1] | 32) == 'e';
        if (!is_word(s[i]) && !(s[i] == '.' && i + 1 < n && is_digit(s[i + 1])) && !sign)
            break;
        i++;
    }
    return i;
}

static size_t find(const char *s, size_t n, size_t i, const char *what)
{
    const char *p = i < n ? memmem(s + i, n - i, what, strlen(what)) : NULL;
    return p ? (size_t)(p - s) + strlen(what) : 0;
}

static size_t next_blank(const char *s, size_t n, size_t i)
{
    while (i < n && is_blank(s[i]))
        i++;
    return i;
}

static uint32_t hash(const char *s, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 16777619u;
    return h;
}

/* ---- the scanner for most ---- */

/* The end of the string whose text begins at i; 0: not in this line. */
static size_t string_end(const struct code_lang *l, const char *s, size_t n, size_t i, char quote)
{
    for (; i < n; i++) {
        if (s[i] == '\\' && !(l->flags & DOUBLED) && !(quote == '\'' && l->flags & HEREDOC))
            i++;
        else if (s[i] == quote)
            return i + 1;
    }
    return 0;
}

/* What the last line left open; returns where code goes on. */
static size_t resume(const struct code_lang *l, struct code_state *st, const char *s, size_t n, struct code_spans *o)
{
    size_t end = 0;
    enum role role = ROLE_STRING;
    switch ((enum mode)st->mode) {
    case MODE_CODE:
        return 0;
    case MODE_COMMENT:
        role = ROLE_COMMENT;
        end = find(s, n, 0, l->close);
        break;
    case MODE_STRING:
        end = string_end(l, s, n, 0, (char)st->quote);
        break;
    case MODE_TRIPLE:
        end = find(s, n, 0, st->quote == '"' ? "\"\"\"" : "'''");
        break;
    case MODE_LONG:
    case MODE_LONG_COMMENT:
        role = st->mode == MODE_LONG ? ROLE_STRING : ROLE_COMMENT;
        end = find(s, n, 0, "]]");
        break;
    case MODE_HEREDOC: {
        size_t a = next_blank(s, n, 0), b = n;
        while (b > a && is_blank(s[b - 1]))
            b--;
        if (hash(s + a, b - a) == st->mark)
            st->mode = MODE_CODE;
        span(o, 0, n, ROLE_STRING);
        return n;
    }
    }
    if (end)
        st->mode = MODE_CODE;
    else
        end = n;
    span(o, 0, end, role);
    return end;
}

/* A string or character that begins at i. */
static size_t a_string(const struct code_lang *l, struct code_state *st, const char *s, size_t n, size_t i, struct code_spans *o)
{
    char q = s[i];
    size_t end;
    enum role role = ROLE_STRING;
    if (q == '\'' && l->flags & CHARS) {
        size_t k = i + 1 < n && s[i + 1] == '\\' ? i + 3 : i + 2;
        while (k < n && k < i + 14 && s[k] != '\'' && ((unsigned char)s[k] >= 0x80 || s[i + 1] == '\\'))
            k++;
        end = k < n && s[k] == '\'' ? k + 1 : i + 1;
        span(o, i, end, end > i + 1 ? ROLE_STRING : ROLE_CODE);
        return end;
    }
    if (l->flags & TRIPLE && q != '`' && n - i >= 3 && s[i + 1] == q && s[i + 2] == q) {
        end = find(s, n, i + 3, q == '"' ? "\"\"\"" : "'''");
        if (!end)
            st->mode = MODE_TRIPLE;
    } else {
        end = string_end(l, s, n, i + 1, q);
        if (!end && (q == '`' || l->flags & STRING_LINES))
            st->mode = MODE_STRING;
    }
    st->quote = (uint8_t)q;
    if (!end)
        end = n;
    else if (l->flags & KEYS && begins(s + next_blank(s, n, end), n - next_blank(s, n, end), ":"))
        role = ROLE_KEYWORD;
    span(o, i, end, role);
    return end;
}

/* <<EOF, <<-'EOF': its word. */
static void heredoc(struct code_state *st, const char *s, size_t n, size_t i)
{
    i += 2;
    if (i < n && (s[i] == '-' || s[i] == '~'))
        i++;
    i = next_blank(s, n, i);
    bool quoted = i < n && (s[i] == '\'' || s[i] == '"');
    i += quoted;
    size_t end = word_end(s, n, i, false);
    if (end > i && !is_digit(s[i])) {
        st->mode = MODE_HEREDOC;
        st->mark = hash(s + i, end - i);
    }
}

static size_t a_word(const struct code_lang *l, const char *s, size_t n, size_t i, struct code_spans *o)
{
    size_t k = i + ((l->flags & AT_WORD && s[i] == '@') || (l->flags & HASH_WORD && s[i] == '#'));
    bool marked = k > i;
    if (marked && s[i] == '#')
        k = next_blank(s, n, k);
    size_t end = word_end(s, n, k, l->flags & DASHES);
    if (end == k)
        end = i + 1;
    bool key = l->flags & KEYS && end > k && begins(s + next_blank(s, n, end), n - next_blank(s, n, end), ":");
    span(o, i, end, key || (marked && end > i + 1) || among(l->keywords, s + k, end - k, l->flags & NO_CASE) ? ROLE_KEYWORD : ROLE_CODE);
    return end;
}

static void most_line(const struct code_lang *l, struct code_state *st, const char *s, size_t n, struct code_spans *o)
{
    size_t i = resume(l, st, s, n, o);
    bool start = i == 0 && next_blank(s, n, 0) < n; /* nothing but blanks before */
    struct code_state later = {0};
    while (i < n) {
        char c = s[i];
        bool hash_ok = c != '#' || !(l->flags & WORD_HASH) || i == 0 || is_blank(s[i - 1]) || s[i - 1] == ';';
        if (l->flags & LUA_LONG && begins(s + i, n - i, "--[[")) {
            size_t end = find(s, n, i + 4, "]]");
            st->mode = end ? MODE_CODE : MODE_LONG_COMMENT;
            span(o, i, end ? end : n, ROLE_COMMENT);
            i = end ? end : n;
        } else if (l->flags & LUA_LONG && begins(s + i, n - i, "[[")) {
            size_t end = find(s, n, i + 2, "]]");
            st->mode = end ? MODE_CODE : MODE_LONG;
            span(o, i, end ? end : n, ROLE_STRING);
            i = end ? end : n;
        } else if (begins(s + i, n - i, l->open)) {
            size_t end = find(s, n, i + strlen(l->open), l->close);
            st->mode = end ? MODE_CODE : MODE_COMMENT;
            span(o, i, end ? end : n, ROLE_COMMENT);
            i = end ? end : n;
        } else if (hash_ok && (begins(s + i, n - i, l->comment[0]) || begins(s + i, n - i, l->comment[1]))) {
            span(o, i, n, ROLE_COMMENT);
            i = n;
        } else if (l->quotes && strchr(l->quotes, c) && c) {
            i = a_string(l, st, s, n, i, o);
        } else if (is_digit(c)) {
            size_t end = number_end(s, n, i + 1);
            span(o, i, end, ROLE_NUMBER);
            i = end;
        } else if (is_word(c) || (l->flags & AT_WORD && c == '@') || (l->flags & HASH_WORD && c == '#' && start) || (l->flags & DASHES && c == '-')) {
            i = a_word(l, s, n, i, o);
        } else {
            if (l->flags & HEREDOC && begins(s + i, n - i, "<<") && !begins(s + i, n - i, "<<<") && (i == 0 || s[i - 1] != '<'))
                heredoc(&later, s, n, i);
            span(o, i, i + 1, ROLE_CODE);
            i++;
            start &= is_blank(c);
            continue;
        }
        start = false;
    }
    if (later.mode && st->mode == MODE_CODE)
        *st = later;
}

/* ---- the odd ones ---- */

static void diff_line(const struct code_lang *l, struct code_state *st, const char *s, size_t n, struct code_spans *o)
{
    enum role role = ROLE_CODE;
    (void)l;
    (void)st;
    if (begins(s, n, "+++") || begins(s, n, "---") || begins(s, n, "diff ") || begins(s, n, "index "))
        role = ROLE_COMMENT;
    else if (begins(s, n, "@@"))
        role = ROLE_KEYWORD;
    else if (begins(s, n, "+"))
        role = ROLE_GOOD;
    else if (begins(s, n, "-"))
        role = ROLE_ALERT;
    span(o, 0, n, role);
}

/* HTML and XML: tag 1 between < and >. */
static void markup_line(const struct code_lang *l, struct code_state *st, const char *s, size_t n, struct code_spans *o)
{
    size_t i = resume(l, st, s, n, o);
    while (i < n) {
        if (begins(s + i, n - i, l->open)) {
            size_t end = find(s, n, i + strlen(l->open), l->close);
            st->mode = end ? MODE_CODE : MODE_COMMENT;
            span(o, i, end ? end : n, ROLE_COMMENT);
            i = end ? end : n;
        } else if (!st->tag && s[i] == '<' && i + 1 < n && (is_word(s[i + 1]) || strchr("/!?", s[i + 1]))) {
            size_t end = word_end(s, n, i + 2, true);
            st->tag = 1;
            span(o, i, end, ROLE_KEYWORD);
            i = end;
        } else if (st->tag && (s[i] == '"' || s[i] == '\'')) {
            i = a_string(l, st, s, n, i, o);
        } else if (st->tag && s[i] == '>') {
            st->tag = 0;
            span(o, i, i + 1, ROLE_KEYWORD);
            i++;
        } else if (!st->tag && s[i] == '&') {
            size_t end = i + 1;
            while (end < n && end < i + 12 && (is_word(s[end]) || s[end] == '#'))
                end++;
            end = end < n && s[end] == ';' ? end + 1 : i + 1;
            span(o, i, end, end > i + 1 ? ROLE_NUMBER : ROLE_CODE);
            i = end;
        } else {
            span(o, i, i + 1, ROLE_CODE);
            i++;
        }
    }
}

/* A key in front of what the line is about: "key: value", "key = value", "[section]", "target: ..". */
static void keys_line(const struct code_lang *l, struct code_state *st, const char *s, size_t n, struct code_spans *o)
{
    size_t i = st->mode ? 0 : next_blank(s, n, 0), end = i;
    while (!st->mode && begins(s + i, n - i, "- "))
        i = next_blank(s, n, i + 1);
    end = i;
    if (!st->mode && i < n && s[i] == '[' && l->flags & WORD_HASH) {
        while (end < n && s[end] != ']')
            end++;
        while (end < n && s[end] == ']')
            end++;
    } else if (!st->mode && i < n && !(l->quotes && strchr(l->quotes, s[i]))) {
        while (end < n && (is_word(s[end]) || strchr("-./ $(){}%", s[end])) && s[end])
            end++;
        bool assigns = end < n && (s[end] == '=' || (s[end] == ':' && (end + 1 == n || is_blank(s[end + 1]) || s[end + 1] == '=')) ||
                                   (strchr("?+:", s[end]) && end + 1 < n && s[end + 1] == '='));
        if (!assigns)
            end = i;
        while (end > i && is_blank(s[end - 1]))
            end--;
    }
    struct code_spans rest = {0};
    span(o, 0, i, ROLE_CODE);
    span(o, i, end, ROLE_KEYWORD);
    most_line(l, st, s + end, n - end, &rest);
    for (int k = 0; k < rest.n; k++)
        span(o, end + rest.at[k].from, end + rest.at[k].to, (enum role)rest.at[k].look.role);
    free(rest.at);
}

/* ---- languages ---- */

#define C_WORDS \
    " auto break case char const continue default do double else enum extern float for goto if inline int long register restrict return short " \
    "signed sizeof static struct switch typedef union unsigned void volatile while bool true false NULL "
#define CPP_WORDS \
    C_WORDS "alignas alignof and asm catch class concept consteval constexpr constinit const_cast co_await co_return co_yield decltype delete " \
    "dynamic_cast explicit export final friend mutable namespace new noexcept not nullptr operator or override private protected public " \
    "reinterpret_cast requires static_assert static_cast template this throw try typeid typename using virtual size_t "

static const struct code_lang langs[] = {
    {"c", " c h ", most_line, {"//"}, "/*", "*/", "\"'", HASH_WORD | CHARS, C_WORDS "size_t uint8_t uint16_t uint32_t uint64_t int32_t int64_t "},
    {"c++", " c++ cpp cc cxx hpp cuda cu objc ", most_line, {"//"}, "/*", "*/", "\"'", HASH_WORD | CHARS, CPP_WORDS},
    {"c#", " c# cs csharp ", most_line, {"//"}, "/*", "*/", "\"'", HASH_WORD | CHARS,
     " abstract as async await base bool break byte case catch char class const continue decimal default delegate do double else enum event "
     "explicit extern false finally fixed float for foreach goto if implicit in int interface internal is lock long namespace new null object "
     "operator out override params private protected public readonly record ref return sealed short sizeof static string struct switch this "
     "throw true try typeof uint ulong unsafe using var virtual void volatile while yield get set "},
    {"python", " python py python3 ipython pycon ", most_line, {"#"}, NULL, NULL, "\"'", TRIPLE | AT_WORD,
     " False None True and as assert async await break case class continue def del elif else except finally for from global if import in is "
     "lambda match nonlocal not or pass raise return self try while with yield "},
    {"javascript", " javascript js jsx mjs node typescript ts tsx ", most_line, {"//"}, "/*", "*/", "\"'`", AT_WORD,
     " abstract any as async await boolean break case catch class const continue debugger declare default delete do else enum export extends "
     "false finally for from function get if implements import in instanceof interface keyof let namespace never new null number of private "
     "protected public readonly return set static string super switch this throw true try type typeof undefined unknown var void while with yield "},
    {"java", " java kotlin kt scala groovy ", most_line, {"//"}, "/*", "*/", "\"'", CHARS | TRIPLE | AT_WORD,
     " abstract assert boolean break byte case catch char class const continue data default do double else enum extends false final finally "
     "float for fun goto if implements import in instanceof int interface is long native new null object override package private protected "
     "public record return sealed short static super switch synchronized this throw throws transient true try val var void volatile when while yield "},
    {"go", " go golang ", most_line, {"//"}, "/*", "*/", "\"'`", CHARS,
     " any bool break byte case chan const continue default defer else error fallthrough false float32 float64 for func go goto if import int "
     "int32 int64 interface iota map nil package range return rune select string struct switch true type uint uint8 uint32 uint64 var "},
    {"rust", " rust rs ", most_line, {"//"}, "/*", "*/", "\"'", CHARS | STRING_LINES,
     " as async await bool break char const continue crate dyn else enum extern f32 f64 false fn for i32 i64 i8 if impl in isize let loop match "
     "mod move mut pub ref return self Self static str struct super trait true type u16 u32 u64 u8 union unsafe use usize where while "},
    {"swift", " swift dart zig php ", most_line, {"//", "#"}, "/*", "*/", "\"'", AT_WORD,
     " as async await break case catch class const continue default defer do echo else enum extends extension false final for foreach fn func "
     "function guard if implements import in init inout interface internal is let namespace new nil null override private protected protocol "
     "pub public return self static struct super switch this throw throws true try use var void where while "},
    {"shell", " shell sh bash zsh ksh fish console shell-session shellscript terminal ", most_line, {"#"}, NULL, NULL, "\"'", STRING_LINES | HEREDOC | WORD_HASH | DASHES,
     " if then else elif fi for while until do done case esac in function select return exit break continue local export readonly declare set unset "
     "shift trap eval exec source alias cd echo printf read test sudo "},
    {"powershell", " powershell ps1 pwsh ", most_line, {"#"}, "<#", "#>", "\"'", NO_CASE | DASHES,
     " begin break catch class continue do else elseif end exit filter finally for foreach function if in param process return switch throw trap try until while "},
    {"sql", " sql sqlite postgresql postgres mysql plsql ", most_line, {"--"}, "/*", "*/", "'\"", NO_CASE | DOUBLED | STRING_LINES,
     " add all alter and any as asc avg begin between bigint bool boolean by case check column commit constraint count create cross date default delete "
     "desc distinct drop else end except exists false foreign from full function group having if in index inner insert int integer intersect into is "
     "join key left like limit max min not null numeric offset on or order outer over partition pragma primary references returning right rollback "
     "select set sum table text then timestamp transaction trigger true union unique update using values varchar view virtual when where with "},
    {"json", " json jsonc json5 jsonl ndjson ", most_line, {"//"}, "/*", "*/", "\"", KEYS, " true false null "},
    {"html", " html xml svg xhtml vue svelte htm ", markup_line, {NULL}, "<!--", "-->", "\"'", STRING_LINES, NULL},
    {"css", " css scss less sass ", most_line, {NULL}, "/*", "*/", "\"'", DASHES | AT_WORD | KEYS, " important "},
    {"lua", " lua ", most_line, {"--"}, NULL, NULL, "\"'", LUA_LONG,
     " and break do else elseif end false for function goto if in local nil not or repeat return self then true until while "},
    {"ruby", " ruby rb elixir ex crystal ", most_line, {"#"}, "=begin", "=end", "\"'", STRING_LINES | AT_WORD | WORD_HASH,
     " alias and begin break case class def defined? defmodule do else elsif end ensure false fn for if in module next nil not or puts raise redo "
     "require rescue retry return self super then true undef unless until when while yield "},
    {"perl", " perl pl r julia jl ", most_line, {"#"}, NULL, NULL, "\"'", STRING_LINES | WORD_HASH,
     " begin break do else elseif elsif end export FALSE false for foreach function if import in last let library local macro module mutable my next no NULL our package "
     "print qw repeat require return struct sub TRUE true undef unless until use using where while "},
    {"haskell", " haskell hs elm ", most_line, {"--"}, "{-", "-}", "\"'", CHARS,
     " case class data deriving do else forall if import in infix infixl infixr instance let module newtype of then type where "},
    {"lisp", " lisp clojure clj scheme elisp emacs-lisp ", most_line, {";"}, NULL, NULL, "\"", STRING_LINES | DASHES,
     " cond def defn defun defvar do fn if lambda let loop nil progn quote setq t "},
    {"diff", " diff patch ", diff_line, {NULL}, NULL, NULL, NULL, 0, NULL},
    {"make", " make makefile mk dockerfile docker cmake ", keys_line, {"#"}, NULL, NULL, "\"", 0,
     " add_executable define else endef endif export find_package if ifdef ifeq ifndef ifneq include project set target_link_libraries FROM RUN CMD COPY ADD ENV ARG WORKDIR EXPOSE ENTRYPOINT USER VOLUME LABEL "},
    {"yaml", " yaml yml ", keys_line, {"#"}, NULL, NULL, "\"'", WORD_HASH | DASHES, " true false null yes no on off "},
    {"toml", " toml ", keys_line, {"#"}, NULL, NULL, "\"'", TRIPLE | WORD_HASH, " true false "},
    {"ini", " ini cfg conf config properties env dotenv desktop systemd ", keys_line, {"#", ";"}, NULL, NULL, "\"", WORD_HASH, " true false yes no on off "},
};

const struct code_lang *code_lang(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof langs / sizeof *langs; i++)
        if (among(langs[i].aliases, name, n, true))
            return &langs[i];
    return NULL;
}

const char *code_lang_name(const struct code_lang *l)
{
    return l ? l->name : "";
}

void code_line(const struct code_lang *l, struct code_state *st, const char *s, size_t n, struct code_spans *out)
{
    out->n = 0;
    if (n > UINT32_MAX)
        n = UINT32_MAX;
    if (l)
        l->line(l, st, s, n, out);
    else
        span(out, 0, n, ROLE_CODE);
}
