# Tests of kernels/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
if TESTS_BUILT
check_PROGRAMS += %D%/t_pool
TESTS += %D%/t_pool
%C%_t_pool_SOURCES = %D%/t_pool.c
%C%_t_pool_CFLAGS = $(TEST_CFLAGS)
%C%_t_pool_LDADD = $(KERN_LIBS) $(CMOCKA_LIBS)
endif
