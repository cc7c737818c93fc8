#!/bin/sh
# Installs what is missing, builds, and runs the reconnect storm live to its report (or whatever is given).
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh build
tools/build.sh build --buildtype=release
if [ $# -eq 0 ]; then set -- run scenarios/reconnect-storm.json --out out/reconnect-storm; fi
exec build/sim/cmd/windtunnel "$@"
