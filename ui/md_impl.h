#ifndef UI_MD_IMPL_H
#define UI_MD_IMPL_H
/* What ui/md.c (the cutter), ui/md_lay.c (a block's inner life) and ui/md_table.c share. */
#include "base/buf.h"
#include "ui/code.h"
#include "ui/md.h"

#define BLOCK_MAX 32768 /* bytes of a paragraph, item or quote that are laid out at once; what is longer goes on as a block of its own */
#define LINE_MAX_TEXT 32768 /* a longer line of prose is shown plain */
#define LINE_MAX_CODE 4096  /* a longer line of code, too */
#define PIECE 4096          /* .. in pieces of so many bytes */
#define TABLE_BYTES 131072
#define TABLE_COLUMNS 64
#define TABLE_CELLS 20000

enum block_kind { BLOCK_NONE, BLOCK_TEXT, BLOCK_ITEM, BLOCK_QUOTE, BLOCK_TABLE, BLOCK_INDENTED, BLOCK_FENCE };

/* Where the cutter stands between two lines. A plain value: it is copied, led on by the unfinished line, and put back. */
struct cut {
    enum block_kind kind; /* the open block */
    size_t from, to;      /* its bytes, without the last newline */
    size_t last;          /* where its last line begins */
    size_t lines;
    int strip;            /* columns of indentation that are not part of it */
    int offset;           /* of the text of the innermost list item */
    bool list;            /* a list goes on: what is indented belongs to it */
    bool blank;           /* a blank line came before what comes next */
    bool gap;             /* .. before the open block */
    bool any;             /* something is shown already */
    bool after_heading, after_code;
    char fence;
    int fence_len, fence_indent;
    const struct code_lang *lang;
    struct code_state state;
    size_t columns, cells; /* of a table */
    bool ragged;           /* a row of it has more cells than the head */
    bool in_long;          /* in the middle of a line that is too long */
};

struct code_block {
    size_t from, to; /* source between the fences */
    int indent;      /* columns of its lines that are not part of it */
    char *text;      /* owned: taken apart already; NULL: see from, to */
    size_t n;
    char *lang;
};

struct md {
    int width;
    struct buf source;
    struct rows rows;
    struct cut cut;
    size_t line;     /* of the source: the first line that is not cut yet */
    size_t scanned;  /* no newline between line and here */
    size_t closed;   /* rows of it that never change */
    size_t settled;  /* closed at the last call of md_settled */
    struct code_block *codes;
    int n_codes, cap_codes, closed_codes;
    char **links;
    size_t *link_n;
    size_t n_links, cap_links, closed_links;
    struct code_spans spans; /* scratch */
    bool ended;
    bool fresh;  /* the rows show all of the source */
    bool trying; /* the line that is cut is not whole */
};

enum lay_how { LAY_CLOSED, LAY_OPEN, LAY_TABLE };

/* ui/md_feed.c */
struct feed {
    struct buf b;
    size_t *map; /* source byte of each byte, and of the end */
    size_t cap;
};
/* Fills it in; source bytes from..to-1. */
void feed_build(struct feed *f, const char *source, size_t from, size_t to, int strip, enum lay_how how);
void feed_finish(struct feed *f);

/* ui/md_lay.c */
/* Rows of source bytes from..to-1, their lines without `strip` columns and drawn behind as many. */
void lay_markdown(struct md *m, size_t from, size_t to, int strip, enum lay_how how);
/* The source as it is; code: cut anywhere, in the look of code. */
void lay_plain(struct md *m, size_t from, size_t to, bool code);
struct code_block *lay_add_code(struct md *m, const char *lang, size_t n);
void lay_code_head(struct md *m, size_t from, size_t to);
void lay_code_end(struct md *m, size_t from, size_t to);
void lay_code_line(struct md *m, const struct code_lang *lang, struct code_state *st, int code, const char *s, size_t n, size_t from, const size_t *source);
void lay_rule(struct md *m, const char *head, size_t n, int code, size_t from, size_t to);

/* ui/md_table.c */
struct cell_text {
    char *text; /* owned */
    size_t n;
    size_t from, to; /* source */
    struct row_span *spans; /* owned */
    int n_spans;
};
enum cell_align { CELL_LEFT, CELL_CENTER, CELL_RIGHT };
struct table {
    struct cell_text *cells; /* (n_rows, n_columns), the head first */
    size_t n_cells, cap;
    size_t n_columns;
    uint8_t align[TABLE_COLUMNS];
};
void table_draw(struct rows *r, const struct table *t, int width, int base);
void table_finish(struct table *t);

#endif
