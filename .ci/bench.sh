#!/usr/bin/env bash
# The benchmark's harness: style, types, tests. It measures nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$PWD/.tools/venv/bin/python
for tool in ruff mypy; do
    "$python" -m "$tool" --version >/dev/null 2>&1 || "$python" -m pip install --quiet --disable-pip-version-check "$tool"
done
cd tests/bench
export PYTHONDONTWRITEBYTECODE=1
"$python" -m ruff check --no-cache .
"$python" -m ruff format --no-cache --check .
"$python" -m mypy --strict --cache-dir=/dev/null harness test_harness.py
exec "$python" -W error -m unittest discover
