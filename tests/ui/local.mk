# Tests of ui/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
