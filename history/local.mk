noinst_LIBRARIES += %D%/libhist.a
%C%_libhist_a_SOURCES = %D%/hist.h
%C%_libhist_a_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
