#!/usr/bin/env bash
# Three brokers on this machine that form a cluster, to try it out and to break it:
#   three-nodes.sh start          starts them (or those that do not run); ports 21092, 22092, 23092
#   three-nodes.sh kill N         kill -9 of node N
#   three-nodes.sh status         who runs
#   three-nodes.sh stop           ends all in order; their data stays
#   three-nodes.sh clean          as stop, and removes their data
# `flymq` is taken from $BIN_DIR, the PATH or target/release. Data and logs: $FLYMQ_THREE_NODES_DIR (default: flymq-three-nodes
# in the temporary directory). All ports lie below 32768: from there on Linux gives them to whatever connects to somewhere.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
home=${FLYMQ_THREE_NODES_DIR:-${TMPDIR:-/tmp}/flymq-three-nodes}

binary() {
    local place
    for place in "${BIN_DIR:-}/flymq" "$(command -v flymq || true)" "${CARGO_TARGET_DIR:-$root/target}/release/flymq"; do
        if [ -x "$place" ]; then
            echo "$place"
            return
        fi
    done
    { echo "no flymq: build it with \`cargo build --release --workspace --bins\`, or put it on the PATH" >&2; exit 1; }
}

pid() { cat "$home/node-$1.pid" 2>/dev/null || true; }
runs() { local p; p=$(pid "$1"); [ -n "$p" ] && kill -0 "$p" 2>/dev/null; }

start() { # node
    local n=$1 p role
    if runs "$n"; then return; fi
    role=(FLYMQ_ROLE=agent FLYMQ_SERVER=127.0.0.1:21093 "FLYMQ_JOIN_TOKEN=$(cat "$home/token")")
    [ "$n" != 1 ] || role=(FLYMQ_ROLE=bootstrap "FLYMQ_CLUSTER_TOKEN=$(cat "$home/token")")
    env -u FLYMQ_THREE_NODES_DIR "${role[@]}" FLYMQ_NODE_ID="node-$n" FLYMQ_DATA_DIR="$home/node-$n" \
        FLYMQ_BIND_ADDR="127.0.0.1:2${n}092" FLYMQ_CLUSTER_ADDR="127.0.0.1:2${n}093" FLYMQ_METRICS_ADDR="127.0.0.1:2${n}094" \
        FLYMQ_HEALTH_ADDR="127.0.0.1:2${n}095" FLYMQ_ADMIN_ADDR="127.0.0.1:2${n}096" FLYMQ_GRPC_ADDR="127.0.0.1:2${n}097" \
        "$flymq" -quiet >>"$home/node-$n.log" 2>&1 </dev/null &
    p=$!
    echo "$p" >"$home/node-$n.pid"
}

ready() { # node
    local n=$1
    for _ in $(seq 600); do
        runs "$n" || { echo "node $n has ended; its log is $home/node-$n.log:" >&2; tail -n 5 "$home/node-$n.log" >&2; exit 1; }
        # A node listens before it can answer: /health/ready tells.
        if (exec 3<>"/dev/tcp/127.0.0.1/2${n}095" && printf 'GET /health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3 && head -n 1 <&3 | grep -q ' 200 ') 2>/dev/null; then
            echo "node-$n  pid $(pid "$n")  127.0.0.1:2${n}092"
            return
        fi
        sleep 0.1
    done
    echo "node $n is not ready after a minute; its log is $home/node-$n.log" >&2
    exit 1
}

votes() { # all three, as node 1 knows
    (exec 3<>/dev/tcp/127.0.0.1/21094 && printf 'GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3 && grep -q '^flymq_cluster_voters{.*} 3$' <&3) 2>/dev/null
}

stop() {
    local n
    for n in 3 2 1; do runs "$n" && kill -TERM "$(pid "$n")"; done || true
    for n in 1 2 3; do
        for _ in $(seq 300); do runs "$n" || break; sleep 0.1; done
        if runs "$n"; then echo "node $n does not end; its process is $(pid "$n")" >&2; exit 1; fi
    done
}

case ${1:-} in
start)
    flymq=$(binary)
    (umask 077 && mkdir -p "$home")
    [ -s "$home/token" ] || (umask 077 && head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$home/token")
    # The first start of the others needs the first; later ones need nobody.
    start 1
    [ -d "$home/node-2/raft" ] || ready 1 >/dev/null
    start 2 && start 3
    for n in 1 2 3; do ready "$n"; done
    # Until each of them has a vote, the first must not be lost.
    for _ in $(seq 300); do votes && break; sleep 0.1; done
    echo "clients: FLYMQ_ADDR=127.0.0.1:21092,127.0.0.1:22092,127.0.0.1:23092"
    ;;
kill)
    [[ ${2:-} == [123] ]] || { echo "which node: 1, 2 or 3?" >&2; exit 2; }
    runs "$2" || { echo "node $2 does not run" >&2; exit 1; }
    kill -9 "$(pid "$2")"
    echo "node-$2 is killed"
    ;;
status)
    for n in 1 2 3; do if runs "$n"; then echo "node-$n  pid $(pid "$n")  127.0.0.1:2${n}092"; else echo "node-$n  down"; fi; done
    ;;
stop) stop ;;
clean)
    stop
    rm -rf "$home"
    ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
