"""No broker at all: what the machine gives to loopback, checksums and a write (tests/bench/bare_loop.rs)."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ..model import Work
from .base import Peer, Places, options, release


class Bare(Peer):
    """Server and client are one process; there is nothing to start, and nothing to read back."""

    name = "bare"
    title = "Bare loop"

    def __init__(self) -> None:
        self._binary = Path()
        self._data = Path()

    def prepare(self, places: Places) -> None:
        self._binary = release(places, "bare-loop") / "bare-loop"

    def start(self, places: Places, stack: ExitStack) -> None:
        self._data = places.data / "bare"
        self._data.mkdir(parents=True)

    def does(self, work: Work) -> bool:
        return work.kind in ("produce", "sync", "fsync", "disk")

    def command(self, work: Work, topic: str) -> list[str | Path]:
        words = options(work, topic, "all" if work.kind == "fsync" else "leader")
        if work.kind == "disk":
            words.append("--direct")
        return [self._binary, *words, "--data-dir", self._data]

    def ack(self, work: Work) -> str:
        if work.kind in ("fsync", "disk"):
            return "written over a recycled file and fsynced, one fsync for all that wait"
        return "written over a recycled file, no fsync"

    def settings(self) -> str:
        return "no broker, the limit of the machine: loopback, crc32c on both sides, one write, batches of 256 KiB where batched"
