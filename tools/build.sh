#!/bin/sh
# Configures (once) and builds into the folder $1; further arguments go to meson setup.
#
# A release is built by gcc with a profile: in a first build the canonical scenarios run on the virtual clock and count what is
# executed how often, and the second is optimized for that. The counts stay in the folder; code that has changed since is
# built without them.
set -eu
cd "$(dirname "$0")/.."
dir=$1
shift

quiet() {
    "$@" >"$dir.log" 2>&1 || { cat "$dir.log"; exit 1; }
    rm -f "$dir.log"
}

is_release_by_gcc() {
    case " $* " in *" --buildtype=release "*) ${CC:-cc} --version | grep -q "Free Software Foundation" ;; *) false ;; esac
}

if [ ! -f "$dir/build.ninja" ]; then
    quiet meson setup "$dir" "$@"
    if is_release_by_gcc "$@"; then
        quiet meson configure "$dir" -Db_pgo=generate
        quiet ninja -C "$dir" tests/golden/golden
        quiet "$dir/tests/golden/golden" scenarios
        quiet meson configure "$dir" -Db_pgo=use
        quiet ninja -C "$dir" build.ninja
    fi
fi
ninja -C "$dir" --quiet
