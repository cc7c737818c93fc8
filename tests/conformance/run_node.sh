#!/bin/sh
# Runs one test script of this folder under Node: run_node.sh SCRIPT.
#
# Its packages are those in WT_NODE_MODULES, or else in node_modules beside the script (`npm ci` puts them there). Without
# Node or packages the test is skipped (77), but in CI it fails.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
modules=${WT_NODE_MODULES:-$here/node_modules}

missing() {
    echo "$1" >&2
    [ -z "${CI:-}" ] && exit 77
    exit 1
}

command -v node >/dev/null || missing "node is not installed"
[ -d "$modules/@anthropic-ai/sdk" ] || missing "no packages in $modules: run npm ci in $here"

if [ "$modules" = "$here/node_modules" ]; then
    exec node --test --test-reporter=spec "$here/$1"
fi

# Node looks for packages beside the script alone.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp "$here"/*.mjs "$here/package.json" "$copy"
ln -s "$modules" "$copy/node_modules"
cd "$copy"
node --preserve-symlinks --preserve-symlinks-main --test --test-reporter=spec "$copy/$1"
