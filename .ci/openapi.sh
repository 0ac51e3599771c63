#!/usr/bin/env bash
# The OpenAPI document by the standard's validator, and the broker's answers by the document. openapi.sh BIN_DIR
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$PWD/.tools/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check openapi-spec-validator==0.9.0 openapi-schema-validator==0.9.0
exec "$python" tests/openapi/check.py --bin "$1"
