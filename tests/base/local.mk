# Tests of base/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
if TESTS_BUILT
check_PROGRAMS += %D%/t_buf
TESTS += %D%/t_buf
%C%_t_buf_SOURCES = %D%/t_buf.c
%C%_t_buf_CFLAGS = $(TEST_CFLAGS)
%C%_t_buf_LDADD = $(BASE_LIBS) $(CMOCKA_LIBS)
endif
