# Tests of model/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
if TESTS_BUILT
check_PROGRAMS += %D%/t_sampler
TESTS += %D%/t_sampler
%C%_t_sampler_SOURCES = %D%/t_sampler.c
%C%_t_sampler_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
%C%_t_sampler_LDADD = $(MODEL_LIBS) $(CMOCKA_LIBS) $(JANSSON_LIBS)
endif
