#!/bin/sh
# What one machine carries live: runs live_capacity.json and prints what came of it, with CPU time and memory of each
# process, and beside the load's lag the lateness of a process that does nothing else, measured at the same time.
#
#   live_capacity.sh WINDTUNNEL PAUSE_METER [SCENARIO [OPTION…]]
#
# Exit code: that of the run, but for missed objectives: a busy machine is late, and must not fail a build for that.
set -eu
windtunnel=$1 meter=$2
shift 2
scenario=${1:-$(dirname "$0")/live_capacity.json}
[ $# -eq 0 ] || shift
work=$(mktemp -d)
run='' pause=''
finish() {
    [ -z "$run" ] || kill "$run" 2>/dev/null || true
    [ -z "$pause" ] || kill "$pause" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

load_before=$(cut -d ' ' -f 1-3 /proc/loadavg)
"$windtunnel" run "$scenario" --clock live --out "$work/out" --progress none "$@" >"$work/log" 2>&1 &
run=$!
"$meter" >"$work/pause" &
pause=$!

# snapshot PID: what the kernel's books say of a process; the last one counts, and the most descriptors seen.
snapshot() {
    cat "/proc/$1/stat" "/proc/$1/status" >"$work/new" 2>/dev/null || return 0
    grep -q '^VmHWM' "$work/new" || return 0 # a process that has just ended
    mv "$work/new" "$work/$1.proc"
    find "/proc/$1/fd" -type l 2>/dev/null | wc -l >>"$work/$1.fds"
}

while kill -0 "$run" 2>/dev/null; do
    for pid in "$run" $(cat "/proc/$run/task/$run/children" 2>/dev/null || true); do
        snapshot "$pid"
    done
    sleep 1
done
code=0
wait "$run" || code=$?
run=''
kill "$pause" || true
wait "$pause" || true
pause=''
load_after=$(cut -d ' ' -f 1-3 /proc/loadavg)

result=$(find "$work/out" -name result.json | head -n 1)
if [ -z "$result" ] || { [ "$code" -ne 0 ] && [ "$code" -ne 1 ]; }; then
    cat "$work/log"
    [ -n "$result" ] || exit "$code"
fi
python3 - "$result" "$work" "$load_before" "$load_after" <<'EOF'
import glob, json, os, platform, sys

path, work, before, after = sys.argv[1:]
result = json.load(open(path))
pause = json.load(open(os.path.join(work, 'pause')))
metrics, accounts = result['metrics'], result['ledger']['accounts']


def ms(ns):
    return '-' if ns is None else f'{ns / 1e6:.3f} ms'


def figures(name, of, keys):
    values = ', '.join(f"{key} {ms(of.get(key + '_ns'))}" for key in keys)
    print(f"{name:<22}{values}  ({of.get('count', of.get('samples'))} samples)")


def cpu_model():
    for line in open('/proc/cpuinfo'):
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.machine()


print(f"machine               {cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}")
print(f"load average          before {before}, after {after}")
streams, connections = accounts['stream'], accounts['connection']
up = connections['opened'] - connections['failed'] - connections['shed'] - connections['lost']
print(f"sessions at once      {accounts['session']['open_max']} (of {accounts['session']['opened']})")
print(f"streams at once       {streams['open_max']} event streams of the orchestrator, or tunnel streams of the edge")
print(f"tunnel connections    {up} up of {connections['opened']} dialed")
figures('schedule.lag', metrics['schedule.lag'], ('p50', 'p90', 'p99', 'max'))
figures('lag of the machine', pause, ('p50', 'p90', 'p99', 'max'))
for name in ('event.delivery', 'mcp.call', 'tunnel.handshake'):
    figures(name, metrics[name], ('p50', 'p99', 'max'))

seconds = result['end_ns'] / 1e9
print(f"\n{'process':<16}{'CPU s':>8}{'share':>8}{'peak MB':>9}{'open fds':>10}    ({seconds:.1f} s)")
total, tick = 0, os.sysconf('SC_CLK_TCK')
for name in sorted(glob.glob(os.path.join(work, '*.proc')), key=lambda n: int(os.path.basename(n)[:-5])):
    lines = open(name).read().splitlines()
    fields = lines[0].rsplit(')', 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / tick
    total += cpu
    about = dict(line.split(':', 1) for line in lines[1:])
    peak = int(about['VmHWM'].split()[0]) / 1024
    descriptors = max(int(n) for n in open(name[:-4] + 'fds'))
    print(f"{about['Name'].strip():<16}{cpu:>8.2f}{cpu / seconds:>8.1%}{peak:>9.1f}{descriptors:>10}")
print(f"{'all':<16}{total:>8.2f}{total / seconds:>8.1%}")

print()
for objective in result['objectives']:
    print(('met     ' if objective['met'] else 'MISSED  ') + objective['expr'])
for reason in result['invalid_reasons']:
    print('INVALID: ' + reason)
print(f"ledger {result['ledger']['verdict']}, flows {'balanced' if result['flows_balanced'] else 'UNBALANCED'}")
EOF
[ "$code" -eq 1 ] || exit "$code"
