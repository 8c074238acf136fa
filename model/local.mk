noinst_LIBRARIES += %D%/libmodel.a
%C%_libmodel_a_SOURCES = %D%/gguf.h %D%/model.h %D%/sampler.h %D%/sampler_conf.h %D%/template.h %D%/tok.h %D%/limits.h %D%/impl.h
%C%_libmodel_a_SOURCES += %D%/gguf.c
%C%_libmodel_a_SOURCES += %D%/tok.c %D%/tok_bpe.c %D%/tok_merge.c %D%/tok_pre.c %D%/tok_vocab.c %D%/tok_priv.h
%C%_libmodel_a_SOURCES += %D%/template.c %D%/value.h %D%/value_priv.h %D%/value.c %D%/jinja.h %D%/jinja_lex.c %D%/jinja_parse.c \
	%D%/jinja_run.c %D%/jinja_op.c %D%/jinja_str.c %D%/jinja_text.c %D%/jinja_json.c %D%/jinja_fmt.c %D%/jinja_func.c %D%/jinja_filter.c
%C%_libmodel_a_SOURCES += %D%/arch.c
%C%_libmodel_a_SOURCES += %D%/hparams.c
%C%_libmodel_a_SOURCES += %D%/net.c
%C%_libmodel_a_SOURCES += %D%/ram.c %D%/fit.c
%C%_libmodel_a_SOURCES += %D%/model.c
%C%_libmodel_a_SOURCES += %D%/session.c
%C%_libmodel_a_SOURCES += %D%/score.h %D%/score.c
%C%_libmodel_a_SOURCES += %D%/sampler.c %D%/sampler_conf.c %D%/grammar.h %D%/grammar_impl.h %D%/grammar.c %D%/matcher.c
%C%_libmodel_a_CFLAGS = $(AM_CFLAGS) $(UTF8PROC_CFLAGS) $(XXHASH_CFLAGS)
