# Tests of history/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
if TESTS_BUILT
HIST_TESTS = %D%/t_hist
check_PROGRAMS += $(HIST_TESTS)
TESTS += $(HIST_TESTS)
%C%_t_hist_SOURCES = %D%/t_hist.c %D%/th.h
%C%_t_hist_CFLAGS = $(TEST_CFLAGS)
%C%_t_hist_LDADD = $(HIST_LIBS) $(CMOCKA_LIBS)
endif
