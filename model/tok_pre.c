/*
 * Pre-tokenizers: how a text is cut into pieces before merging (spec: tokenizers 2.2, 2.3).
 *
 * A pre-tokenizer is a list of steps, one for each regular expression of its published form. A step is a hand-written
 * matcher: it says how many code points match at a position. Steps run one after the other over the pieces of the step before;
 * a match is a piece, and so is the gap between two matches. The text is decoded once into code points with class bits;
 * pieces are marks in an array beside it, so that nothing is copied and nothing recurses.
 *
 * Time: a matcher that fails after looking far ahead says in *skip how far no match can begin; matchers that succeed
 * after looking far ahead take at least half of what they have seen, or leave a rest that the next match takes whole.
 * So every step is linear in the length of the text, whatever the text is.
 *
 * Categories come from utf8proc; white space is Unicode's White_Space list, which is not a category.
 */
#include "config.h"

#include "model/tok_priv.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/mem.h"
#include "base/utf8.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- classes ---- */

/* ASCII: P is !"#%&'()*,-./:;?@[\]_{}, S is $+<=>^`|~ */
static const uint8_t ascii_class[128] = {
    ['\t'... '\r'] = C_WS, [' '] = C_WS, ['!' ... '#'] = C_P, ['$'] = C_S, ['%' ... '*'] = C_P, ['+'] = C_S, [',' ... '/'] = C_P,
    ['0' ... '9'] = C_N, [':' ... ';'] = C_P, ['<' ... '>'] = C_S, ['?' ... '@'] = C_P, ['A' ... 'Z'] = C_LU, ['[' ... ']'] = C_P,
    ['^'] = C_S, ['_'] = C_P, ['`'] = C_S, ['a' ... 'z'] = C_LL, ['{'] = C_P, ['|'] = C_S, ['}'] = C_P, ['~'] = C_S,
};

static bool is_space(uint32_t c)
{
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

static uint8_t class_of(uint32_t c)
{
    if (c < 128)
        return ascii_class[c];
    if (is_space(c))
        return C_WS;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
        return C_LU;
    case UTF8PROC_CATEGORY_LL:
        return C_LL;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return C_LX;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return C_M;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return C_N;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return C_P;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
        return C_S;
    default:
        return 0;
    }
}

struct range {
    uint16_t from, to;
};

/* Is c in a sorted list of ranges? */
static bool in_ranges(const struct range *r, size_t n, uint32_t c)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > r[mid].to)
            lo = mid + 1;
        else if (c < r[mid].from)
            hi = mid;
        else
            return true;
    }
    return false;
}

/* ---- pieces of matchers ---- */

typedef size_t match_fn(const struct pre_text *t, size_t i, size_t end, size_t *skip);

static inline bool newline(uint32_t c)
{
    return c == '\r' || c == '\n';
}

static inline size_t run_of(const struct pre_text *t, size_t i, size_t end, uint8_t cls)
{
    while (i < end && (t->cls[i] & cls))
        i++;
    return i;
}

static inline size_t run_not(const struct pre_text *t, size_t i, size_t end, uint8_t cls)
{
    while (i < end && !(t->cls[i] & cls))
        i++;
    return i;
}

/* 's 't 're 've 'm 'll 'd; ASCII letters of either case if icase. Code points, 0: none. */
static size_t contraction(const struct pre_text *t, size_t i, size_t end, bool icase)
{
    if (t->cp[i] != '\'' || i + 1 >= end)
        return 0;
    uint32_t fold = icase ? 0x20 : 0;
    uint32_t a = t->cp[i + 1] < 128 ? t->cp[i + 1] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (i + 2 >= end)
        return 0;
    uint32_t b = t->cp[i + 2] < 128 ? t->cp[i + 2] | fold : 0;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S): a run of white space, without its last one when text follows. `single`: with |\s+ behind it. */
