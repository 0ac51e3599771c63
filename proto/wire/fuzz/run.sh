#!/usr/bin/env bash
# Builds a fuzz target with the coverage instrumentation that libFuzzer wants, and runs it: run.sh TARGET [libFuzzer options]
set -euo pipefail
target=${1:?usage: run.sh frame|batch|inflate|v1_request|v2_body [libFuzzer options]}
shift
cd "$(dirname "$0")"
export CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-$PWD/target}
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1"
# The explicit --target keeps the flags away from build scripts.
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
cargo +nightly build --release --target "$host" --bin "$target"
mkdir -p "corpus/$target" artifacts
exec "$CARGO_TARGET_DIR/$host/release/$target" -artifact_prefix=artifacts/ "$@" "corpus/$target"
