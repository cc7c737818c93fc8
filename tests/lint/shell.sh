#!/bin/sh
# Shell scripts without a complaint of shellcheck's. Skipped (77) where that is not installed.
set -eu
cd "$(dirname "$0")/../.."
command -v shellcheck >/dev/null || { echo "shellcheck is not installed"; exit 77; }
find . \( -name node_modules -o -name '.?*' -o -name 'build*' \) -prune -o -name '*.sh' -print | sort |
    xargs shellcheck -e SC3013 # -nt: every sh that there is has it