static size_t spaces(const struct pre_text *t, size_t i, size_t end, bool single)
{
    size_t j = run_of(t, i, end, C_WS);
    if (j == end || j == i)
        return j - i;
    return j - i > 1 ? j - i - 1 : single;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t lines_or_spaces(const struct pre_text *t, size_t i, size_t end)
{
    size_t j = i, last = 0;
    for (; j < end && (t->cls[j] & C_WS); j++)
        if (newline(t->cp[j]))
            last = j + 1;
    if (last)
        return last - i;
    if (j == end || j == i)
        return j - i;
    return j - i > 1 ? j - i - 1 : 1;
}

/* Behind punctuation: [\r\n]* or [\r\n/]* */
static size_t line_ends(const struct pre_text *t, size_t i, size_t end, bool slash)
{
    while (i < end && (newline(t->cp[i]) || (slash && t->cp[i] == '/')))
        i++;
    return i;
}

static size_t digits_up_to(const struct pre_text *t, size_t i, size_t end, size_t max)
{
    return run_of(t, i, end - i > max ? i + max : end, C_N) - i;
}

/* ---- the steps ---- */

/* \p{N} */
static size_t m_digit(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)end, (void)skip;
    return (t->cls[i] & C_N) != 0;
}

/* \p{N}{1,3} */
static size_t m_digits3(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return digits_up_to(t, i, end, 3);
}

/* \p{N}+ */
static size_t m_digits(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return run_of(t, i, end, C_N) - i;
}

/* [0-9][0-9][0-9] */
static size_t m_ascii3(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    if (end - i < 3)
        return 0;
    for (size_t k = i; k < i + 3; k++)
        if (t->cp[k] < '0' || t->cp[k] > '9')
            return 0;
    return 3;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S) */
static size_t m_gpt2(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    size_t n = contraction(t, i, end, false);
    if (n)
        return n;
    size_t j = i;
    if (t->cp[i] == ' ' && i + 1 < end && !(t->cls[i + 1] & C_WS))
        j = i + 1;
    uint8_t c = t->cls[j];
    if (c & C_L)
        return run_of(t, j, end, C_L) - i;
    if (c & C_N)
        return run_of(t, j, end, C_N) - i;
    if (!(c & C_WS))
        return run_not(t, j, end, C_WS | C_L | C_N) - i;
    return spaces(t, i, end, false);
}

/*
 * A|[^\r\n\p{L}\p{N}]?W+|\p{N}{1,d}| ?[^\s\p{L}\p{N}W]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ with W letters (and marks), d digits.
 */
static size_t modern(const struct pre_text *t, size_t i, size_t end, uint8_t word, size_t digits)
{
    size_t n = contraction(t, i, end, true);
    if (n)
        return n;
    uint8_t c = t->cls[i];
    if (!(c & (C_L | C_N)) && !newline(t->cp[i]) && i + 1 < end && (t->cls[i + 1] & word))
        return run_of(t, i + 1, end, word) - i;
    if (c & word)
        return run_of(t, i, end, word) - i;
    if (c & C_N)
        return digits_up_to(t, i, end, digits);
    size_t j = t->cp[i] == ' ' ? i + 1 : i;
    size_t k = run_not(t, j, end, C_WS | C_N | C_L | word);
    if (k > j)
        return line_ends(t, k, end, false) - i;
    return lines_or_spaces(t, i, end);
}

static size_t m_llama3(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return modern(t, i, end, C_L, 3);
}

static size_t m_qwen2(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return modern(t, i, end, C_L, 1);
}

static size_t m_qwen35(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return modern(t, i, end, C_L | C_M, 1);
}

/* The script Han (which is no category), below U+10000. */
static const struct range han_low[] = {
    {0x2E80, 0x2E99}, {0x2E9B, 0x2EF3}, {0x2F00, 0x2FD5}, {0x3005, 0x3005}, {0x3007, 0x3007}, {0x3021, 0x3029}, {0x3038, 0x303B},
    {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xF900, 0xFA6D}, {0xFA70, 0xFAD9},
};

