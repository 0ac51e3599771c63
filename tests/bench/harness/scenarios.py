"""What is asked of FlyMQ alone: how it bears partitions, a cold cache, a restart with much data, encryption; what compression gains.

Each scenario starts its own servers, repeats itself three times with the two sides in turn, and gives one figure for each repetition.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .peers.base import DRIVE_SECONDS, release
from .peers.base import Places as Places
from .peers.flymq import Up, bring_up
from .process import BenchError, run

REPEAT = 3
KIB = 1024
GIB = 1 << 30
BLOCK = 1 << 20
BINARIES = ("flymq", "flymq-cli", "bare-loop")


@dataclass(frozen=True)
class Tools:
    """The binaries, an empty directory on the disk that is measured, and whether it has to be quick."""

    server: Path
    cli: Path
    bare: Path
    scratch: Path
    quick: bool

    def bench(self, up: Up, *words: str) -> dict[str, Any]:
        """One run of the driver; its JSON line."""
        out = run([self.cli, "--servers", up.address, "-o", "json", "bench", *words], DRIVE_SECONDS)
        line = json.loads(out.splitlines()[-1])
        if line["errors"]:
            raise BenchError(f"{line['errors']} messages were not acked")
        return dict(line)

    def produce(self, up: Up, topic: str, messages: int, *words: str) -> float:
        """Messages of 1 KiB a second, acks=leader, 4,000 in flight on one connection."""
        given = ["--topic", topic, "--messages", str(messages), "--warmup", str(min(messages // 4, 20_000)), *words]
        return float(self.bench(up, "produce", *given)["msgs_per_s"])


class Scenario(ABC):
    """One question with one figure as its answer."""

    name: str
    title: str
    how: str
    goal: str
    bound: float
    unit: str = ""
    most: bool = False

    @abstractmethod
    def once(self, tools: Tools, home: Path) -> float:
        """One repetition over an empty directory."""

    def result(self, values: list[float], error: str) -> dict[str, Any]:
        """What the report and the raw results keep."""
        names = ("name", "title", "how", "goal", "bound", "unit", "most")
        return {**{name: getattr(self, name) for name in names}, "values": values, "error": error}


class Partitions(Scenario):
    """Batches go to the partitions in turn."""

    name = "partitions"
    title = "Produce to 1,000 partitions, as a share of the rate to 1"
    how = "1 KiB, no key, 4,000 in flight; two servers in turn"
    goal = "at least 0.85"
    bound = 0.85

    def once(self, tools: Tools, home: Path) -> float:
        return self._rate(tools, home, 1_000) / self._rate(tools, home, 1)

    def _rate(self, tools: Tools, home: Path, partitions: int) -> float:
        with ExitStack() as stack:
            up = bring_up(stack, tools.server, home / f"p{partitions}")
            # Every partition has its files before the clock starts.
            words = ("--partitions", str(partitions))
            tools.bench(up, "produce", "--topic", "t", "--messages", "50000", *words)
            return tools.produce(up, "t", 200_000 if tools.quick else 1_000_000, *words)


class Recycled(Scenario):
    """A log that has reached its retention by size writes into retired files, as the bare loop always does."""

    goal = "at least 0.6"
    bound = 0.6

    def __init__(self, acks: str) -> None:
        self._acks = acks
        self.name = f"recycled-{acks}"
        self.title = f"Produce into recycled segments, acks={acks}, as a share of the bare loop" + (" with fsync" if acks == "all" else "")
        self.how = "1 KiB, 4,000 in flight, the log kept at 128 MiB; FlyMQ and bare loop in turn"

    def once(self, tools: Tools, home: Path) -> float:
        messages = 500_000 if tools.quick else 1_000_000
        with ExitStack() as stack:
            up = bring_up(stack, tools.server, home)
            words = ("--acks", self._acks, "--retention-bytes", str(128 << 20), "--warmup", "400000")
            line = tools.bench(up, "produce", "--topic", "t", "--messages", str(messages), *words)
        bare = home / "bare"
        bare.mkdir()
        given: list[str | Path] = [tools.bare, "produce", "--topic", "t", "--messages", str(messages), "--acks", self._acks]
        given += ["--in-flight", "4000", "--size", str(KIB), "--warmup", "400000", "--data-dir", bare]
        told = json.loads(run(given, DRIVE_SECONDS).splitlines()[-1])
        return float(line["msgs_per_s"]) / float(told["msgs_per_s"])


class PartitionsMemory(Scenario):
    """Resident memory after a load on all of them."""

    name = "partitions-memory"
    title = "Most memory with 1,000 written partitions"
    how = "peak resident memory (VmHWM) after the load of the row above"
    goal = "at most 150 MiB"
    bound = 150.0
    unit = " MiB"
    most = True

    def once(self, tools: Tools, home: Path) -> float:
        with ExitStack() as stack:
            up = bring_up(stack, tools.server, home)
            tools.produce(up, "t", 250_000, "--partitions", "1000")
            return up.server.memory_mib("VmHWM")


class Cold(Scenario):
    """Needs root: the page cache is dropped before each side reads the same files."""

    name = "cold"
    title = "Consume with cold caches, as a share of reading the files one after the other"
    how = "page cache dropped before each; both in bytes of values or files a second"
    goal = "at least 0.8"
    bound = 0.8

    def once(self, tools: Tools, home: Path) -> float:
        if os.geteuid() != 0:
            raise BenchError("dropping the page cache needs root")
        messages = 500_000 if tools.quick else 2_000_000
        with ExitStack() as stack:
            tools.produce(bring_up(stack, tools.server, home), "t", messages)
        files = sorted(home.rglob("*.log"))
        drop_caches()
        raw = _read_all(files)
        with ExitStack() as stack:
            up = bring_up(stack, tools.server, home)
            drop_caches()
            line = tools.bench(up, "consume", "--topic", "t", "--messages", str(messages))
        return float(line["msgs_per_s"]) * KIB / raw


class Restart(Scenario):
    """A stop in order, then the time from the start of the process to its first "ready"."""

    name = "restart"
    title = "Restart with sealed segments"
    goal = "at most 1,000 ms"
    bound = 1_000.0
    unit = " ms"
    most = True

    def __init__(self, quick: bool) -> None:
        self._bytes = 2 * GIB if quick else 10 * GIB
        self.how = f"{self._bytes // GIB} GiB in segments of 64 MiB; start to ready"

    def once(self, tools: Tools, home: Path) -> float:
        with ExitStack() as stack:
            tools.produce(bring_up(stack, tools.server, home), "t", self._bytes // KIB)
        with ExitStack() as stack:
            return bring_up(stack, tools.server, home).server.ready_ms


class Encryption(Scenario):
    """The same load with and without."""

    name = "encryption"
    title = "Produce with encryption at rest, as a share of the rate without"
    how = "1 KiB, acks=leader, 4,000 in flight; two servers in turn"
    goal = "at least 0.85"
    bound = 0.85

    def once(self, tools: Tools, home: Path) -> float:
        key = os.urandom(32).hex()
        on = {"FLYMQ_ENCRYPTION_ENABLED": "true", "FLYMQ_ENCRYPTION_KEY": key}
        return self._rate(tools, home / "on", on) / self._rate(tools, home / "off", {})

    def _rate(self, tools: Tools, home: Path, env: Mapping[str, str]) -> float:
        with ExitStack() as stack:
            up = bring_up(stack, tools.server, home, env)
            return tools.produce(up, "t", 300_000 if tools.quick else 1_000_000)


class Compression(Scenario):
    """JSON lines as an application logs them; a fixed seed, so that everybody gets the same ones."""

    name = "compression"
    title = "Disk that zstd level 1 saves on JSON lines"
    how = "bytes of the topic's batches without compression, as a multiple of those with"
    goal = "at least 4 times"
    bound = 4.0

    def once(self, tools: Tools, home: Path) -> float:
        lines = home.parent / "events.jsonl"
        lines.parent.mkdir(parents=True, exist_ok=True)
        lines.write_text("".join(_events(60_000)), encoding="utf-8")
        with ExitStack() as stack:
            up = bring_up(stack, tools.server, home)
            plain, packed = (self._stored(tools, up, lines, codec) for codec in ("none", "zstd"))
        return plain / packed

    def _stored(self, tools: Tools, up: Up, lines: Path, codec: str) -> float:
        base: list[str | Path] = [tools.cli, "--servers", up.address, "-o", "json"]
        run([*base, "produce", codec, "--file", lines, "--compression", codec], DRIVE_SECONDS)
        told = json.loads(run([*base, "topic", "describe", codec], 30))
        return float(sum(int(partition["bytes"]) for partition in told["topic"]["partitions"]))


def _events(count: int) -> list[str]:
    """Access log lines with the usual mix of constant names and changing values."""
    paths = ("/api/v1/orders", "/api/v1/orders/search", "/api/v1/users", "/health", "/api/v1/cart/items")
    lines = []
    for i in range(count):
        spread = (i * 2_654_435_761) % 4_294_967_296
        event = {
            "timestamp": f"2026-01-01T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}.{spread % 1000:03}Z",
            "level": ("info", "info", "info", "warn")[spread % 4],
            "service": ("orders", "users", "gateway")[spread % 3],
            "method": ("GET", "GET", "POST")[spread // 7 % 3],
            "path": paths[spread // 11 % len(paths)],
            "status": (200, 200, 200, 404, 500)[spread // 13 % 5],
            "duration_ms": spread // 17 % 900,
            "trace_id": f"{spread * 40_503:016x}",
            "user": f"user-{spread // 19 % 5_000}",
        }
        lines.append(json.dumps(event) + "\n")
    return lines


def drop_caches() -> None:
    """Writes back what is dirty and forgets clean pages, for the whole machine."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="utf-8")
    except OSError as error:
        raise BenchError(f"cannot drop the page cache: {error.strerror}") from error


