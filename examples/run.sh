#!/usr/bin/env bash
# A real data set through FlyMQ: US airports, keyed by state, into a topic with three partitions, read at the same time by
# a consumer group in Python and one in Spring Boot. Ends with 0 if both count the same, state by state, and the same as the
# file has. See README.md beside this.
#
# Environment: BIN_DIR, folder of flymq and flymq-cli (default: target/release, else target/debug); PYTHON, an interpreter
# with pyflymq (default: .tools/venv). The Java SDK is taken from the local Maven repository.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
target=${CARGO_TARGET_DIR:-$root/target}
bin=${BIN_DIR:-$target/release}
[ -x "$bin/flymq" ] || bin=$target/debug
python=${PYTHON:-$root/.tools/venv/bin/python}
topic=airports

[ -x "$bin/flymq" ] || { echo "no broker in $bin: run \`make build\` first" >&2; exit 2; }
"$python" -c 'import pyflymq' || { echo "no pyflymq for $python: run \`.ci/tools.sh python && .ci/python.sh install\` first" >&2; exit 2; }

"$python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/python/requirements.txt"
mvn -B -q -f "$here/spring" package

scratch=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$scratch"
}
trap cleanup EXIT

# Port 0: the system chooses; the log's line "ready" says which.
: >"$scratch/broker.log" # which is looked into before the broker may have opened it
any=127.0.0.1:0
FLYMQ_BIND_ADDR=$any FLYMQ_GRPC_ADDR=$any FLYMQ_ADMIN_ADDR=$any FLYMQ_METRICS_ADDR=$any FLYMQ_HEALTH_ADDR=$any \
    FLYMQ_DATA_DIR=$scratch/data "$bin/flymq" -quiet 2>"$scratch/broker.log" &
pids+=($!)
broker=
for _ in $(seq 300); do
    broker=$(sed -n '/"ready"/s/.*"native":"\([^"]*\)".*/\1/p' "$scratch/broker.log")
    [ -z "$broker" ] || break
    kill -0 "${pids[0]}" 2>/dev/null || break
    sleep 0.1
done
[ -n "$broker" ] || { echo "the broker did not start:" >&2; cat "$scratch/broker.log" >&2; exit 1; }

"$bin/flymq-cli" --server "$broker" topic create "$topic" --partitions 3

# Both groups read while the rows come in.
timeout 120 "$python" "$here/python/count.py" "$broker" "$topic" "$scratch/python.txt" &
python_group=$!
timeout 120 java -jar "$here/spring/target/airports-spring.jar" --flymq.host="${broker%:*}" --flymq.port="${broker##*:}" \
    --airports.topic="$topic" --airports.result="$scratch/spring.txt" &
spring_group=$!
pids+=("$python_group" "$spring_group")

"$python" "$here/python/stream.py" "$broker" "$topic"
wait "$python_group" || { echo "the Python group failed" >&2; exit 1; }
wait "$spring_group" || { echo "the Spring group failed" >&2; exit 1; }

"$python" "$here/python/dataset.py" >"$scratch/truth.txt"
for group in python spring; do
    diff "$scratch/truth.txt" "$scratch/$group.txt" || { echo "the $group group disagrees with the file (<)" >&2; exit 1; }
done
echo "both groups agree: $(awk '{ n += $2 } END { print n }' "$scratch/truth.txt") airports; most in $(sort -k2,2nr "$scratch/truth.txt" | head -n 1)"
