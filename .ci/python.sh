#!/usr/bin/env bash
# The Python SDK: builds it into .tools/venv, then types, style and tests (python.sh install: no more than that).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$PWD/.tools/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check "./sdk-python[dev]"
if [ "${1:-}" = install ]; then
    exit 0
fi
cd sdk-python
# Against the installed package, as a user has it: not against the sources beside the tests.
"$python" -m ruff check python tests examples
"$python" -m ruff format --check python tests examples
"$python" -m mypy --strict python/pyflymq
"$python" -m mypy.stubtest pyflymq._core
exec "$python" -m pytest -q -p no:cacheprovider tests
