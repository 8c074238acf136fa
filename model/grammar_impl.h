#ifndef MODEL_GRAMMAR_IMPL_H
#define MODEL_GRAMMAR_IMPL_H
/* A compiled grammar: a graph over bytes. Made by grammar.c, walked by matcher.c. */
#include "model/grammar.h"

enum gnode_type {
    GN_STEP,  /* on to next */
    GN_SPLIT, /* on to next and to alt */
    GN_BYTES, /* a byte of set `alt`, then next */
    GN_CALL,  /* rule `alt`, then next */
    GN_RET,   /* the rule ends */
};

struct gnode {
    enum gnode_type type;
    int32_t next, alt;
};

struct gset {
    uint64_t bits[4];
};

struct grule {
    char *name;
    int32_t entry;    /* -1: not defined yet */
    size_t first_use; /* offset in the text, for the message */
};

#define GRAMMAR_NEVER UINT32_MAX

struct grammar {
    struct gnode *node;
    int32_t n_node, cap_node;
    struct gset *set;
    int32_t n_set;
    struct grule *rule;
    int32_t n_rule;
    int32_t root;
    uint32_t *least; /* per node: fewest bytes to the end of its rule, or GRAMMAR_NEVER */
};

static inline bool gset_has(const struct gset *s, unsigned char c)
{
    return s->bits[c >> 6] >> (c & 63) & 1;
}

#endif