static bool is_han(uint32_t c)
{
    if (c < 0x10000)
        return c >= 0x2E80 && in_ranges(han_low, COUNT(han_low), c);
    return (c >= 0x16FE2 && c <= 0x16FE3) || (c >= 0x16FF0 && c <= 0x16FF1) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B739) || (c >= 0x2B740 && c <= 0x2B81D) || (c >= 0x2B820 && c <= 0x2CEA1) ||
           (c >= 0x2CEB0 && c <= 0x2EBE0) || (c >= 0x2EBF0 && c <= 0x2EE5D) || (c >= 0x2F800 && c <= 0x2FA1D) ||
           (c >= 0x30000 && c <= 0x3134A) || (c >= 0x31350 && c <= 0x323AF);
}

/* What differs between tekken, gpt-4o and kimi-k2. */
struct cased {
    bool suffix;   /* a contraction belongs to the word */
    bool no_han;   /* ideographs are no letters of words */
    bool slash;    /* behind punctuation, beside line ends */
    size_t digits;
};

/* Is code point i one of `cls` that may be in a word? */
static inline bool in_word(const struct pre_text *t, size_t i, uint8_t cls, bool no_han)
{
    return (t->cls[i] & cls) && !(no_han && is_han(t->cp[i]));
}

/*
 * U*l+ from p, where U is all letters but lower case, and marks, and l all but upper case, and marks: the end, 0: no match. *upper
 * gets the end of the run of U, which is what U+l* would match when this does not.
 */
static size_t cased_word(const struct pre_text *t, size_t p, size_t end, bool no_han, size_t *upper)
{
    size_t j = p, both = 0;
    for (; j < end && in_word(t, j, C_LU | C_LX | C_M, no_han); j++)
        if (t->cls[j] & (C_LX | C_M))
            both = j + 1;
    *upper = j;
    if (j < end && (t->cls[j] & C_LL)) {
        while (j < end && in_word(t, j, C_LL | C_LX | C_M, no_han))
            j++;
        return j;
    }
    return both; /* U* gives back up to its last member that is in l, too */
}

static size_t cased(const struct pre_text *t, size_t i, size_t end, const struct cased *c)
{
    bool prefix = !(t->cls[i] & (C_L | C_N)) && !newline(t->cp[i]) && i + 1 < end;
    size_t up1 = 0, up0 = 0, e = 0;
    if (prefix)
        e = cased_word(t, i + 1, end, c->no_han, &up1);
    if (!e)
        e = cased_word(t, i, end, c->no_han, &up0);
    if (!e && prefix && up1 > i + 1)
        e = up1;
    if (!e && up0 > i)
        e = up0;
    if (e) {
        if (c->suffix && e < end)
            e += contraction(t, e, end, true);
        return e - i;
    }
    if (t->cls[i] & C_N)
        return digits_up_to(t, i, end, c->digits);
    size_t j = t->cp[i] == ' ' ? i + 1 : i;
    size_t k = run_not(t, j, end, C_WS | C_N | C_L);
    if (k > j)
        return line_ends(t, k, end, c->slash) - i;
    return lines_or_spaces(t, i, end);
}

static size_t m_tekken(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return cased(t, i, end, &(struct cased){.slash = true, .digits = 1});
}

static size_t m_gpt4o(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return cased(t, i, end, &(struct cased){.suffix = true, .slash = true, .digits = 3});
}

/* \p{Han}+ before all else, then as gpt-4o with words that hold no ideographs and without the slash. */
static size_t m_kimi(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    size_t j = i;
    while (j < end && is_han(t->cp[j]))
        j++;
    return j > i ? j - i : cased(t, i, end, &(struct cased){.suffix = true, .no_han = true, .digits = 3});
}

/* [^\n]+|[\n]+ */
static size_t m_lines(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    bool nl = t->cp[i] == '\n';
    size_t j = i + 1;
    while (j < end && (t->cp[j] == '\n') == nl)
        j++;
    return j - i;
}

/* [\r\n] */
static size_t m_newline(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)end, (void)skip;
    return newline(t->cp[i]);
}

/* [\p{P}\$\+<=>\^~\|`]+ and the same without the backtick */
static size_t punct_run(const struct pre_text *t, size_t i, size_t end, bool backtick)
{
    size_t j = i;
    for (; j < end; j++) {
        uint32_t c = t->cp[j];
        if (!(t->cls[j] & C_P) && !(c < 128 && (t->cls[j] & C_S) && (backtick || c != '`')))
            break;
    }
    return j - i;
}

