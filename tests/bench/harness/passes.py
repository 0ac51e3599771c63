"""The passes: every broker up over empty directories, then each work on each of them in turn."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import environment
from .model import Footprint, Run, Work
from .peers.base import Peer, Places
from .process import BenchError


class Bench:
    """One benchmark: `passes` times all `works` on all `peers`. Data lies under `scratch` while it runs and is removed after."""

    def __init__(self, root: Path, peers: Sequence[Peer], works: Sequence[Work], passes: int, scratch: Path, alone: bool = False) -> None:
        # Whether only one peer is up at a time: clusters at rest are not idle.
        self._alone = alone
        self._root = root
        self._peers = list(peers)
        self._works = list(works)
        self._passes = passes
        self._scratch = scratch
        self._runs: list[Run] = []
        self._footprints: list[Footprint] = []
        self._skipped: dict[str, str] = {}

    def run(self, command: Sequence[str]) -> dict[str, Any]:
        """Everything; returns what `report` reads and what is kept as raw results."""
        tools = self._root / ".tools"
        tools.mkdir(exist_ok=True)
        self._scratch.mkdir(parents=True, exist_ok=True)
        if self._works:
            self._prepare(Places(self._root, tools, self._scratch))
        began = datetime.now(UTC)
        facts = environment.describe(self._scratch)
        for number in range(1, self._passes + 1 if self._works else 1):
            data = Path(tempfile.mkdtemp(prefix="data-", dir=self._scratch))
            try:
                self._one_pass(number, Places(self._root, tools, data))
            finally:
                shutil.rmtree(data, ignore_errors=True)
        return {
            "date": f"{began:%Y-%m-%d %H:%M} UTC",
            "minutes": round((datetime.now(UTC) - began).total_seconds() / 60, 1),
            "command": " ".join(command),
            "passes": self._passes,
            "environment": facts,
            "skipped": self._skipped,
            "works": [asdict(work) for work in self._works],
            "peers": [facts for peer in self._peers if (facts := self._peer_facts(peer))["version"]],
            "footprints": [asdict(footprint) for footprint in self._footprints],
            "runs": [run.to_json() for run in self._runs],
        }

    def _prepare(self, places: Places) -> None:
        ready = []
        for peer in self._peers:
            _say(f"preparing {peer.title}")
            try:
                peer.prepare(places)
                ready.append(peer)
            except BenchError as error:
                self._skip(peer, f"not available: {error}")
        if not ready:
            raise BenchError("no peer is available")
        self._peers = ready

    def _one_pass(self, number: int, places: Places) -> None:
        if not self._alone:
            return self._together(number, places, self._peers)
        turn = (number - 1) % len(self._peers)
        for peer in self._peers[turn:] + self._peers[:turn]:
            self._together(number, places, [peer])

    def _together(self, number: int, places: Places, peers: Sequence[Peer]) -> None:
        with ExitStack() as stack:
            up = []
            for peer in peers:
                try:
                    peer.start(places, stack)
                    up.append(peer)
                except BenchError as error:
                    self._skip(peer, f"pass {number}: {error}")
            at_rest = {peer.name: _memory(peer, "VmRSS") for peer in up}
            for at, work in enumerate(self._works):
                # Each work begins with another peer, so that nobody always runs after the same neighbour.
                turn = (number - 1 + at) % max(1, len(up))
                for peer in (one for one in up[turn:] + up[:turn] if one.does(work)):
                    self._runs.append(self._one_run(number, peer, work))
            for peer in up:
                if peer.main:
                    took = Footprint(peer.name, number, peer.main.ready_ms, at_rest[peer.name], _memory(peer, "VmHWM"))
                    self._footprints.append(took)

    def _one_run(self, number: int, peer: Peer, work: Work) -> Run:
        # What the neighbour before has left dirty is written back now, not during this run.
        os.sync()
        began = time.monotonic()
        try:
            run = Run(peer.name, work.name, number, peer.drive(work, work.reads or work.name))
        except BenchError as error:
            run = Run(peer.name, work.name, number, error=str(error))
        _say(f"pass {number}/{self._passes}  {work.name:17}  {peer.name:6}  {_brief(run, work)}  ({time.monotonic() - began:.1f} s)")
        return run

    def _skip(self, peer: Peer, reason: str) -> None:
        _say(f"{peer.title}: {reason}")
        self._skipped.setdefault(peer.title, reason)

    def _peer_facts(self, peer: Peer) -> dict[str, Any]:
        mine = [run for run in self._runs if run.peer == peer.name and run.line]
        return {
            "name": peer.name,
            "title": peer.title,
            "version": mine[0].line.get("version", "") if mine else "",
            "settings": peer.settings(),
            "acks": {work.name: peer.ack(work) for work in self._works if peer.does(work)},
        }


def _memory(peer: Peer, field: str) -> float:
    return peer.main.memory_mib(field) if peer.main else 0.0


def _brief(run: Run, work: Work) -> str:
    if run.error:
        return f"FAILED: {run.error.splitlines()[-1][-300:]}"
    rate, p50, p99 = (run.figure(name) for name in ("msgs_per_s", "p50_us", "p99_us"))
    if work.by_latency and p50 is not None and p99 is not None:
        return f"p50 {p50:,.0f} µs, p99 {p99:,.0f} µs"
    return f"{rate or 0:,.0f} msg/s"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
