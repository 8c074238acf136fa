#ifndef MODEL_LIMITS_H
#define MODEL_LIMITS_H
/*
 * What a model file may ask for (design: reliability 6, spec: gguf 3.13). Each has a test at the limit and behind it.
 */
#define LIMIT_KEY 256               /* bytes of a metadata key */
#define LIMIT_STRING (16 << 20)     /* bytes of a string value */
#define LIMIT_TOKEN (64 << 10)      /* bytes of a string in an array (token texts, merges) */
#define LIMIT_ARRAY (64 << 20)      /* elements of an array */
#define LIMIT_KEYS 65536
#define LIMIT_TENSORS 262144
#define LIMIT_PARTS 1000            /* files of a split model */
#define LIMIT_TENSOR_NAME 63        /* bytes */
#define LIMIT_ALIGN 65536
#define LIMIT_METADATA (1u << 30)   /* bytes before the data section */
#define LIMIT_LAYERS 1024
#define LIMIT_HEADS 65536
#define LIMIT_EXPERTS 65536
#define LIMIT_EMBD (1 << 20)
#define LIMIT_FF (1 << 24)
#define LIMIT_HEAD_DIM 65536
#define LIMIT_VOCAB (4 << 20)
#define LIMIT_CONTEXT 0x7fffffff

/* Chat templates (spec: chat 8): to read one, and for each rendering. */
#define LIMIT_TMPL_SOURCE (1 << 20)
#define LIMIT_TMPL_DEPTH 64         /* expressions in expressions */
#define LIMIT_TMPL_BLOCKS 128       /* statements in statements */
#define LIMIT_TMPL_CALLS 200        /* macros that call macros */
#define LIMIT_TMPL_NEST 100         /* lists in lists */
#define LIMIT_TMPL_LOOPS 1000000    /* passes through loops, and calls of macros */
#define LIMIT_TMPL_WORK 50000000    /* steps, and bytes and items handled, weighted */
#define LIMIT_TMPL_SPANS (1 << 20)  /* pieces of foreign text in a prompt */
#define LIMIT_TMPL_RANGE 100000     /* items of a range() */
#define LIMIT_TMPL_OUTPUT (16 << 20)  /* bytes of a text, beyond what it was given */
#define LIMIT_TMPL_MEMORY (64 << 20)  /* bytes of values made, beyond four times what it was given */

#endif
