"""Redis streams on an append-only file: one server that syncs each second, one that syncs before every ack."""

from __future__ import annotations

import csv
import io
import random
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..model import Work
from ..process import BenchError, Server, accepts, free_ports, run
from .base import DRIVE_SECONDS, Peer, Places

PIPELINE = 100


class Redis(Peer):
    """The system's own redis-server; its redis-benchmark is the driver. `appendfsync` is a setting of the server, so there are two."""

    name = "redis"
    title = "Redis streams"

    def __init__(self) -> None:
        self._version = ""
        self._ports: dict[bool, int] = {}
        self._values: dict[int, Path] = {}

    def prepare(self, places: Places) -> None:
        for tool in ("redis-server", "redis-benchmark", "redis-cli"):
            if not shutil.which(tool):
                raise BenchError(f"{tool} is not installed (Debian: redis-server)")
        told = run(["redis-server", "--version"], 10)
        self._version = next((word[2:] for word in told.split() if word.startswith("v=")), "unknown")

    def start(self, places: Places, stack: ExitStack) -> None:
        for synced in (False, True):
            home = places.data / ("redis-sync" if synced else "redis")
            home.mkdir(parents=True)
            (port,) = free_ports(1)
            mode = "always" if synced else "everysec"
            words = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--save", "", "--appendonly", "yes"]
            words += ["--appendfsync", mode, "--auto-aof-rewrite-percentage", "0"]
            server = stack.enter_context(Server(home.name, ["redis-server", *words], home / "log"))
            server.wait(lambda port=port: accepts(port), 30)  # type: ignore[misc]
            self._ports[synced] = port
            if not synced:
                self.main = server
        for size in (100, 1024):
            self._values[size] = places.data / f"redis-value-{size}"
            self._values[size].write_bytes(random.Random(size).randbytes(size))

    def does(self, work: Work) -> bool:
        return work.kind in ("produce", "sync", "fsync")

    def command(self, work: Work, topic: str) -> list[str | Path]:
        port = self._ports[work.kind == "fsync"]
        pipeline = 1 if work.in_flight == 1 else PIPELINE
        words = ["redis-benchmark", "-p", str(port), "-c", str(work.producers), "-P", str(pipeline), "--precision", "3", "--csv", "-x"]
        return [*words, "-n", str(work.messages), "XADD", topic, "*", "v"]

    def drive(self, work: Work, topic: str) -> dict[str, Any]:
        out = run(self.command(work, topic), DRIVE_SECONDS, stdin=self._values[work.size])
        # A stream lives in memory; the next work begins without it.
        run(["redis-cli", "-p", str(self._ports[work.kind == "fsync"]), "DEL", topic], 60)
        rows = list(csv.DictReader(io.StringIO(out)))
        if not rows:
            raise BenchError(f"redis-benchmark printed {out[-200:]!r}")
        row = rows[-1]
        return {
            "version": self._version,
            "msgs_per_s": float(row["rps"]),
            "p50_us": float(row["p50_latency_ms"]) * 1e3,
            "p99_us": float(row["p99_latency_ms"]) * 1e3,
            "errors": 0,
        }

    def ack(self, work: Work) -> str:
        if work.kind == "fsync":
            return "appendfsync always: written and fsynced before the ack, one fsync for each turn of the event loop (group commit)"
        return "appendfsync everysec: in memory and written to the append-only file; fsync each second"

    def settings(self) -> str:
        return f"streams, append-only file without rewriting, no snapshots; redis-benchmark, XADD of one value, pipeline {PIPELINE} where batched"
