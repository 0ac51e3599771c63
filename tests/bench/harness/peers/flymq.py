"""FlyMQ itself, built from this tree in release."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from ..model import Work
from ..process import Server, answers, free_ports, run
from .base import FETCH_SECONDS, Peer, Places, options

BUILD_SECONDS = 4 * FETCH_SECONDS
LISTENERS = ("BIND", "CLUSTER", "GRPC", "METRICS", "HEALTH", "ADMIN", "WS")


class FlyMQ(Peer):
    """The server with its defaults; only addresses and the data directory are set."""

    name = "flymq"
    title = "FlyMQ"

    def __init__(self) -> None:
        self._server = Path()
        self._cli = Path()
        self._address = ""

    def prepare(self, places: Places) -> None:
        """Builds server and CLI; `FLYMQ_BENCH_BIN` names a directory with both where they are built already."""
        ready = os.environ.get("FLYMQ_BENCH_BIN")
        target = Path(ready) if ready else Path(os.environ.get("CARGO_TARGET_DIR", places.root / "target")) / "release"
        if not ready:
            run(["cargo", "build", "--release", "--locked", "--bin", "flymq", "--bin", "flymq-cli"], BUILD_SECONDS, cwd=places.root)
        self._server, self._cli = target / "flymq", target / "flymq-cli"

    def start(self, places: Places, stack: ExitStack) -> None:
        home = places.data / "flymq"
        home.mkdir(parents=True)
        ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        env = {f"FLYMQ_{name}_ADDR": f"127.0.0.1:{port}" for name, port in ports.items()}
        env |= {"FLYMQ_DATA_DIR": str(home / "data"), "FLYMQ_LOG_LEVEL": "warn", "FLYMQ_NODE_ID": "bench"}
        server = stack.enter_context(Server(self.name, [self._server, "-quiet"], home / "log", env))
        server.wait(lambda: answers(f"http://127.0.0.1:{ports['HEALTH']}/health/ready"), 30)
        self._address = f"127.0.0.1:{ports['BIND']}"

    def command(self, work: Work, topic: str) -> list[str | Path]:
        acks = "all" if work.kind == "fsync" else "leader"
        words = options(work, topic, acks)
        if work.kind in ("sync", "fsync"):
            words.append("--no-batch")
        return [self._cli, "--servers", self._address, "-o", "json", "bench", *words]

    def ack(self, work: Work) -> str:
        if work.kind == "fsync":
            return "acks=all: written and fsynced before the ack, one fsync for all that wait (group commit)"
        return "acks=leader: in the log file, survives kill -9 of the broker, fsynced within 5 ms"

    def settings(self) -> str:
        return "release build of this tree, default configuration"