static size_t m_falcon(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return punct_run(t, i, end, true);
}

static size_t m_default(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return punct_run(t, i, end, false);
}

/* ---- DeepSeek's steps ---- */

/* [\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+ */
static size_t m_cjk_kana(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    size_t j = i;
    while (j < end && ((t->cp[j] >= 0x4E00 && t->cp[j] <= 0x9FA5) || (t->cp[j] >= 0x3040 && t->cp[j] <= 0x30FF)))
        j++;
    return j - i;
}

/* [\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+ */
static size_t m_asian(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    size_t j = i;
    while (j < end && ((t->cp[j] >= 0x0800 && t->cp[j] <= 0x9FA5) || (t->cp[j] >= 0xAC00 && t->cp[j] <= 0xD7FF)))
        j++;
    return j - i;
}

static inline bool ascii_letter(uint32_t c)
{
    return c < 128 && (ascii_class[c] & C_L);
}

/*
 * [ASCII punctuation and symbols][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 */
static size_t m_deepseek3(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    uint32_t c = t->cp[i];
    uint8_t cls = t->cls[i];
    if (c < 128 && (cls & (C_P | C_S)) && i + 1 < end && ascii_letter(t->cp[i + 1])) {
        size_t j = i + 1;
        while (j < end && ascii_letter(t->cp[j]))
            j++;
        return j - i;
    }
    if (!(cls & (C_L | C_P | C_S)) && !newline(c) && i + 1 < end && (t->cls[i + 1] & (C_L | C_M)))
        return run_of(t, i + 1, end, C_L | C_M) - i;
    if (cls & (C_L | C_M))
        return run_of(t, i, end, C_L | C_M) - i;
    size_t j = c == ' ' ? i + 1 : i;
    size_t k = run_of(t, j, end, C_P | C_S);
    if (k > j)
        return line_ends(t, k, end, false) - i;
    return lines_or_spaces(t, i, end);
}

/* The letters of deepseek-llm's second step (spec: tokenizers, LETTERS), those below U+10000. */
static const struct range ds_letters[] = {
    {0x41, 0x5A}, {0x61, 0x7A}, {0xB5, 0xB5}, {0xC0, 0xD6}, {0xD8, 0xF6}, {0xF8, 0x1BA}, {0x1BC, 0x1BF}, {0x1C4, 0x293},
    {0x295, 0x2AF}, {0x370, 0x373}, {0x376, 0x377}, {0x37B, 0x37D}, {0x37F, 0x37F}, {0x386, 0x386}, {0x388, 0x38A},
    {0x38C, 0x38C}, {0x38E, 0x3A1}, {0x3A3, 0x3F5}, {0x3F7, 0x481}, {0x48A, 0x52F}, {0x531, 0x556}, {0x10A0, 0x10C5},
    {0x13A0, 0x13F5}, {0x13F8, 0x13FD}, {0x1C90, 0x1CBA}, {0x1CBD, 0x1CBF}, {0x1D00, 0x1D2B}, {0x1D6B, 0x1D77},
    {0x1D79, 0x1D9A}, {0x1E00, 0x1F15}, {0x1F18, 0x1F1D}, {0x1F20, 0x1F45}, {0x1F48, 0x1F4D}, {0x1F50, 0x1F57},
    {0x1F59, 0x1F59}, {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D}, {0x1F5F, 0x1F7D}, {0x1F80, 0x1FB4}, {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE}, {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FCC}, {0x1FD0, 0x1FD3}, {0x1FD6, 0x1FDB}, {0x1FE0, 0x1FEC},
    {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FFC}, {0x2102, 0x2102}, {0x2107, 0x2107}, {0x210A, 0x2113}, {0x2115, 0x2115},
    {0x2119, 0x211D}, {0x2124, 0x2124}, {0x2126, 0x2126}, {0x2128, 0x2128}, {0x212A, 0x212D}, {0x212F, 0x2134},
    {0x2139, 0x2139}, {0x213C, 0x213F}, {0x2145, 0x2149}, {0x214E, 0x214E}, {0x2183, 0x2184}, {0x2C00, 0x2C7B},
    {0x2C7E, 0x2CE4}, {0x2CEB, 0x2CEE}, {0x2CF2, 0x2CF3}, {0xA640, 0xA66D}, {0xA680, 0xA69B}, {0xA722, 0xA76F},
    {0xA771, 0xA787}, {0xA78B, 0xA78E}, {0xAB70, 0xABBF}, {0xFB00, 0xFB06}, {0xFB13, 0xFB17}, {0xFF21, 0xFF3A},
    {0xFF41, 0xFF5A},
};
/* And those above, less 0x10000. */
static const struct range ds_letters_high[] = {
    {0x0400, 0x044F}, {0x04B0, 0x04D3}, {0x04D8, 0x04FB}, {0x0C80, 0x0CB2}, {0x0CC0, 0x0CF2}, {0x18A0, 0x18DF},
    {0xE900, 0xE943},
};

