/*
 * Fuzz target: any text as Markdown. Input: one byte is the width, one the size of the pieces; the rest is text. However it is cut, the last
 * rows are those of a fresh layout, settled rows never change, rows hold no control character and are valid UTF-8.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "ui/md.h"

static void check(const struct rows *r, size_t source)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct row *row = &r->at[i];
        ASSERT(utf8_valid(row->text, row->n));
        for (size_t k = 0; k < row->n; k++)
            ASSERT((unsigned char)row->text[k] >= 0x20 && row->text[k] != 0x7F);
        ASSERT(row->from <= row->to && row->to <= source && (!i || row->from >= row[-1].from));
        uint32_t at = 0;
        for (int k = 0; k < row->n_spans; k++) {
            ASSERT(row->spans[k].from >= at && row->spans[k].to > row->spans[k].from && row->spans[k].to <= row->n);
            at = row->spans[k].to;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    const char *s = (const char *)data + 2;
    int width = 1 + data[0] % 100;
    size_t piece = 1 + data[1];
    n -= 2;
    struct md *whole = md_create(width), *m = md_create(width);
    md_feed(whole, s, n);
    md_end(whole);
    const struct rows *want = md_rows(whole);
    check(want, n);
    for (size_t i = 0; i < n; i += piece) {
        size_t k = n - i < piece ? n - i : piece;
        md_feed(m, s + i, k);
        size_t settled = md_settled(m);
        const struct rows *r = md_rows(m);
        check(r, i + k);
        ASSERT(settled <= want->n && settled <= r->n);
        for (size_t y = settled < 8 ? 0 : settled - 8; y < settled; y++)
            ASSERT(row_equal(&r->at[y], &want->at[y]));
    }
    md_end(m);
    const struct rows *r = md_rows(m);
    ASSERT(r->n == want->n);
    for (size_t y = 0; y < r->n; y++)
        ASSERT(row_equal(&r->at[y], &want->at[y]));
    for (int i = 1; i <= md_n_code(m); i++) {
        size_t len;
        free(md_code(m, i, &len, NULL));
    }
    struct buf out = BUF_INIT(SIZE_MAX / 2);
    rows_text(r, 0, r->n, s, &out);
    buf_finish(&out);
    md_destroy(m);
    md_destroy(whole);
    return 0;
}
