#!/bin/sh
# Installs what is missing, builds, and runs all tests: a release build, and one with sanitizers for what does not depend on time.
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
# Programs that talk to others run in real time, which sanitizers do not keep; the surfaces that they stand on are tested.
meson test -C build-sanitize --print-errorlogs --timeout-multiplier 5 --no-suite release --no-suite cmd --no-suite conformance
