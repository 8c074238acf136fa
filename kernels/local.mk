KERN_ARCHIVES = %D%/libkern.a
noinst_LIBRARIES += %D%/libkern.a
%C%_libkern_a_SOURCES = %D%/quant.h %D%/pool.h %D%/mat.h %D%/backend.h
%C%_libkern_a_CFLAGS = $(AM_CFLAGS) $(OPENBLAS_CFLAGS)
%C%_libkern_a_SOURCES += %D%/pool.c %D%/probe.h %D%/probe.c
%C%_libkern_a_SOURCES += %D%/quant_ref.c
%C%_libkern_a_SOURCES += %D%/blas.c %D%/blas.h
%C%_libkern_a_SOURCES += %D%/mat.c %D%/mat_impl.h %D%/mat_pack.c %D%/mat_scalar.c
%C%_libkern_a_SOURCES += %D%/cpu.h %D%/backend_cpu.c %D%/cpu_attn.c %D%/cpu_csa.c %D%/cpu_ffn.c %D%/cpu_index.c %D%/cpu_job.c %D%/cpu_kv.c %D%/cpu_pace.c %D%/cpu_mla.c %D%/cpu_moe.c %D%/cpu_streams.c %D%/cpu_weight.c
%C%_libkern_a_SOURCES += %D%/vec.h %D%/vec_impl.h %D%/vec_scalar.c

# One small archive an instruction set: nothing outside may be compiled with its flags. They and libkern.a need each other, so it is named twice.
if X86
noinst_LIBRARIES += %D%/libkern_avx2.a %D%/libkern_avx512.a
KERN_ARCHIVES += %D%/libkern_avx2.a %D%/libkern_avx512.a %D%/libkern.a
%C%_libkern_avx2_a_SOURCES = %D%/mat_avx2.c %D%/vec_avx2.c
%C%_libkern_avx2_a_CFLAGS = $(AM_CFLAGS) -mavx2 -mfma -mf16c
%C%_libkern_avx512_a_SOURCES = %D%/mat_avx512.c %D%/vec_avx512.c
%C%_libkern_avx512_a_CFLAGS = $(AM_CFLAGS) -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni
endif
