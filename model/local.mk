noinst_LIBRARIES += %D%/libmodel.a
%C%_libmodel_a_SOURCES = %D%/gguf.h %D%/model.h %D%/sampler.h %D%/template.h %D%/tok.h %D%/limits.h
%C%_libmodel_a_SOURCES += %D%/gguf.c
%C%_libmodel_a_SOURCES += %D%/tok.c %D%/tok_bpe.c %D%/tok_pre.c %D%/tok_priv.h %D%/template.c
%C%_libmodel_a_CFLAGS = $(AM_CFLAGS) $(UTF8PROC_CFLAGS) $(XXHASH_CFLAGS)
