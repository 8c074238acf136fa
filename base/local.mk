noinst_LIBRARIES += %D%/libbase.a
%C%_libbase_a_CFLAGS = $(AM_CFLAGS) $(UTF8PROC_CFLAGS)
%C%_libbase_a_SOURCES = \
	%D%/buf.c %D%/buf.h \
	%D%/clock.c %D%/clock.h \
	%D%/err.c %D%/err.h \
	%D%/log.c %D%/log.h \
	%D%/mem.c %D%/mem.h \
	%D%/num.c %D%/num.h \
	%D%/path.c %D%/path.h \
	%D%/sane.c %D%/sane.h \
	%D%/utf8.c %D%/utf8.h
