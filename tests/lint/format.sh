#!/bin/sh
# All C files as clang-format 14 would write them. Skipped (77) where that version is not installed.
set -eu
cd "$(dirname "$0")/../.."
format=clang-format-14
command -v "$format" >/dev/null || format=clang-format
if ! "$format" --version 2>/dev/null | grep -q 'version 14\.'; then
    echo "clang-format 14 is not installed"
    exit 77
fi
find sim reports mock-orchestrator mock-mcp tests \( -name node_modules -prune \) -o -name '*.[ch]' -print | sort |
    xargs "$format" --dry-run -Werror
