#!/bin/sh
# compilers.sh GOLDEN COMPILER BUILDTYPE: the golden program must print the same from every compiler at every level, figures and
# whole result files: gcc and clang, -O0 and -O3. What GOLDEN, the one that meson built, stands for is not compiled again; the others are, here, from
# the sources. Where there is no clang, gcc's two are compared and the rest is skipped (exit code 77).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
built=$(realpath "$1")
case $2-$3 in
gcc-release) known=gcc-O3 ;;
clang-release) known=clang-O3 ;;
*) known=none ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"

# cc level: compiles everything into $work/cc-level, many files at once for each job.
build() {
    dir=$work/$1$2
    mkdir -p "$dir"
    find -L sim/base sim/plan sim/policy sim/record sim/world sim/virtual tests/golden sim/cmd/measured.c sim/cmd/measure_virtual.c \
        reports/emit.c reports/human.c reports/objectives.c reports/result.c reports/result_faults.c reports/result_flows.c \
        reports/result_json.c reports/result_rates.c reports/result_validity.c -name '*.c' | sed "s|^|$root/|" |
        (cd "$dir" && xargs -n 24 -P 2 "$1" "$2" -c -std=gnu17 -D_GNU_SOURCE -ffp-contract=off -w -I"$root")
    "$1" "$dir"/*.o -o "$dir/golden" -ljansson -lz
}

# cc level: what it prints, or nothing if that fails. Runs while the next one is compiled.
started=""
start() {
    golden=$built
    if [ "$1$2" != "$known" ]; then
        build "$1" "$2"
        golden=$work/$1$2/golden
    fi
    ({ "$golden" scenarios && "$golden" scenarios results; } >"$work/$1$2.txt" || : >"$work/$1$2.txt") &
    started="$started $1$2"
}

start gcc -O0
start gcc -O3
if command -v clang >/dev/null; then
    start clang -O0
    start clang -O3
fi
wait
[ -s "$work/gcc-O0.txt" ]
for each in $started; do
    cmp "$work/gcc-O0.txt" "$work/$each.txt"
    echo "$each: the same"
done
if ! command -v clang >/dev/null; then
    echo "clang is not installed: not compared"
    exit 77
fi
