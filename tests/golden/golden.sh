#!/bin/sh
# Compares what the golden program (built as $1) prints with expected.txt. What was changed on purpose is written down
# anew with:  GOLDEN_WRITE=1 meson test -C build golden
set -eu
here=$(cd "$(dirname "$0")" && pwd)
golden=$1
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$golden" "$here/../../scenarios" >"$out"
if [ "${GOLDEN_WRITE:-}" ]; then
    cp "$out" "$here/expected.txt"
    echo "golden: expected.txt is written anew"
else
    diff -u "$here/expected.txt" "$out"
fi
