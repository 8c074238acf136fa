#!/bin/sh
# Speed of hadal: against llama.cpp where it can be run (ratio.py of the shared tools and a python with llama-cpp-python), else alone.
# Usage: bench.sh HADAL MODEL SHARED PEER
hadal=$1 model=$2 shared=$3 peer=$4
[ -f "$model" ] || { echo "bench: no model at $model: run ./quickstart once, or set BENCH_MODEL"; exit 1; }
echo "machine  $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) processors"
echo "model    $(basename "$model")"
if [ -f "$shared/tools/ratio.py" ] && "$peer" -c 'import llama_cpp' 2>/dev/null; then
    "$peer" "$shared/tools/ratio.py" --hadal "$hadal" --peer-python "$peer" "$model" -p 512 -n 128 -d 0 -t 2 -r 5
else
    echo "llama.cpp is not here (PEER with llama-cpp-python): hadal alone"
    "$hadal" bench -m "$model" -p 512 -n 128 -t 2 -r 5
fi
# Start to first token of a short prompt, the file in the page cache.
cat "$model" >/dev/null
for i in 1 2 3 4 5; do
    "$hadal" -n -m "$model" --max-tokens 1 -t 2 --temp 0 --json "Why is the sky blue?" 2>/dev/null |
        sed -n 's/.*"ttft_ms": *\([0-9.]*\).*/\1/p'
done | sort -n | sed -n '3s/.*/start to first token: & ms (median of 5, from submit; load included)/p'
