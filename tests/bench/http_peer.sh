#!/bin/sh
# The HTTP server beside nginx, in the same seconds and under the same client: wrk, one thread, 32 connections, POST of
# 100 bytes, 100 bytes back; one core for the server. Rounds alternate, for the machine is not the same from one second
# to the next; the server's CPU time for a request bears another load on the machine better than requests a second do.
#
#   http_peer.sh BENCH_HTTP [ROUNDS [SECONDS]]
#
# Exit code 77 without nginx or wrk (Debian: nginx-light, wrk).
set -eu
bench=$1 rounds=${2:-5} seconds=${3:-3}
PATH=$PATH:/usr/sbin
for needed in nginx wrk python3; do
    command -v "$needed" >/dev/null || { echo "$needed is not installed"; exit 77; }
done
work=$(mktemp -d)
own='' peer=''
finish() {
    [ -z "$own" ] || kill "$own" 2>/dev/null || true
    [ -z "$peer" ] || kill "$peer" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

"$bench" serve >"$work/port" &
own=$!
while [ ! -s "$work/port" ]; do sleep 0.1; done
port=$(cat "$work/port")
# A port beside the other one is as free as any.
peer_port=$((port > 40000 ? port - 1001 : port + 1001))

cat >"$work/nginx.conf" <<EOF
daemon off;
master_process off;
worker_processes 1;
error_log $work/error.log;
pid $work/nginx.pid;
events { worker_connections 512; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path $work; proxy_temp_path $work; fastcgi_temp_path $work;
    uwsgi_temp_path $work; scgi_temp_path $work;
    server {
        listen 127.0.0.1:$peer_port;
        location / { default_type text/plain; return 200 "$(printf '%0100d' 1)"; }
    }
}
EOF
nginx -p "$work" -c "$work/nginx.conf" 2>"$work/stderr" &
peer=$!
cat >"$work/post.lua" <<EOF
wrk.method = "POST"
wrk.body = "$(printf '%0100d' 1)"
EOF
sleep 0.5
kill -0 "$peer" || { cat "$work/stderr" "$work/error.log"; exit 1; }

# CPU ticks of a process so far.
ticks() {
    sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

# load NAME PID PORT: a line "NAME requests requests/s ticks".
load() {
    before=$(ticks "$2")
    wrk -t 1 -c 32 -d "${seconds}s" -s "$work/post.lua" "http://127.0.0.1:$3/echo" >"$work/wrk"
    after=$(ticks "$2")
    awk -v name="$1" -v ticks=$((after - before)) '
        /requests in/ { n = $1 } /Requests\/sec/ { rate = $2 } /Non-2xx|Socket errors/ { bad = 1 }
        END { if (bad || !n) exit 1; print name, n, rate, ticks }' "$work/wrk" >>"$work/lines" || { cat "$work/wrk"; exit 1; }
}

cut -d ' ' -f 1-3 /proc/loadavg | sed 's/^/load average before: /'
i=0
while [ $i -lt "$rounds" ]; do
    load own "$own" "$port"
    load nginx "$peer" "$peer_port"
    i=$((i + 1))
done
cut -d ' ' -f 1-3 /proc/loadavg | sed 's/^/load average after:  /'
python3 - "$work/lines" <<'EOF'
import os, statistics, sys

tick = os.sysconf('SC_CLK_TCK')
rates, costs = {}, {}
for line in open(sys.argv[1]):
    name, n, rate, ticks = line.split()
    rates.setdefault(name, []).append(float(rate))
    costs.setdefault(name, []).append(int(ticks) / tick / int(n) * 1e6)
for name in ('own', 'nginx'):
    print(f"{name:<6} {statistics.median(rates[name]):>9,.0f} requests/s   {statistics.median(costs[name]):.2f} us of CPU each")
ratios = [a / b for a, b in zip(costs['own'], costs['nginx'])]
print(f"CPU time beside nginx: {statistics.median(ratios):.2f}x (median of {len(ratios)} rounds, {min(ratios):.2f} to {max(ratios):.2f})")
EOF
