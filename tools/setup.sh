#!/bin/sh
# Installs what is missing for building ("build") or for building and testing ("test"). Debian bookworm.
# Quick, and quiet, when nothing is missing.
set -eu
cd "$(dirname "$0")/.."

what=${1:-build}
build="gcc libc6-dev meson ninja-build pkg-config libevent-dev libssl-dev libjansson-dev libnghttp2-dev libwslay-dev
zlib1g-dev check libsubunit-dev libjs-chart.js"

missing=""
need() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $1"; }
for p in $build; do need "$p"; done
if [ "$what" = test ]; then
    # Any node from 18 on will do, wherever it came from.
    command -v node >/dev/null || missing="$missing nodejs"
    command -v npm >/dev/null || missing="$missing npm"
    need ca-certificates
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        sudo=""
    elif command -v sudo >/dev/null; then
        sudo=sudo
    else
        echo "setup: these packages are missing and sudo is not there to install them:$missing" >&2
        exit 1
    fi
    echo "setup: installing$missing"
    $sudo apt-get update -qq
    # shellcheck disable=SC2086 # the words are package names
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
