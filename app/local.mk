noinst_LIBRARIES += %D%/libapp.a
%C%_libapp_a_SOURCES = %D%/app.h %D%/conf.h %D%/chat.h %D%/engine.h
%C%_libapp_a_SOURCES += %D%/report.c %D%/sig.c
%C%_libapp_a_SOURCES += %D%/sandbox.h %D%/sandbox.c %D%/engine_main.c %D%/reason.h %D%/reason.c
%C%_libapp_a_SOURCES += %D%/frame.h %D%/frame.c %D%/job.c %D%/engine_impl.h %D%/engine.c %D%/engine_proc.c %D%/engine_script.c
%C%_libapp_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(XXHASH_CFLAGS) $(SECCOMP_CFLAGS)

# settings, command line, one shot
%C%_libapp_a_SOURCES += %D%/conf.c %D%/opts.c %D%/opts.h %D%/session.c %D%/when.c

bin_PROGRAMS += hadal
hadal_SOURCES = %D%/main.c
hadal_CFLAGS = $(AM_CFLAGS)
hadal_LDADD = $(APP_LIBS)
