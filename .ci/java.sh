#!/usr/bin/env bash
# The Java SDK and the Spring starters: unit and integration tests. The native library and the broker are those that
# `make build` made: Maven would call cargo for them with other features, and so build them once more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ ! -f sdk-java/pom.xml ]; then
    echo "sdk-java is not there yet"
    exit 0
fi
exec mvn -B -q -f sdk-java -Dflymq.native.skip=true install
