#!/bin/sh
# Proves that the pure rooms are pure: links everything of a room with what it uses of the rooms above, and compares the
# symbols that are still undefined with pure.txt. zlib may be used by record's hlog.c alone.
#
#   pure.sh BASE.a PLAN.a POLICY.a RECORD.a WORLD.a VIRTUAL.a
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# plain LIBRARY: a copy without what a link-time optimizer would add its own calls to.
plain() {
    dir=$work/$(basename "$1" .a)
    mkdir "$dir"
    ar t "$1" | while read -r object; do
        objcopy --wildcard --remove-section='.gnu.lto_*' "$object" "$dir/$(basename "$object")"
    done
    ar rc "$dir.a" "$dir"/*.o
    echo "$dir.a"
}
base=$(plain "$1") plan=$(plain "$2") policy=$(plain "$3") record=$(plain "$4") world=$(plain "$5") virtual=$(plain "$6")

sed 's/#.*//' "$here/pure.txt" | tr -s ' ' '\n' | sed '/^$/d' | sort -u >"$work/allowed"
printf '%s\n' compress2 compressBound uncompress >"$work/zlib"

# What is undefined in an object, without what sanitizers and coverage put in.
undefined() {
    nm -u "$1" | awk '{ print $NF }' | grep -Ev '^__(asan|ubsan|lsan|tsan|sanitizer|gcov|sancov)_' | sort -u
}

# whole LIBRARY [OBJECT]: all of the library, and what it needs of the others.
whole() {
    ld -r -o "$work/whole.o" --whole-archive "$@" --no-whole-archive \
        --start-group "$base" "$plan" "$policy" "$record" "$world" --end-group
}

# impure ROOM: prints what is not allowed in $work/whole.o.
impure() {
    undefined "$work/whole.o" | comm -23 - "$work/allowed" >"$work/impure"
    if [ "$1" = record ]; then
        sort "$work/zlib" | comm -23 "$work/impure" - >"$work/left" && mv "$work/left" "$work/impure"
    fi
    cat "$work/impure"
}

failed=0
# check ROOM LIBRARY
check() {
    whole "$2"
    found=$(impure "$1")
    [ -z "$found" ] && return
    echo "$1 is not pure; it needs: $(echo "$found" | tr '\n' ' ')"
    failed=1
}
check policy "$policy"
check record "$record"
check world "$world"
check virtual "$virtual"

# Within record, zlib is hlog's.
others=$(nm -A -u "$record" 2>/dev/null | grep -F -w -f "$work/zlib" | grep -v 'hlog\.c\.o' || true)
if [ -n "$others" ]; then
    echo "zlib outside of hlog.c:"
    echo "$others"
    failed=1
fi

# That this would notice: the same with a clock in it.
echo '#include <time.h>
long planted(void); long planted(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_nsec; }' >"$work/planted.c"
cc -c -o "$work/planted.o" "$work/planted.c"
whole "$policy" "$work/planted.o"
if [ "$(impure policy)" != clock_gettime ]; then
    echo "a clock that was planted was not found"
    failed=1
fi
exit $failed
