#!/bin/sh
# Configures (once) and builds into the folder $1; further arguments go to meson setup.
set -eu
cd "$(dirname "$0")/.."
dir=$1
shift
if [ ! -f "$dir/build.ninja" ]; then meson setup "$dir" "$@" >"$dir.log" 2>&1 || { cat "$dir.log"; exit 1; }; rm -f "$dir.log"; fi
ninja -C "$dir" --quiet
