#!/bin/sh
# Installs what is missing, builds, and runs all tests: with a release build, and with sanitizers all that does not compare times.
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh test
for dir in tests/conformance tests/record; do
    stamp=$dir/node_modules/.package-lock.json
    if [ ! -f "$stamp" ] || [ "$dir/package-lock.json" -nt "$stamp" ]; then
        echo "setup: npm packages of $dir"
        npm ci --prefix "$dir" --no-audit --no-fund --loglevel=error
        touch "$stamp"
    fi
done
tools/build.sh build --buildtype=release ${CI:+--werror}
tools/build.sh build-sanitize --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false ${CI:+--werror}
meson test -C build --print-errorlogs --timeout-multiplier 3
meson test -C build-sanitize --print-errorlogs --timeout-multiplier 5 --no-suite release
