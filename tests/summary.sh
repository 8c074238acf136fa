#!/bin/sh
# Adds up the results of all .trs files below the given build folders: "N passed, N failed, N skipped".
find "$@" -name '*.trs' -exec cat {} + | awk '
/^:test-result: PASS/ { p++ } /^:test-result: FAIL/ { f++ } /^:test-result: SKIP/ { s++ }
END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 }'
