#!/bin/sh
# The golden program must print the same from every compiler at every level: gcc and clang, -O0 and -O3, compiled here
# from the sources. Where there is no clang, gcc's two are compared and the rest is skipped (exit code 77).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"

# cc level: compiles everything into $work/cc-level, many files at once for each job.
build() {
    dir=$work/$1$2
    mkdir -p "$dir"
    find -L sim/base sim/plan sim/policy sim/record sim/world sim/virtual tests/golden -name '*.c' | sed "s|^|$root/|" |
        (cd "$dir" && xargs -n 24 -P 2 "$1" "$2" -c -std=gnu17 -D_GNU_SOURCE -ffp-contract=off -w -I"$root")
    "$1" "$dir"/*.o -o "$dir/golden" -ljansson -lz
    "$dir/golden" scenarios >"$work/$1$2.txt"
}

compare() {
    build "$1" "$2"
    cmp "$work/gcc-O0.txt" "$work/$1$2.txt"
    echo "$1 $2: the same"
}

build gcc -O0
compare gcc -O3
if ! command -v clang >/dev/null; then
    echo "clang is not installed: not compared"
    exit 77
fi
compare clang -O0
compare clang -O3
