#!/usr/bin/env bash
# The Python SDK: builds it into .tools/venv, then types, style and tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ ! -f sdk-python/pyproject.toml ]; then
    echo "sdk-python is not there yet"
    exit 0
fi
python=$PWD/.tools/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check "./sdk-python[dev]"
cd sdk-python
# Against the installed package, as a user has it: not against the sources beside the tests.
"$python" -m ruff check python tests
"$python" -m mypy --strict python/pyflymq
exec "$python" -m pytest -q -p no:cacheprovider tests
