#!/usr/bin/env bash
# The Java SDK and the Spring starters: native library, unit and integration tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ ! -f sdk-java/pom.xml ]; then
    echo "sdk-java is not there yet"
    exit 0
fi
exec mvn -B -q -f sdk-java install
