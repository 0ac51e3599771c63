"""Brokers for the tests: the real one inside this process, and the `flymq` binary where it has been built."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyflymq import FlyMQClient
from pyflymq.testing import Broker

ROOT = Path(__file__).resolve().parents[2]
_names = itertools.count()


def server_binary() -> Path | None:
    """The built server: the one that FLYMQ_BINARY names, else that of cargo's target folder."""
    if named := os.environ.get("FLYMQ_BINARY"):
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = target / "debug" / "flymq"
    return built if built.exists() else None


class ServerProcess:
    """A `flymq` process on free ports; its log says which."""

    def __init__(self, binary: Path, data_dir: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("FLYMQ_")}
        for listener in ("BIND", "GRPC", "ADMIN", "METRICS", "HEALTH", "CLUSTER"):
            env[f"FLYMQ_{listener}_ADDR"] = "127.0.0.1:0"
        env["FLYMQ_DATA_DIR"] = data_dir
        self.process = subprocess.Popen(
            [str(binary), "-quiet"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        ready = self._ready()
        self.address = ready["native"]
        self.grpc_address = ready["grpc"]

    def _ready(self) -> dict[str, str]:
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if line.startswith("{") and (fields := _fields(json.loads(line))).get("native"):
                return fields
        raise AssertionError(f"the server did not start:\n{''.join(seen)}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)


def _fields(line: dict[str, object]) -> dict[str, str]:
    nested = line.get("fields")
    return nested if isinstance(nested, dict) else line  # type: ignore[return-value]


@pytest.fixture(scope="session")
def memory_broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="session", params=["in process", "server process"])
def broker(request: pytest.FixtureRequest, memory_broker: Broker) -> Iterator[Broker | ServerProcess]:
    """Each test that uses it runs against both."""
    if request.param == "in process":
        yield memory_broker
        return
    binary = server_binary()
    if binary is None:
        pytest.skip("no flymq binary: cargo build --workspace makes it")
    with tempfile.TemporaryDirectory(prefix="flymq-test-") as data_dir:
        server = ServerProcess(binary, data_dir)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def address(broker: Broker | ServerProcess) -> str:
    return broker.address


@pytest.fixture
def client(address: str) -> Iterator[FlyMQClient]:
    """A client of either broker."""
    with FlyMQClient(address) as client:
        yield client


@pytest.fixture
def local(memory_broker: Broker) -> Iterator[FlyMQClient]:
    """A client of the broker in this process, for what does not depend on the server."""
    with FlyMQClient(memory_broker.address) as client:
        yield client


@pytest.fixture
def topic() -> str:
    """A name that no other test has."""
    return f"topic-{next(_names)}"


@pytest.fixture
def group() -> str:
    return f"group-{next(_names)}"
