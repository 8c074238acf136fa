# Tests of history/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
if TESTS_BUILT
HIST_TESTS = %D%/t_hist %D%/t_search %D%/t_fault %D%/t_crash %D%/t_tree
check_PROGRAMS += $(HIST_TESTS)
TESTS += $(HIST_TESTS)
%C%_t_hist_SOURCES = %D%/t_hist.c %D%/th.h
%C%_t_hist_CFLAGS = $(TEST_CFLAGS)
%C%_t_hist_LDADD = $(HIST_LIBS) $(CMOCKA_LIBS)
%C%_t_search_SOURCES = %D%/t_search.c %D%/th.h
%C%_t_search_CFLAGS = $(TEST_CFLAGS)
%C%_t_search_LDADD = $(HIST_LIBS) $(CMOCKA_LIBS)
%C%_t_fault_SOURCES = %D%/t_fault.c %D%/th.h
%C%_t_fault_CFLAGS = $(TEST_CFLAGS)
%C%_t_fault_LDADD = $(HIST_LIBS) $(CMOCKA_LIBS)
%C%_t_crash_SOURCES = %D%/t_crash.c %D%/th.h
%C%_t_crash_CFLAGS = $(TEST_CFLAGS)
%C%_t_crash_LDADD = $(HIST_LIBS) $(CMOCKA_LIBS)
%C%_t_tree_SOURCES = %D%/t_tree.c %D%/th.h
%C%_t_tree_CFLAGS = $(TEST_CFLAGS)
%C%_t_tree_LDADD = $(HIST_LIBS) $(CMOCKA_LIBS)
endif
