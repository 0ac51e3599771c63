"""FlyMQ itself, built from this tree in release."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ..model import Work
from ..process import Server, answers, free_ports
from .base import Peer, Places, options, release

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
        built = release(places, "flymq", "flymq-cli")
        self._server, self._cli = built / "flymq", built / "flymq-cli"

    def start(self, places: Places, stack: ExitStack) -> None:
        home = places.data / "flymq"
        home.mkdir(parents=True)
        ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        env = {f"FLYMQ_{name}_ADDR": f"127.0.0.1:{port}" for name, port in ports.items()}
        env |= {"FLYMQ_DATA_DIR": str(home / "data"), "FLYMQ_LOG_LEVEL": "warn", "FLYMQ_NODE_ID": "bench"}
        server = stack.enter_context(Server(self.name, [self._server, "-quiet"], home / "log", env))
        server.wait(lambda: answers(f"http://127.0.0.1:{ports['HEALTH']}/health/ready"), 30)
        self.main = server
        self._address = f"127.0.0.1:{ports['BIND']}"

    def command(self, work: Work, topic: str) -> list[str | Path]:
        acks = "all" if work.kind == "fsync" else "leader"
        words = options(work, topic, acks)
        if work.waits and work.kind != "e2e":
            words.append("--no-batch")
        return [self._cli, "--servers", self._address, "-o", "json", "bench", *words]

    def ack(self, work: Work) -> str:
        if work.kind == "fsync":
            return "acks=all: written and fsynced before the ack, one fsync for all that wait (group commit)"
        return "acks=leader: in the log file, survives kill -9 of the broker, fsynced within 5 ms"

    def settings(self) -> str:
        return "release build of this tree, default configuration"
