noinst_LIBRARIES += %D%/libui.a
%C%_libui_a_SOURCES = %D%/line.h %D%/surface.h %D%/rows.h %D%/md.h
%C%_libui_a_SOURCES += %D%/prompt.c %D%/out.c %D%/term.c %D%/term.h %D%/theme.c %D%/theme.h %D%/wrap.c %D%/wrap.h
%C%_libui_a_SOURCES += %D%/surface.c %D%/editor.c %D%/editor.h %D%/input.c %D%/input.h %D%/view.c %D%/view.h %D%/views.h %D%/view_text.c %D%/view_chat.c %D%/view_chat.h %D%/transcript.c %D%/transcript.h
%C%_libui_a_SOURCES += %D%/rows.c %D%/md.c %D%/md_feed.c %D%/md_lay.c %D%/md_table.c %D%/md_impl.h %D%/code.c %D%/code.h
%C%_libui_a_CFLAGS = $(AM_CFLAGS) $(READLINE_CFLAGS) $(NCURSES_CFLAGS) $(MD4C_CFLAGS)
%C%_libui_a_SOURCES += %D%/pane.c %D%/pane.h %D%/view_sessions.c %D%/view_search.c %D%/view_tree.c %D%/view_models.c %D%/view_settings.c %D%/view_help.c
