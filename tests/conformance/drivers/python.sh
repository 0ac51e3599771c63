#!/usr/bin/env bash
# Starts the Python driver with the interpreter that has pyflymq: $PYTHON, or the project's own environment.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-$here/../../../.tools/venv/bin/python}
"$python" -c 'import pyflymq' 2>/dev/null || exit 42
exec "$python" "$here/python_driver.py"
