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
MD_TESTS = %D%/t_rows %D%/t_md %D%/t_code
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
%C%_t_md_SOURCES = %D%/t_md.c
%C%_t_md_CFLAGS = $(TEST_CFLAGS)
%C%_t_md_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
%C%_t_code_SOURCES = %D%/t_code.c
%C%_t_code_CFLAGS = $(TEST_CFLAGS)
%C%_t_code_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
# The views beside the chat.
VIEWS_TESTS = %D%/t_views
check_PROGRAMS += $(VIEWS_TESTS)
TESTS += $(VIEWS_TESTS)
%C%_t_views_SOURCES = %D%/t_views.c
%C%_t_views_CFLAGS = $(TEST_CFLAGS)
%C%_t_views_LDADD = $(UI_LIBS) $(CMOCKA_LIBS)
endif
VIEW_SCREENS = tests/screens/view_compare_120x40.txt \
  tests/screens/view_compare_80x24.txt \
  tests/screens/view_help_120x40.txt \
  tests/screens/view_help_80x24.txt \
  tests/screens/view_help_filter_120x40.txt \
  tests/screens/view_help_filter_80x24.txt \
  tests/screens/view_models_120x40.txt \
  tests/screens/view_models_80x24.txt \
  tests/screens/view_models_filter_120x40.txt \
  tests/screens/view_models_filter_80x24.txt \
  tests/screens/view_search_120x40.txt \
  tests/screens/view_search_80x24.txt \
  tests/screens/view_search_empty_120x40.txt \
  tests/screens/view_search_empty_80x24.txt \
  tests/screens/view_search_nothing_120x40.txt \
  tests/screens/view_search_nothing_80x24.txt \
  tests/screens/view_sessions_120x40.txt \
  tests/screens/view_sessions_80x24.txt \
  tests/screens/view_sessions_deleted_120x40.txt \
  tests/screens/view_sessions_deleted_80x24.txt \
  tests/screens/view_sessions_filter_120x40.txt \
  tests/screens/view_sessions_filter_80x24.txt \
  tests/screens/view_sessions_rename_120x40.txt \
  tests/screens/view_sessions_rename_80x24.txt \
  tests/screens/view_settings_120x40.txt \
  tests/screens/view_settings_80x24.txt \
  tests/screens/view_settings_value_120x40.txt \
  tests/screens/view_settings_value_80x24.txt \
  tests/screens/view_tree_120x40.txt \
  tests/screens/view_tree_80x24.txt
EXTRA_DIST += $(VIEW_SCREENS)
EXTRA_DIST += %D%/md
