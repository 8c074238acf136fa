# Tests of model/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
if TESTS_BUILT
MODEL_TESTS = %D%/t_gguf %D%/t_tok %D%/t_spm %D%/t_template %D%/t_sampler
check_PROGRAMS += $(MODEL_TESTS)
TESTS += $(MODEL_TESTS)
%C%_t_gguf_SOURCES = %D%/t_gguf.c
%C%_t_gguf_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
%C%_t_gguf_LDADD = $(MODEL_LIBS) $(CMOCKA_LIBS) $(JANSSON_LIBS)
%C%_t_tok_SOURCES = %D%/t_tok.c %D%/mkgguf.h
%C%_t_tok_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
%C%_t_tok_LDADD = $(MODEL_LIBS) $(CMOCKA_LIBS) $(JANSSON_LIBS)
%C%_t_spm_SOURCES = %D%/t_spm.c %D%/mkgguf.h
%C%_t_spm_CFLAGS = $(TEST_CFLAGS)
%C%_t_spm_LDADD = $(MODEL_LIBS) $(CMOCKA_LIBS)
%C%_t_template_SOURCES = %D%/t_template.c
%C%_t_template_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
%C%_t_template_LDADD = $(MODEL_LIBS) $(CMOCKA_LIBS) $(JANSSON_LIBS)
%C%_t_sampler_SOURCES = %D%/t_sampler.c
%C%_t_sampler_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
%C%_t_sampler_LDADD = $(MODEL_LIBS) $(CMOCKA_LIBS) $(JANSSON_LIBS)
check_PROGRAMS += %D%/t_model
TESTS += %D%/t_model
%C%_t_model_SOURCES = %D%/t_model.c tests/isa.h
%C%_t_model_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
%C%_t_model_LDADD = $(MODEL_LIBS) $(CMOCKA_LIBS) $(JANSSON_LIBS)
endif
