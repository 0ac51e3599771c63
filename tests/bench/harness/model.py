"""What is measured: the works, one run's result, and the summary of several runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["produce", "consume", "sync", "e2e", "fsync", "disk"]


@dataclass(frozen=True)
class Work:
    """One piece of work that every peer gets. `messages` is for all producers together; `reads` names the work whose topic is consumed."""

    name: str
    title: str
    kind: Kind
    size: int
    messages: int
    warmup: int
    producers: int = 1
    in_flight: int = 1
    rate: int = 0
    seconds: int = 0
    reads: str = ""
    flushed: bool = False
    """Only for peers that sync before an ack where they are told to."""

    @property
    def waits(self) -> bool:
        """Whether a message must leave at once: its latency is what counts, or the producer waits for its ack."""
        return self.kind != "consume" and self.in_flight == 1

    @property
    def by_latency(self) -> bool:
        """Whether the headline figure is a latency, not a rate."""
        return self.kind in ("sync", "e2e")


@dataclass(frozen=True)
class Run:
    """One driver run: the line that the driver printed, or why there is none."""

    peer: str
    work: str
    round: int
    line: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    def figure(self, name: str) -> float | None:
        """A number from the driver's line; None where the run failed or the work has no such figure."""
        value = self.line.get(name)
        return float(value) if isinstance(value, int | float) else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Footprint:
    """What one server took in one pass: time until ready, memory at rest before the first work, most memory after the last."""

    peer: str
    round: int
    ready_ms: float
    rest_mib: float
    peak_mib: float


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of one figure over the passes."""

    low: float
    median: float
    high: float
    runs: int


def spread(runs: Sequence[Run], peer: str, work: str, figure: str) -> Spread | None:
    """The spread of one figure of one peer and work; None where no run has it."""
    return spread_of([value for run in runs if (run.peer, run.work) == (peer, work) and (value := run.figure(figure)) is not None])


def spread_of(values: Sequence[float]) -> Spread | None:
    """The spread of these values; None if there are none."""
    if not values:
        return None
    return Spread(min(values), statistics.median(values), max(values), len(values))


def shortened(value: float) -> str:
    """A figure for people: 1.25M, 128.0k, 9,633."""
    million, ten_thousand = 1e6, 1e4
    if value >= million:
        return f"{value / million:.2f}M"
    return f"{value / 1e3:.1f}k" if value >= ten_thousand else f"{value:,.0f}"
