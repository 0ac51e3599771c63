#!/usr/bin/env bash
# The Java SDK and the Spring starters: unit and integration tests. The native library and the broker are those that
# `make build` made (java.sh -DskipTests: install only): Maven would call cargo for them with other features, and so build them once more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec mvn -B -q -f sdk-java -Dflymq.native.skip=true "$@" install
