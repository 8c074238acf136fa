#!/bin/sh
# One binary runs on every x86-64: what is compiled for AVX may be reached through its tables only, and the rest holds no such instruction.
cd "$BUILDDIR" || exit 1
[ -f kernels/libkern_avx2.a ] && command -v objdump >/dev/null && command -v nm >/dev/null || exit 77
# -march=native is for benchmarks; sanitizers add symbols of their own.
grep -qE '^(HARDEN_CFLAGS|CFLAGS) *=.*-march=|^SAN_CFLAGS *= *-f' Makefile && exit 77
failed=0
report() { # name, what was found
    if [ -z "$2" ]; then
        echo "[       OK ] $1"
    else
        echo "$2" | head -5
        echo "[  FAILED  ] $1"
        failed=1
    fi
}
for isa in avx2 avx512; do
    report "libkern_$isa.a exports its tables alone" \
        "$(nm -g --defined-only kernels/libkern_$isa.a | awk 'NF == 3 && $3 !~ /^(mat|vec)_'$isa'$/')"
done
for lib in base/libbase.a kernels/libkern.a model/libmodel.a; do
    report "$lib has no AVX" "$(objdump -d --no-show-raw-insn $lib | grep -E '%[yz]mm')"
done
exit $failed
