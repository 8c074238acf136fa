# Tests of base/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
if TESTS_BUILT
BASE_TESTS = %D%/t_buf %D%/t_text %D%/t_path
check_PROGRAMS += $(BASE_TESTS)
TESTS += $(BASE_TESTS)
%C%_t_buf_SOURCES = %D%/t_buf.c tests/t.h
%C%_t_buf_CFLAGS = $(TEST_CFLAGS)
%C%_t_buf_LDADD = $(BASE_LIBS) $(CMOCKA_LIBS)
%C%_t_text_SOURCES = %D%/t_text.c
%C%_t_text_CFLAGS = $(TEST_CFLAGS)
%C%_t_text_LDADD = $(BASE_LIBS) $(CMOCKA_LIBS)
%C%_t_path_SOURCES = %D%/t_path.c
%C%_t_path_CFLAGS = $(TEST_CFLAGS)
%C%_t_path_LDADD = $(BASE_LIBS) $(CMOCKA_LIBS)
endif
