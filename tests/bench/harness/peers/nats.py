"""NATS JetStream on file storage, and a second server that syncs before every ack."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ..model import Work
from ..process import Server, answers, free_ports, run
from .base import FETCH_SECONDS, Peer, Places, options

VERSION = "v2.15.2"


class Nats(Peer):
    """`sync_interval` is a setting of the server, so the fsync works have a server of their own."""

    name = "nats"
    title = "NATS JetStream"

    def __init__(self) -> None:
        self._server = Path()
        self._driver = Path()
        self._addresses: dict[bool, str] = {}

    def prepare(self, places: Places) -> None:
        home = places.tools / f"nats-{VERSION}"
        self._server, self._driver = home / "nats-server", home / "nats-bench"
        if not self._server.exists():
            package = f"github.com/nats-io/nats-server/v2@{VERSION}"
            run(["go", "install", package], FETCH_SECONDS, cwd=places.tools, env={"GOBIN": str(home)})
        run(["go", "build", "-buildvcs=false", "-o", self._driver, "."], FETCH_SECONDS, cwd=places.here / "nats")

    def start(self, places: Places, stack: ExitStack) -> None:
        for synced in (False, True):
            self._addresses[synced] = self._start_one(places.data / ("nats-sync" if synced else "nats"), synced, stack)

    def _start_one(self, home: Path, synced: bool, stack: ExitStack) -> str:
        home.mkdir(parents=True)
        port, monitor = free_ports(2)
        config = home / "server.conf"
        config.write_text(self._config(port, monitor, home / "data", synced), encoding="utf-8")
        server = stack.enter_context(Server(home.name, [self._server, "-c", config], home / "log"))
        server.wait(lambda: answers(f"http://127.0.0.1:{monitor}/healthz"), 30)
        if not synced:
            self.main = server
        return f"127.0.0.1:{port}"

    @staticmethod
    def _config(port: int, monitor: int, store: Path, synced: bool) -> str:
        interval = "sync_interval: always\n" if synced else ""
        return f'listen: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{monitor}"\njetstream {{\nstore_dir: "{store}"\nmax_file_store: 64GB\n{interval}}}\n'

    def command(self, work: Work, topic: str) -> list[str | Path]:
        synced = work.kind == "fsync"
        words = options(work, topic, "fsync" if synced else "stored")
        return [self._driver, "--servers", self._addresses[synced], *words]

    def ack(self, work: Work) -> str:
        if work.kind == "fsync":
            return "sync_interval always: written and fsynced, message by message"
        return "written to the file; fsync every 2 minutes"

    def settings(self) -> str:
        return "file storage, one replica, no limits; PublishAsync, ordered push consumer"
