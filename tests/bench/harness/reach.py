"""What FlyMQ set out to reach, as a ratio to a peer of the same run, and what it reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .model import Run, spread

# Iggy is in no package registry. On a quiet machine of this kind it did 3.7 times NATS and 4.5 times Kafka at 1 KiB produce,
# 13.4 and 5.9 times at 100 B, and 4.2 and 3.9 times at 1 KiB consume; its ratios are taken from there, and marked.
IGGY = {("produce-1k", "nats"): 3.7, ("produce-1k", "kafka"): 4.5, ("produce-100", "nats"): 13.4, ("produce-100", "kafka"): 5.9}
IGGY |= {("consume-1k", "nats"): 4.2, ("consume-1k", "kafka"): 3.9}


@dataclass(frozen=True)
class Goal:
    """`work` of FlyMQ against `other` (or the same work) of `peer`: at least `bound` times as much, or at most where `most`."""

    title: str
    work: str
    peer: str
    bound: float
    figure: str = "msgs_per_s"
    other: str = ""
    most: bool = False

    def ratio(self, runs: Sequence[Run]) -> float | None:
        """Median by median; None where one of them is missing."""
        mine = spread(runs, "flymq", self.work, self.figure)
        theirs = spread(runs, self.peer, self.other or self.work, self.figure)
        if mine is None or theirs is None or theirs.median == 0:
            return None
        return mine.median / theirs.median


GOALS = (
    Goal("produce 1 KiB to the bare loop", "produce-1k", "bare", 0.6),
    Goal("produce 1 KiB to Kafka", "produce-1k", "kafka", 10),
    Goal("produce 1 KiB to NATS", "produce-1k", "nats", 8),
    Goal("produce 1 KiB to 2.5 times Iggy, by way of NATS", "produce-1k", "nats", 2.5 * IGGY["produce-1k", "nats"]),
    Goal("produce 1 KiB to 2.5 times Iggy, by way of Kafka", "produce-1k", "kafka", 2.5 * IGGY["produce-1k", "kafka"]),
    Goal("produce 100 B to 1.2 times Iggy, by way of NATS", "produce-100", "nats", 1.2 * IGGY["produce-100", "nats"]),
    Goal("produce 100 B to 1.2 times Iggy, by way of Kafka", "produce-100", "kafka", 1.2 * IGGY["produce-100", "kafka"]),
    Goal("batched with fsync to the bare loop with fsync", "fsync-batched", "bare", 0.6),
    Goal("batched with fsync to NATS without", "fsync-batched", "nats", 1, other="produce-1k"),
    Goal("batched with fsync to Kafka without", "fsync-batched", "kafka", 1, other="produce-1k"),
    Goal("batched with fsync to Redis without", "fsync-batched", "redis", 1, other="produce-1k"),
    Goal("consume 1 KiB to Kafka", "consume-1k", "kafka", 5),
    Goal("consume 1 KiB to NATS", "consume-1k", "nats", 5),
    Goal("consume 1 KiB to 1.5 times Iggy, by way of NATS", "consume-1k", "nats", 1.5 * IGGY["consume-1k", "nats"]),
    Goal("consume 1 KiB to 1.5 times Iggy, by way of Kafka", "consume-1k", "kafka", 1.5 * IGGY["consume-1k", "kafka"]),
    Goal("sync produce p50 to NATS", "sync", "nats", 0.8, figure="p50_us", most=True),
    Goal("sync produce p99 to NATS", "sync", "nats", 0.5, figure="p99_us", most=True),
    Goal("fsync per ack, 1 producer, to the disk alone", "fsync-1", "bare", 0.8, other="disk"),
    Goal("fsync per ack, 64 producers, to NATS", "fsync-64", "nats", 15),
    Goal("fsync per ack, 64 producers, to Redis", "fsync-64", "redis", 1),
    Goal("end to end p50 to NATS", "e2e", "nats", 0.5, figure="p50_us", most=True),
    Goal("end to end p99 to NATS", "e2e", "nats", 0.1, figure="p99_us", most=True),
)

# FlyMQ with an ack from the disks of all in-sync replicas, the peers with one from page caches.
CLUSTER_GOALS = (
    Goal("produce 1 KiB at RF 3 to Kafka, which does not sync", "rf3-produce", "kafka", 5),
    Goal("produce 1 KiB at RF 3 to NATS, which does not sync", "rf3-produce", "nats", 4),
    Goal("produce 1 KiB at RF 3 to Kafka that syncs (no goal was set)", "rf3-produce", "kafka", 1, other="rf3-produce-fsync"),
    Goal("produce 1 KiB at RF 3 to what the disk gives each of three writers", "rf3-produce", "bare", 0.6, other="disk-3-batched"),
    Goal("sync produce p50 at RF 3 to NATS, which does not sync", "rf3-sync", "nats", 1.5, figure="p50_us", most=True),
    Goal("sync produce p50 at RF 3 to one write and fdatasync beside two others", "rf3-sync", "bare", 3, figure="p50_us", other="disk-3", most=True),
)


def table(runs: Sequence[Run], goals: Sequence[Goal] = GOALS) -> Iterator[str]:
    """The goals in Markdown; those whose runs are missing are left out."""
    rows = [(goal, ratio) for goal in goals if (ratio := goal.ratio(runs)) is not None]
    if not rows:
        return
    yield "Set out for and reached, as ratios of medians of this run:"
    yield ""
    yield "| FlyMQ's | set out for | reached | |"
    yield "|---|---|---|---|"
    for goal, ratio in rows:
        yield f"| {goal.title} | {_bound(goal.bound, goal.most)} | **{ratio:.2f}** | {mark(ratio, goal.bound, goal.most)} |"


def mark(value: float, bound: float, most: bool) -> str:
    """Whether a figure keeps its bound, in a word."""
    return "reached" if (value <= bound if most else value >= bound) else "not reached"


def _bound(bound: float, most: bool) -> str:
    return f"{'at most' if most else 'at least'} {bound:.4g}"