static bool in_ds_letters(const struct pre_text *t, size_t i)
{
    uint32_t c = t->cp[i];
    if (c < 0x10000)
        return in_ranges(ds_letters, COUNT(ds_letters), c);
    return c < 0x20000 && in_ranges(ds_letters_high, COUNT(ds_letters_high), c - 0x10000);
}

/* !-/ :-~ and full-width and typographic punctuation; `:-~` does hold the ASCII letters. */
static bool in_ds_punct(const struct pre_text *t, size_t i)
{
    uint32_t c = t->cp[i];
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '~') || (c >= 0xFF01 && c <= 0xFF0F) || (c >= 0xFF1A && c <= 0xFF5E) ||
           (c >= 0x2018 && c <= 0x201F) || (c >= 0x3000 && c <= 0x3002);
}

static bool in_letters(const struct pre_text *t, size_t i)
{
    return t->cls[i] & C_L;
}

static bool in_punct(const struct pre_text *t, size_t i)
{
    return t->cls[i] & C_P;
}

/* \s?[set]+ */
static size_t spaced(const struct pre_text *t, size_t i, size_t end, bool (*in)(const struct pre_text *, size_t))
{
    size_t j = i;
    if ((t->cls[i] & C_WS) && i + 1 < end && in(t, i + 1))
        j = i + 2;
    while (j < end && in(t, j))
        j++;
    return j - i;
}

static size_t m_ds_letters(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return spaced(t, i, end, in_ds_letters);
}

static size_t m_ds_punct(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return spaced(t, i, end, in_ds_punct);
}

static size_t m_coder_letters(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return spaced(t, i, end, in_letters);
}

static size_t m_coder_punct(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    (void)skip;
    return spaced(t, i, end, in_punct);
}

/* \s+$ */
static size_t m_final_spaces(const struct pre_text *t, size_t i, size_t end, size_t *skip)
{
    size_t j = run_of(t, i, end, C_WS);
    if (j == end)
        return j - i;
    *skip = j > i ? j - i : 1;
    return 0;
}

/* ---- the table ---- */

#define MAX_STEPS 6

struct pre_type {
    const char *names; /* space-separated; the first is the one we speak of */
    match_fn *steps[MAX_STEPS];
    bool ignore_merges, add_bos, no_bos, nfc;
};