def _read_all(files: list[Path]) -> float:
    """Bytes a second of a plain sequential read."""
    buffer = bytearray(BLOCK)
    total, began = 0, time.monotonic()
    for path in files:
        with path.open("rb", buffering=0) as file:
            while read := file.readinto(buffer):
                total += read
    return total / (time.monotonic() - began)


def scenarios(quick: bool) -> list[Scenario]:
    """All of them."""
    return [Recycled("leader"), Recycled("all"), Partitions(), PartitionsMemory(), Cold(), Restart(quick), Encryption(), Compression()]


def measure(root: Path, scratch: Path, quick: bool, listed: Sequence[Scenario], chosen: list[str], repeat: int = REPEAT) -> list[dict[str, Any]]:
    """The results of the chosen of them (all if none is named), for the report."""
    scratch.mkdir(parents=True, exist_ok=True)
    built = release(Places(root, root / ".tools", scratch), *BINARIES)
    tools = Tools(built / "flymq", built / "flymq-cli", built / "bare-loop", scratch, quick)
    found = []
    for one in listed:
        if chosen and one.name not in chosen:
            continue
        values: list[float] = []
        error = ""
        for number in range(1, repeat + 1):
            with tempfile.TemporaryDirectory(prefix="scenario-", dir=scratch) as home:
                os.sync()
                try:
                    values.append(one.once(tools, Path(home) / "flymq"))
                except BenchError as failed:
                    error = str(failed)
                    break
            print(f"scenario {one.name:18} {number}/{repeat}  {values[-1]:,.2f}{one.unit}", file=sys.stderr, flush=True)
        if error:
            print(f"scenario {one.name:18} FAILED: {error.splitlines()[-1][-300:]}", file=sys.stderr, flush=True)
        found.append(one.result(values, error))
    return found
