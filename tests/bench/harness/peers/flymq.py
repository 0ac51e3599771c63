"""FlyMQ itself, built from this tree in release."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..model import Work
from ..process import Server, answers, free_ports
from .base import Peer, Places, options, release

LISTENERS = ("BIND", "CLUSTER", "GRPC", "METRICS", "HEALTH", "ADMIN", "WS")


@dataclass(frozen=True)
class Up:
    """A server that is ready."""

    server: Server
    address: str


def bring_up(stack: ExitStack, binary: Path, home: Path, extra: Mapping[str, str] | None = None) -> Up:
    """Starts the server over `home` with its defaults; only addresses, data directory and `extra` are set. It is ready on return."""
    home.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
    env = {f"FLYMQ_{name}_ADDR": f"127.0.0.1:{port}" for name, port in ports.items()}
    env |= {"FLYMQ_DATA_DIR": str(home / "data"), "FLYMQ_LOG_LEVEL": "warn", "FLYMQ_NODE_ID": "bench", **(extra or {})}
    server = stack.enter_context(Server("flymq", [binary, "-quiet"], home / "log", env))
    server.wait(lambda: answers(f"http://127.0.0.1:{ports['HEALTH']}/health/ready"), 60)
    return Up(server, f"127.0.0.1:{ports['BIND']}")


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
        up = bring_up(stack, self._server, places.data / "flymq")
        self.main, self._address = up.server, up.address

    def acks(self, work: Work) -> str:
        """The driver's word for what it waits for."""
        return "all" if work.kind == "fsync" else "leader"

    def command(self, work: Work, topic: str) -> list[str | Path]:
        words = options(work, topic, self.acks(work))
        if work.waits and work.kind != "e2e":
            words.append("--no-batch")
        return [self._cli, "--servers", self._address, "-o", "json", "bench", *words]

    def ack(self, work: Work) -> str:
        if work.kind == "fsync":
            return "acks=all: written and fsynced before the ack, one fsync for all that wait (group commit)"
        return "acks=leader: in the log file, survives kill -9 of the broker, fsynced within 5 ms"

    def settings(self) -> str:
        return "release build of this tree, default configuration"
