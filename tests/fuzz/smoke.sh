#!/bin/sh
# make fuzz-smoke: builds each target with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer, and lets it run for a while.
# usage: smoke.sh SRCDIR BUILDDIR SECONDS CFLAGS LIBS TARGET... ; a target is "name: sources"
src=$1 build=$2 seconds=$3 cflags=$4 libs=$5
shift 5
clang=${CLANG:-clang}
out=$build/fuzz
mkdir -p "$out" || exit 1
printf '#include <stddef.h>\n#include <stdint.h>\nint LLVMFuzzerTestOneInput(const uint8_t *d, size_t n);\nint LLVMFuzzerTestOneInput(const uint8_t *d, size_t n) { return d && n > 9; }\n' >"$out/probe.c"
if ! "$clang" -fsanitize=fuzzer,address,undefined -o "$out/probe" "$out/probe.c" >"$out/probe.log" 2>&1; then
    echo "fuzz-smoke: skipped: $clang with libFuzzer is missing (Debian: clang, libclang-rt-dev)"
    exit 0
fi
bad=0
for t in "$@"; do
    name=${t%%:*}
    files=
    for f in ${t#*:}; do
        case $f in *.c) files="$files $src/$f" ;; esac
    done
    # shellcheck disable=SC2086
    if ! "$clang" -std=gnu11 -g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
        -I"$build" -I"$src" $cflags -o "$out/$name" $files $libs >"$out/$name.build" 2>&1; then
        cat "$out/$name.build"
        echo "[  FAILED  ] $name: does not build"
        bad=1
        continue
    fi
    mkdir -p "$out/found_$name"
    if (cd "$out" && "./$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$name-" "found_$name" "$src/tests/fuzz/corpus/${name#fuzz_}") >"$out/$name.log" 2>&1; then
        echo "[       OK ] $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$name.log") inputs in $seconds s"
    else
        tail -n 40 "$out/$name.log"
        echo "[  FAILED  ] $name: see $out/$name.log"
        bad=1
    fi
done
exit $bad
