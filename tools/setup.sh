#!/bin/sh
# Installs what is missing for building ("build") or for building and testing ("test"). Debian bookworm.
# Quick, and quiet, when nothing is missing.
set -eu
cd "$(dirname "$0")/.."

what=${1:-build}
# make: gcc links in parallel with it.
build="gcc libc6-dev make meson ninja-build pkg-config libevent-dev libssl-dev libjansson-dev libnghttp2-dev libwslay-dev
zlib1g-dev check libsubunit-dev libjs-chart.js"

missing=""
need() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $1"; }
for p in $build; do need "$p"; done
if [ "$what" = test ]; then
    # Any node from 18 on will do, wherever it came from.
    command -v node >/dev/null || missing="$missing nodejs"
    command -v npm >/dev/null || missing="$missing npm"
    need ca-certificates
    # The same results from another compiler.
    need clang
fi

[ -n "$missing" ] || exit 0
give_up() {
    echo "setup: $1; as root: apt-get install$missing" >&2
    exit 1
}
sudo=""
command -v apt-get >/dev/null || give_up "packages are missing, and this is no Debian that could install them"
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    command -v sudo >/dev/null || give_up "packages are missing, and there is no sudo to install them"
    # On a terminal it may ask for the password.
    [ -t 0 ] || sudo -n true 2>/dev/null || give_up "packages are missing, and this user may not install them"
fi
echo "setup: installing$missing"
$sudo apt-get update -qq || give_up "the lists of packages cannot be read"
# Another apt-get may be at work, as when a machine has just started: it is waited for.
# shellcheck disable=SC2086 # the words are package names
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
    $missing >/dev/null ||
    give_up "packages could not be installed"
