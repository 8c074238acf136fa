noinst_LIBRARIES += %D%/libui.a
%C%_libui_a_SOURCES = %D%/line.h %D%/surface.h %D%/rows.h %D%/md.h
%C%_libui_a_SOURCES += %D%/prompt.c %D%/out.c %D%/term.c %D%/term.h %D%/theme.c %D%/theme.h %D%/wrap.c %D%/wrap.h
%C%_libui_a_SOURCES += %D%/surface.c %D%/editor.c %D%/editor.h %D%/input.c %D%/input.h %D%/view.c %D%/view.h
%C%_libui_a_SOURCES += %D%/rows.c
%C%_libui_a_CFLAGS = $(AM_CFLAGS) $(READLINE_CFLAGS) $(NCURSES_CFLAGS)
