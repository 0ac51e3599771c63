"""Checks the OpenAPI document by the standard's validator, and every route's answer by the schema it documents.

Usage: check.py --bin DIR    (DIR holds the built `flymq`)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

LISTENERS = ["BIND", "CLUSTER", "GRPC", "METRICS", "HEALTH", "ADMIN"]

# What the path variables stand for; `a/b` shows that a name may have levels.
VARIABLES = {
    "name": "a%2Fb",
    "topic": "a%2Fb",
    "group": "g",
    "partition": "0",
    "offset": "0",
    "member_id": "m",
    "node_id": "n",
    "id": "1",
}


def start(binary: Path, data: str) -> tuple[subprocess.Popen[str], str]:
    """The broker on free ports, and the address of its REST door."""
    env = {f"FLYMQ_{name}_ADDR": "127.0.0.1:0" for name in LISTENERS} | {"FLYMQ_DATA_DIR": data}
    broker = subprocess.Popen(
        [binary, "-quiet"], env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert broker.stdout is not None
    for line in broker.stdout:
        if line.startswith("{") and (rest := json.loads(line).get("rest")):
            return broker, f"http://{rest}"
    raise SystemExit(f"flymq ended with {broker.wait()} before it was ready")


def call(base: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and JSON of one request."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, method=method, data=data)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def fill(base: str) -> None:
    """Something to list, read and lag behind."""
    call(base, "POST", "/api/v1/topics", {"name": "a/b", "options": {"partitions": 2}})
    records = [{"key_text": str(i), "value_text": "v"} for i in range(5)]
    call(base, "POST", "/api/v1/topics/a%2Fb/records", {"acks": "all", "records": records})
    call(base, "POST", "/api/v1/consumer-groups/g/offsets", {"offsets": [{"topic": "a/b", "offset": 1}]})


def complaints(base: str, document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> list[str]:
    """What the answer of one route has that its schema has not."""
    for name, value in VARIABLES.items():
        path = path.replace("{" + name + "}", value)
    status, answer = call(base, method.upper(), path, {} if "requestBody" in operation else None)
    schema: dict[str, Any] = {"$ref": "#/components/schemas/Error"}
    if status == 200:
        schema = dict(operation["responses"]["200"]["content"]["application/json"]["schema"])
    schema["components"] = document["components"]
    return [f"{method} {path} {status}: {error.message}" for error in OAS31Validator(schema).iter_errors(answer)]


def check(base: str) -> int:
    """Number of faults."""
    status, document = call(base, "GET", "/api/v1/openapi.json")
    assert status == 200, document
    validate(document)
    fill(base)
    operations = [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        # A stream does not end by itself.
        if "application/x-ndjson" not in operation["responses"]["200"]["content"]
    ]
    # What deletes comes last.
    operations.sort(key=lambda one: one[1] == "delete")
    faults = [text for one in operations for text in complaints(base, document, *one)]
    print("\n".join(faults) or f"{len(operations)} operations answer as the OpenAPI document says")
    return len(faults)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True)
    binary = parser.parse_args().bin / "flymq"
    with tempfile.TemporaryDirectory() as data:
        broker, base = start(binary, data)
        try:
            return 1 if check(base) else 0
        finally:
            broker.terminate()
            broker.wait(timeout=30)


if __name__ == "__main__":
    sys.exit(main())
