#!/bin/sh
# Automake test driver: runs one test program and turns each of its case lines ("[       OK ] name", "[  FAILED  ] name",
# "[  SKIPPED ] name", as cmocka prints them) into one result. A program that fails without naming a case is one failure.
name= log= trs=
while [ $# -gt 0 ]; do
    case $1 in
    --test-name) name=$2; shift 2 ;;
    --log-file) log=$2; shift 2 ;;
    --trs-file) trs=$2; shift 2 ;;
    --color-tests | --expect-failure | --enable-hard-errors | --collect-skipped-logs) shift 2 ;;
    --) shift; break ;;
    *) break ;;
    esac
done
"$@" >"$log" 2>&1 </dev/null
status=$?
awk -v status=$status -v name="$name" '
function out(r, c) { print ":test-result: " r " " c; n[r]++ }
/^\[       OK \] / { out("PASS", substr($0, 14)) }
/^\[  FAILED  \] .* *test\(s\)/ { next }
/^\[  FAILED  \] [0-9]+ / { next }
/^\[  FAILED  \] / && !seen[$0]++ { out("FAIL", substr($0, 14)) }
/^\[  SKIPPED \] [0-9]+ test/ { next }
/^\[  SKIPPED \] / && !seen[$0]++ { out("SKIP", substr($0, 14)) }
END {
    if (status == 77) out("SKIP", name)
    else if (status != 0 && !n["FAIL"]) out("FAIL", name " (exit status " status ")")
    else if (!n["PASS"] && !n["FAIL"] && !n["SKIP"]) out(status ? "FAIL" : "PASS", name)
    print ":recheck: " (n["FAIL"] ? "yes" : "no")
    print ":copy-in-global-log: " (n["FAIL"] ? "yes" : "no")
    r = n["FAIL"] ? "FAIL" : n["PASS"] ? "PASS" : "SKIP"
    print ":test-global-result: " r
    printf "%s: %s (%d passed, %d failed, %d skipped)\n", r, name, n["PASS"], n["FAIL"], n["SKIP"] > "/dev/stderr"
}' "$log" >"$trs"
