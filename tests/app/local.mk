# Tests of app/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
if TESTS_BUILT
APP_TESTS = %D%/t_sig
%C%_t_sig_SOURCES = %D%/t_sig.c
%C%_t_sig_CFLAGS = $(TEST_CFLAGS)
%C%_t_sig_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_frame
%C%_t_frame_SOURCES = %D%/t_frame.c
%C%_t_frame_CFLAGS = $(TEST_CFLAGS)
%C%_t_frame_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_sandbox
%C%_t_sandbox_SOURCES = %D%/t_sandbox.c
%C%_t_sandbox_CFLAGS = $(TEST_CFLAGS)
%C%_t_sandbox_LDADD = app/libapp.a $(SECCOMP_LIBS) $(BASE_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_chat
%C%_t_chat_SOURCES = %D%/t_chat.c %D%/tchat.h
%C%_t_chat_CFLAGS = $(TEST_CFLAGS) $(SQLITE_CFLAGS)
%C%_t_chat_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_reason
%C%_t_reason_SOURCES = %D%/t_reason.c
%C%_t_reason_CFLAGS = $(TEST_CFLAGS)
%C%_t_reason_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_report
%C%_t_report_SOURCES = %D%/t_report.c
%C%_t_report_CFLAGS = $(TEST_CFLAGS)
%C%_t_report_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_answer
%C%_t_answer_SOURCES = %D%/t_answer.c %D%/tchat.h
%C%_t_answer_CFLAGS = $(TEST_CFLAGS)
%C%_t_answer_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_engine
%C%_t_engine_SOURCES = %D%/t_engine.c
%C%_t_engine_CFLAGS = $(TEST_CFLAGS)
%C%_t_engine_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_conf
%C%_t_conf_SOURCES = %D%/t_conf.c
%C%_t_conf_CFLAGS = $(TEST_CFLAGS)
%C%_t_conf_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_schema
%C%_t_schema_SOURCES = %D%/t_schema.c
%C%_t_schema_CFLAGS = $(TEST_CFLAGS) $(JANSSON_CFLAGS)
%C%_t_schema_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_export
%C%_t_export_SOURCES = %D%/t_export.c
%C%_t_export_CFLAGS = $(TEST_CFLAGS)
%C%_t_export_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

APP_TESTS += %D%/t_man
%C%_t_man_SOURCES = %D%/t_man.c
%C%_t_man_CFLAGS = $(TEST_CFLAGS)
%C%_t_man_LDADD = $(APP_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += $(APP_TESTS)
TESTS += $(APP_TESTS)
endif

# Whole-process tests; p.py is what they share.
CLI_TESTS = %D%/tokens.py %D%/schema.py %D%/tools.py %D%/once.py %D%/sessions.py %D%/imports.py %D%/man.sh
TESTS += $(CLI_TESTS)
EXTRA_DIST += %D%/p.py $(CLI_TESTS)

# The line face on a pseudo-terminal; person.py plays the person.
LINE_TESTS = %D%/line_chat.py %D%/line_crash.py %D%/line_screen.py
TESTS += $(LINE_TESTS)
EXTRA_DIST += %D%/person.py $(LINE_TESTS)

# The full screen: screens as text, a pseudo-terminal, tmux.
FULL_TESTS = %D%/full_screens.py %D%/full_views.py %D%/full_term.py %D%/full_tmux.py
TESTS += $(FULL_TESTS)
EXTRA_DIST += $(FULL_TESTS) tests/screens
