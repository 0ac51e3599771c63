#!/usr/bin/env bash
# Starts the Java driver out of the jar that the Maven build leaves.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
jar=$(ls "$here"/../../../sdk-java/flymq-conformance-driver/target/flymq-conformance-driver*.jar 2>/dev/null | grep -v -e sources -e original | head -n 1)
[ -n "$jar" ] || exit 42
exec java -jar "$jar"
