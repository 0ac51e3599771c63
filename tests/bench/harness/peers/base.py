"""What every peer has to say: how it is got, started and driven, and what its ack means."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model import Work
from ..process import BenchError, Measured, run

FETCH_SECONDS = 900.0
BUILD_SECONDS = 3_600.0
DRIVE_SECONDS = 600.0


@dataclass(frozen=True)
class Places:
    """Where things lie: the repository, the tools that are fetched once, and the data of this pass."""

    root: Path
    tools: Path
    data: Path

    @property
    def here(self) -> Path:
        return self.root / "tests" / "bench"


class Peer(ABC):
    """One broker. `prepare` once; then per pass `start`, `command` for each run, and the stack closes the servers."""

    name: str
    title: str
    main: Measured | None = None
    """The server, or servers, whose start and memory are told."""

    @abstractmethod
    def prepare(self, places: Places) -> None:
        """Fetches and builds what is missing; raises BenchError where a toolchain is not there."""

    @abstractmethod
    def start(self, places: Places, stack: ExitStack) -> None:
        """Starts the servers of one pass over an empty directory and waits until they are ready."""

    def does(self, work: Work) -> bool:
        """Whether the peer has this work at all; if not, its cells stay empty."""
        return work.kind != "disk"

    @abstractmethod
    def command(self, work: Work, topic: str) -> list[str | Path]:
        """The driver's command line for this work."""

    @abstractmethod
    def ack(self, work: Work) -> str:
        """What an ack means in this work, for people."""

    @abstractmethod
    def settings(self) -> str:
        """How the server runs, in one line for people."""

    def drive(self, work: Work, topic: str) -> dict[str, Any]:
        """One run; returns the driver's line."""
        out = run(self.command(work, topic), DRIVE_SECONDS)
        lines = [line for line in out.splitlines() if line.strip()]
        try:
            line = json.loads(lines[-1])
        except (IndexError, ValueError) as error:
            raise BenchError(f"the driver printed no JSON line but {out[-200:]!r}") from error
        if not isinstance(line, dict):
            raise BenchError(f"the driver printed no JSON object but {lines[-1][:200]}")
        return line


def release(places: Places, *binaries: str) -> Path:
    """Builds binaries of this tree in release and returns their directory; `FLYMQ_BENCH_BIN` names one where they are built already."""
    ready = os.environ.get("FLYMQ_BENCH_BIN")
    if ready:
        return Path(ready)
    words = [word for binary in binaries for word in ("--bin", binary)]
    run(["cargo", "build", "--release", "--locked", *words], BUILD_SECONDS, cwd=places.root)
    return Path(os.environ.get("CARGO_TARGET_DIR", places.root / "target")) / "release"


def options(work: Work, topic: str, acks: str) -> list[str]:
    """The part of the command line that all drivers share, from the subcommand on (tests/bench/README.md)."""
    if work.kind == "consume":
        return ["consume", "--topic", topic, "--messages", str(work.messages), "--connections", "1"]
    if work.kind == "e2e":
        words = ["e2e", "--rate", str(work.rate), "--seconds", str(work.seconds)]
    else:
        words = ["produce", "--messages", str(work.messages), "--producers", str(work.producers)]
        words += ["--connections", str(work.producers), "--in-flight", str(work.in_flight)]
    return [*words, "--topic", topic, "--size", str(work.size), "--acks", acks, "--warmup", str(work.warmup)]
