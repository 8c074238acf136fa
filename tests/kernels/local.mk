# Tests of kernels/. A cmocka program: add it to check_PROGRAMS and TESTS, give it _SOURCES, _CFLAGS = $(TEST_CFLAGS), _LDADD.
if TESTS_BUILT
check_PROGRAMS += %D%/t_pool
TESTS += %D%/t_pool
%C%_t_pool_SOURCES = %D%/t_pool.c
%C%_t_pool_CFLAGS = $(TEST_CFLAGS)
%C%_t_pool_LDADD = $(KERN_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += %D%/t_quant %D%/t_mat
TESTS += %D%/t_quant %D%/t_mat
%C%_t_quant_SOURCES = %D%/t_quant.c
%C%_t_quant_CFLAGS = $(TEST_CFLAGS)
%C%_t_quant_LDADD = $(KERN_LIBS) $(CMOCKA_LIBS)
%C%_t_mat_SOURCES = %D%/t_mat.c
%C%_t_mat_CFLAGS = $(TEST_CFLAGS)
%C%_t_mat_LDADD = $(KERN_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += %D%/t_blas
TESTS += %D%/t_blas
%C%_t_blas_SOURCES = %D%/t_blas.c
%C%_t_blas_CFLAGS = $(TEST_CFLAGS)
%C%_t_blas_LDADD = $(KERN_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += %D%/t_backend
TESTS += %D%/t_backend
%C%_t_backend_SOURCES = %D%/t_backend.c %D%/rig.h tests/isa.h
%C%_t_backend_CFLAGS = $(TEST_CFLAGS)
%C%_t_backend_LDADD = $(KERN_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += %D%/t_vec
TESTS += %D%/t_vec
%C%_t_vec_SOURCES = %D%/t_vec.c tests/isa.h
%C%_t_vec_CFLAGS = $(TEST_CFLAGS)
%C%_t_vec_LDADD = $(KERN_LIBS) $(CMOCKA_LIBS)
endif
TESTS += %D%/isa.sh
EXTRA_DIST += %D%/isa.sh

# By hand: make tests/kernels/bench_mat && tests/kernels/bench_mat
EXTRA_PROGRAMS += %D%/bench_mat
%C%_bench_mat_SOURCES = %D%/bench_mat.c
%C%_bench_mat_CFLAGS = $(AM_CFLAGS) $(OPENBLAS_CFLAGS)
%C%_bench_mat_LDADD = $(KERN_LIBS) $(OPENBLAS_LIBS)