static const struct pre_type types[] = {
    {.names = "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     .steps = {m_llama3}, .ignore_merges = true, .add_bos = true},
    {.names = "dbrx smaug-bpe", .steps = {m_llama3}},
    {.names = "chatglm-bpe", .steps = {m_llama3}, .no_bos = true},
    {.names = "glm4 glm5", .steps = {m_llama3}, .ignore_merges = true, .no_bos = true},
    {.names = "laguna", .steps = {m_lines, m_qwen2}},
    {.names = "qwen2 deepseek-r1-qwen", .steps = {m_qwen2}, .nfc = true},
    {.names = "megrez stablelm2 hunyuan kormo openpangu solar-open f2llmv2 grok-2", .steps = {m_qwen2}},
    {.names = "qwen35", .steps = {m_qwen35}, .nfc = true},
    {.names = "deepseek-v3 joyai-llm hunyuan-dense", .steps = {m_digits3, m_cjk_kana, m_deepseek3}},
    {.names = "deepseek-llm", .steps = {m_newline, m_ds_letters, m_ds_punct, m_final_spaces, m_asian, m_digits}},
    {.names = "deepseek-coder", .steps = {m_newline, m_coder_letters, m_coder_punct, m_asian, m_digit}},
    {.names = "gpt-2 phi-2 olmo jais jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe exaone4 a.x-4.0 "
              "gigachat mellum modern-bert trillion granite-docling",
     .steps = {m_gpt2}},
    {.names = "mpt", .steps = {m_gpt2}, .nfc = true},
    {.names = "smollm starcoder refact codeshell exaone minerva-7b mellum2", .steps = {m_digit, m_gpt2}},
    {.names = "command-r", .steps = {m_digit, m_gpt2}, .nfc = true},
    {.names = "falcon", .steps = {m_falcon, m_gpt2, m_ascii3}},
    {.names = "tekken", .steps = {m_tekken}, .ignore_merges = true, .add_bos = true},
    {.names = "gpt-4o llama4 kanana2", .steps = {m_gpt4o}},
    {.names = "kimi-k2", .steps = {m_kimi}},
    {.names = "default", .steps = {m_default, m_gpt2, m_digits, m_ascii3}},
};

const struct pre_type *pre_find(const char *name, size_t n)
{
    for (size_t i = 0; n && i < COUNT(types); i++)
        for (const char *p = types[i].names; *p;) {
            size_t k = strcspn(p, " ");
            if (k == n && memcmp(p, name, n) == 0)
                return &types[i];
            p += k + (p[k] == ' ');
        }
    return NULL;
}

bool pre_ignore_merges(const struct pre_type *p)
{
    return p->ignore_merges;
}

bool pre_add_bos(const struct pre_type *p)
{
    return p->add_bos;
}

bool pre_no_bos(const struct pre_type *p)
{
    return p->no_bos;
}

bool pre_nfc(const struct pre_type *p)
{
    return p->nfc;
}

/* ---- a text as code points ---- */

static void reserve(struct pre_text *t, size_t n)
{
    if (n < t->cap)
        return;
    size_t cap = n + 64;
    t->cp = mem_grow(t->cp, cap, sizeof *t->cp);
    t->cls = mem_grow(t->cls, cap, 1);
    t->cut = mem_grow(t->cut, cap, 1);
    t->cap = cap;
}

void pre_text_finish(struct pre_text *t)
{
    free(t->cp);
    free(t->cls);
    free(t->cut);
    *t = (struct pre_text){0};
}

bool pre_decode(struct pre_text *t, const char *s, size_t n)
{
    reserve(t, n + 1);
    bool good = true;
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        unsigned char b = (unsigned char)s[i];
        if (b < 0x80) {
            t->cp[k++] = b;
            i++;
            continue;
        }
        size_t len;
        uint32_t c = utf8_decode(s + i, n - i, &len);
        if (c >= UTF8_PART) {
            c = 0xFFFD;
            len = 1;
            good = false;
        }
        t->cp[k++] = c;
        i += len;
    }
    t->n = k;
    return good;
}

/*
 * Sorts the marks of one run (all of a combining class other than 0) by class, stably. Short runs by insertion; long ones, which
 * only hostile text has, by counting, so that the whole stays linear.
 */
