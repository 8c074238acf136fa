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

#endif
