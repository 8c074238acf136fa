#!/bin/sh
# The man page is clean mdoc, and says something on each terminal width.
page=$SRCDIR/man/hadal.1
if ! command -v mandoc >/dev/null 2>&1; then
    echo "[  SKIPPED ] mandoc (not installed)"
    exit 0
fi
# Which other man pages this machine has is not the page's fault.
found=$(mandoc -Tlint "$page" 2>&1 | grep -vE 'mandoc\.db|referenced manual not found|Mdocdate')
if [ -z "$found" ]; then
    echo "[       OK ] mandoc -Tlint"
else
    echo "$found"
    echo "[  FAILED  ] mandoc -Tlint"
fi