static void sort_marks(int32_t *c, size_t n)
{
    if (n < 2)
        return;
    if (n <= 16) {
        for (size_t i = 1; i < n; i++) {
            int32_t x = c[i];
            utf8proc_propval_t cc = utf8proc_get_property(x)->combining_class;
            size_t j = i;
            for (; j > 0 && utf8proc_get_property(c[j - 1])->combining_class > cc; j--)
                c[j] = c[j - 1];
            c[j] = x;
        }
        return;
    }
    size_t at[257] = {0};
    for (size_t i = 0; i < n; i++)
        at[(utf8proc_get_property(c[i])->combining_class & 255) + 1]++;
    for (int k = 0; k < 256; k++)
        at[k + 1] += at[k];
    int32_t *out = mem_array(n, sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[at[utf8proc_get_property(c[i])->combining_class & 255]++] = c[i];
    memcpy(c, out, n * sizeof *c);
    free(out);
}

bool pre_normalize(struct pre_text *t)
{
    size_t first = 0;
    while (first < t->n && t->cp[first] < 0x300) /* nothing below changes or is changed by what stands before it */
        first++;
    if (first == t->n)
        return false;
    if (first > 0)
        first--; /* the base of a mark */
    /* Decompose: at most 4 code points each (canonical decomposition). */
    int32_t *d = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = first; i < t->n; i++) {
        if (cap - n < 8) {
            cap = cap ? cap * 2 : t->n - first + 16;
            d = mem_grow(d, cap, sizeof *d);
        }
        if (t->cp[i] < 0xC0) {
            d[n++] = (int32_t)t->cp[i];
            continue;
        }
        int bound = 0;
        utf8proc_ssize_t r = utf8proc_decompose_char((int32_t)t->cp[i], d + n, 8, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &bound);
        if (r < 1 || r > 8) {
            d[n++] = (int32_t)t->cp[i];
            continue;
        }
        n += (size_t)r;
    }
    for (size_t i = 0; i < n;) {
        size_t j = i;
        while (j < n && d[j] >= 0x300 && utf8proc_get_property(d[j])->combining_class)
            j++;
        sort_marks(d + i, j - i);
        i = j > i ? j : i + 1;
    }
    utf8proc_ssize_t len = utf8proc_normalize_utf32(d, (utf8proc_ssize_t)n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    bool changed = false;
    if (len >= 0) {
        n = (size_t)len;
        changed = n != t->n - first || memcmp(t->cp + first, d, n * sizeof *d) != 0;
    }
    if (changed) {
        reserve(t, first + n + 1);
        memcpy(t->cp + first, d, n * sizeof *d);
        t->n = first + n;
    }
    free(d);
    return changed;
}

void pre_split(const struct pre_type *p, struct pre_text *t)
{
    for (size_t i = 0; i < t->n; i++)
        t->cls[i] = class_of(t->cp[i]);
    memset(t->cut, 0, t->n + 1);
    t->cut[0] = t->cut[t->n] = 1;
    for (int s = 0; s < MAX_STEPS && p->steps[s]; s++) {
        match_fn *match = p->steps[s];
        for (size_t a = 0; a < t->n;) {
            size_t end = a + 1;
            while (!t->cut[end])
                end++;
            for (size_t i = a; i < end;) {
                size_t skip = 1, n = match(t, i, end, &skip);
                if (!n) {
                    i += skip;
                    continue;
                }
                t->cut[i] = 1;
                i += n;
                t->cut[i] = 1;
            }
            a = end;
        }
    }
}

int tok_pre_split(const char *pre, const char *text, size_t n, void (*piece)(void *arg, const char *s, size_t n), void *arg,
                  struct err *err)
{
    const struct pre_type *p = pre_find(pre, strlen(pre));
    if (!p)
        return err_set(err, ERR_FORMAT, "pre-tokenizer \"%s\" is not known", pre);
    struct pre_text t = {0};
    struct buf fixed = BUF_INIT(SIZE_MAX);
    if (!pre_decode(&t, text, n)) {
        for (size_t i = 0; i < t.n; i++) {
            char b[4];
            buf_add(&fixed, b, utf8_encode(t.cp[i], b));
        }
        text = buf_str(&fixed);
    }
    pre_split(p, &t);
    for (size_t i = 0; i < t.n;) {
        size_t len = 0;
        do
            len += pre_width(t.cp[i++]);
        while (!t.cut[i]);
        piece(arg, text, len);
        text += len;
    }
    pre_text_finish(&t);
    buf_finish(&fixed);
    return 0;
}
