#!/usr/bin/env bash
# The benchmark's entry: `run.sh` (full) or `run.sh --quick`; every other option goes to the harness (`run.sh --help`).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "the benchmark needs Python 3.11 or newer; set PYTHON to one" >&2
    exit 2
fi
PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1 exec "$python" -m harness "$@"
