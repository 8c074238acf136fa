# Tests of ui/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
if TESTS_BUILT
UI_TESTS = %D%/t_out %D%/t_prompt %D%/t_wrap %D%/t_surface %D%/t_input %D%/t_editor %D%/t_theme
check_PROGRAMS += $(UI_TESTS)
TESTS += $(UI_TESTS)
%C%_t_out_SOURCES = %D%/t_out.c
%C%_t_out_CFLAGS = $(TEST_CFLAGS)
%C%_t_out_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
%C%_t_prompt_SOURCES = %D%/t_prompt.c
%C%_t_prompt_CFLAGS = $(TEST_CFLAGS)
%C%_t_prompt_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
%C%_t_wrap_SOURCES = %D%/t_wrap.c
%C%_t_wrap_CFLAGS = $(TEST_CFLAGS)
%C%_t_wrap_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
%C%_t_surface_SOURCES = %D%/t_surface.c
%C%_t_surface_CFLAGS = $(TEST_CFLAGS)
%C%_t_surface_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
%C%_t_input_SOURCES = %D%/t_input.c
%C%_t_input_CFLAGS = $(TEST_CFLAGS)
%C%_t_input_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
# Text laid out.
MD_TESTS = %D%/t_rows
check_PROGRAMS += $(MD_TESTS)
TESTS += $(MD_TESTS)
%C%_t_rows_SOURCES = %D%/t_rows.c
%C%_t_rows_CFLAGS = $(TEST_CFLAGS)
%C%_t_rows_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
%C%_t_editor_SOURCES = %D%/t_editor.c
%C%_t_editor_CFLAGS = $(TEST_CFLAGS)
%C%_t_editor_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
%C%_t_theme_SOURCES = %D%/t_theme.c
%C%_t_theme_CFLAGS = $(TEST_CFLAGS)
%C%_t_theme_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
endif
