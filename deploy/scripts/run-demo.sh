#!/usr/bin/env bash
# Builds FlyMQ, starts a broker, sends one message through it and shows it coming back (`make run`).
#
# On a terminal the broker then runs until Ctrl-C, with its usual data directory. Without one, or with DEMO_EXIT=1, it
# uses a temporary directory and ends after the message. FLYMQ_* variables count as always. With DEMO_SKIP_BUILD=1 the
# binaries in $BIN_DIR (default: target/release) are used as they are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

bin=${BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}
if [ -z "${DEMO_SKIP_BUILD:-}" ]; then
    echo "building (the first time takes some minutes) ..."
    cargo build --release --workspace --bin flymq --bin flymq-cli
fi

once=${DEMO_EXIT:-}
[ -t 0 ] || once=1
scratch=$(mktemp -d)
broker=
stop() {
    if [ -n "$broker" ] && kill -0 "$broker" 2>/dev/null; then
        kill -TERM "$broker" 2>/dev/null || true
        wait "$broker" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap stop EXIT
# Ctrl-C is how a person ends it: no failure.
trap 'exit 0' INT TERM

[ -z "$once" ] || export FLYMQ_DATA_DIR=${FLYMQ_DATA_DIR:-$scratch/data}
log=$scratch/flymq.log
# A process group of its own: Ctrl-C reaches the broker once, as the SIGTERM of `stop`.
set -m
"$bin/flymq" -human-readable >"$log" 2>&1 &
broker=$!
set +m

# Ready means: it answers a client.
server=${FLYMQ_BIND_ADDR:-127.0.0.1:9092}
case $server in :*) server=127.0.0.1$server ;; esac
ready=
for _ in $(seq 300); do
    kill -0 "$broker" 2>/dev/null || break
    if (exec 3<>"/dev/tcp/${server%:*}/${server##*:}") 2>/dev/null; then
        ready=1
        break
    fi
    sleep 0.1
done
if [ -z "$ready" ] || ! kill -0 "$broker" 2>/dev/null; then
    echo "the broker did not start:" >&2
    cat "$log" >&2
    exit 1
fi
cat "$log"

topic=make-run
cli() { "$bin/flymq-cli" --server "$server" "$@"; }
message="hello from make run at $(date +%T)"
echo
echo "\$ flymq-cli produce $topic '$message' --key demo -o json"
produced=$(cli produce "$topic" "$message" --key demo -o json)
echo "$produced"
offset=$(sed -n 's/.*"offset": *"\{0,1\}\([0-9][0-9]*\).*/\1/p' <<<"$produced" | head -n 1)
echo
echo "\$ flymq-cli consume $topic --offset $offset --show-key"
shown=$(cli consume "$topic" --offset "$offset" --show-key)
echo "$shown"
grep -qF "$message" <<<"$shown" || { echo "the message did not come back" >&2; exit 1; }

echo
if [ -n "$once" ]; then
    echo "The message went through. (Run \`make run\` on a terminal to keep the broker.)"
else
    echo "The message went through. The broker listens on $server until you press Ctrl-C; its log:"
    tail -n 0 -f --pid "$broker" "$log" &
    wait "$broker"
fi
