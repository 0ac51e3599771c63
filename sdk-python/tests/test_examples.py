"""The examples and the README's quick start run as they are printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SDK = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((SDK / "examples").glob("*.py"))
# The last line that each prints.
LAST = {
    "01_quick_start.py": "Hello, FlyMQ!",
    "02_keys_and_partitions.py": r"\d (ada|grace) ended",
    "03_json.py": r"\['tea', 'milk'\] b'web'",
    "04_batching_producer.py": "last offset: 5000",
    "05_consumer.py": "second run: 5 order 5",
    "06_consumer_group.py": "lag: 0",
    "07_asyncio.py": r"9 ping \d",
    "08_encryption.py": "by hand: ada: 100",
    "09_reactive.py": "completed",
    "10_errors.py": "Check that the FlyMQ server is running and accessible. Start it with: flymq",
}


def run(arguments: list[str], env: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example(example: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "FLYMQ_ADDR"}
    lines = run([str(example)], env).splitlines()
    assert re.fullmatch(LAST[example.name], lines[-1]), lines


def test_there_are_ten() -> None:
    assert {path.name for path in EXAMPLES} == set(LAST)
    assert len(LAST) == 10


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (SDK / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "GETTING_STARTED.md"])
def test_code_of_the_pages(page: str, broker: object) -> None:
    assert blocks(page)
    # Both brokers are shared: each run reads and writes topics of its own.
    unique = f"{os.getpid()}-{id(broker)}"
    for block in blocks(page):
        code = block.replace("localhost:9092", broker.address)
        for name in ("greetings", "orders", "events", "billing"):
            code = code.replace(f'"{name}"', f'"{name}-{unique}"')
        run(["-c", code], dict(os.environ))
