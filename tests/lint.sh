#!/bin/sh
# Checks of the source text itself: include arrows, who may write to the terminal, banned functions, sizes, headers that stand alone,
# nothing of a developer's machine. Prints one line a finding and ends with 1 if there was any. Usage: lint.sh SRCDIR [CC [CXX]]
cd "$1" || exit 1
CC=${2:-gcc} CXX=${3:-g++}
found=$(mktemp)
trap 'rm -f "$found"' EXIT
say() { echo "lint: $*"; echo x >>"$found"; }
each() { while IFS= read -r line; do say "$line  ($1)"; done; }

# 1. Include arrows: what each room may include.
rooms="base kernels model history ui app"
for room in $rooms; do
    case $room in
    base) may='base' ;;
    kernels) may='base|kernels' ;;
    model) may='base|kernels|model' ;;
    history) may='base|history' ;;
    ui) may='base|ui' ;;
    app) may='base|kernels|model|history|ui|app' ;;
    esac
    grep -nE '^#include "' -r "$room" --include='*.[ch]' --include='*.cu' --include='*.cuh' |
        grep -vE "#include \"(($may)/|config\.h\")" | each "$room/ may include ${may} only"
    grep -nE '^#include ".*\.c"' -r "$room" | each "a .c file is included"
done

# 2. Libraries that one room, or one file, wraps.
only() { # pattern, allowed paths (extended regex)
    grep -nE "^#include <$1" -r $rooms --include='*.[ch]' | grep -vE "^($2):" | each "<$1> belongs to $2"
}
only '(n?cursesw?|term)\.h' 'ui/term\.c'
only 'readline/' 'ui/prompt\.c'
only 'md4c' 'ui/md_lay\.c'
only 'sqlite3' 'history/[a-z_]*\.[ch]'
only 'cblas' 'kernels/blas\.c'
only 'jansson' 'app/[a-z_]*\.[ch]'
only 'immintrin' 'kernels/[a-z_0-9]*\.[ch]'

# 3. The terminal: only ui/out.c, ui/term.c and ui/prompt.c write to it. base/err.c may in a panic.
grep -nE '(^|[^a-z_])(printf|puts|putchar|perror|vprintf)[ ]*\(|f(printf|puts|putc|write|flush) *\([^;]*std(out|err)|write *\( *(STDOUT_FILENO|STDERR_FILENO|1|2) *,|dprintf *\( *[12] *,' \
    -r $rooms --include='*.c' | grep -vE '^(ui/out\.c|ui/term\.c|ui/prompt\.c|base/err\.c):' | each 'only ui/out.c, ui/term.c and ui/prompt.c write to the terminal'

# 4. Functions that are never right, and exits from below.
grep -nE '(^|[^a-z_])(strcpy|strcat|sprintf|vsprintf|gets|alloca|atoi|atol|atof|system|popen|tmpnam|mktemp|strtok) *\(' -r $rooms --include='*.[ch]' | each 'banned function'
grep -nE '(^|[^a-z_])(exit|_exit|abort|assert) *\(' -r base kernels model history ui --include='*.c' |
    grep -vE '^(base/err\.c):' | grep -vE '_exit\(128' | each 'lower layers never exit'

# 5. Every .c begins with config.h.
for f in $(find $rooms tests -name '*.c'); do
    [ "$(grep -m1 '^#include' "$f")" = '#include "config.h"' ] || say "$f: config.h is not the first include"
done

# 6. Sizes: a file of at most 1,500 lines, a function of at most 120 (NOLINT(size) on its first line says why not).
for f in $(find $rooms -name '*.[ch]'); do
    n=$(wc -l <"$f")
    [ "$n" -le 1500 ] || grep -q 'generated' "$f" || say "$f: $n lines"
    awk -v f="$f" '/^[a-zA-Z_].*\)[^;]*$/ { name = $0; start = FNR } /^\{/ { if (!start) start = FNR }
        /^\}/ { if (start && FNR - start > 121 && name !~ /NOLINT\(size\)/) { sub(/\(.*/, "", name); print f ": " name "() has " FNR - start " lines" } start = 0 }' "$f"
done | each 'too long'

# 7. Nothing of a developer's machine; no tabs in C; no trailing white space.
git ls-files 2>/dev/null | grep -vE '^(COPYING|tests/lint\.sh)$' | while read -r f; do
    [ -f "$f" ] || continue
    grep -nE '/(work|root|home/[a-z]+)/' "$f" /dev/null | grep -vE '/home/(you|user)/' | head -3
done | each 'a path of one machine'
grep -nP '\t' -r $rooms tests --include='*.[ch]' | each 'a tab'
grep -nE '[[:space:]]+$' -r $rooms tests --include='*.[ch]' --include='*.mk' --include='*.sh' | each 'trailing white space'

# 8. Headers stand alone; those the CUDA module includes are C++, too.
if [ -n "$LINT_CONFIG" ]; then
    for h in $(find $rooms -name '*.h' ! -name '*_impl.h'); do
        printf '#include "config.h"\n#include "%s"\n' "$h" | $CC -std=gnu11 -fsyntax-only -I. -I"$LINT_CONFIG" $LINT_CFLAGS -x c - 2>/dev/null ||
            say "$h does not compile alone"
    done
    for h in kernels/quant.h kernels/backend.h; do
        command -v "$CXX" >/dev/null || continue
        printf '#include "%s"\n' "$h" | $CXX -std=c++17 -Wall -Wextra -Werror -fsyntax-only -I. -x c++ - 2>/dev/null || say "$h is not clean C++"
    done
fi

[ ! -s "$found" ] && echo "lint: clean" && exit 0
exit 1
