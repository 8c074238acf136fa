# Every test program prints one line a case in cmocka's form; tests/driver.sh counts them. Each room's tests are listed in its own file.
LOG_DRIVER = $(SHELL) $(top_srcdir)/tests/driver.sh
TEST_EXTENSIONS = .sh .py
SH_LOG_DRIVER = $(LOG_DRIVER)
SH_LOG_COMPILER = $(SHELL)
PY_LOG_DRIVER = $(LOG_DRIVER)
PY_LOG_COMPILER = $(SHELL) $(top_srcdir)/tests/python.sh
AM_TESTS_ENVIRONMENT = HADAL=$(abs_top_builddir)/hadal SRCDIR=$(abs_top_srcdir) BUILDDIR=$(abs_top_builddir) \
	HADAL_SHARED='$(SHARED_DATA)' TMUX_BIN='$(TMUX)' PYTHON3='$(PYTHON3)'; \
	export HADAL SRCDIR BUILDDIR HADAL_SHARED TMUX_BIN PYTHON3;
EXTRA_DIST += %D%/driver.sh %D%/summary.sh %D%/python.sh
TEST_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)

include tests/base/local.mk
include tests/kernels/local.mk
include tests/model/local.mk
include tests/history/local.mk
include tests/ui/local.mk
include tests/app/local.mk
include tests/fuzz/local.mk

check-local: check-TESTS
	@$(SHELL) $(top_srcdir)/tests/summary.sh .
