noinst_LIBRARIES += %D%/libhist.a
%C%_libhist_a_SOURCES = %D%/hist.h %D%/impl.h %D%/db.c %D%/schema.c %D%/sql.c %D%/session.c %D%/node.c %D%/search.c %D%/find.c %D%/library.c %D%/import_llm.c %D%/owner.c %D%/ulid.c
%C%_libhist_a_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
