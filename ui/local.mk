noinst_LIBRARIES += %D%/libui.a
%C%_libui_a_SOURCES = %D%/line.h %D%/surface.h %D%/rows.h %D%/md.h %D%/prompt.c %D%/term.c
%C%_libui_a_CFLAGS = $(AM_CFLAGS) $(READLINE_CFLAGS)
