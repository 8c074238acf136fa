KERN_ARCHIVES = %D%/libkern.a
noinst_LIBRARIES += %D%/libkern.a
%C%_libkern_a_SOURCES = %D%/quant.h %D%/pool.h %D%/mat.h %D%/backend.h
%C%_libkern_a_CFLAGS = $(AM_CFLAGS) $(OPENBLAS_CFLAGS)
%C%_libkern_a_SOURCES += %D%/pool.c
%C%_libkern_a_SOURCES += %D%/quant_ref.c
%C%_libkern_a_SOURCES += %D%/mat.c %D%/mat_impl.h %D%/mat_pack.c %D%/mat_scalar.c
