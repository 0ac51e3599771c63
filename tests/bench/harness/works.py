"""The list of works, in the order they run; `quick` and `--scale` only change the counts."""

from __future__ import annotations

from .model import Work

KIB = 1024
IN_FLIGHT = 4_000
RATE = 5_000


def works(quick: bool, scale: float) -> list[Work]:
    """All works. Counts are multiplied by `scale` (for trying the harness itself), never below 200 messages."""

    def count(full: int, short: int) -> int:
        return max(200, int((short if quick else full) * scale))

    warm = count(100_000, 50_000)
    sync_warm = count(20_000, 5_000)
    seconds = max(1, int((4 if quick else 20) * scale))
    big = count(1_000_000, 300_000)
    small = count(3_000_000, 600_000)
    listed = [
        Work("produce-1k", "Produce, 1 KiB", "produce", KIB, big, warm, in_flight=IN_FLIGHT),
        Work("consume-1k", "Consume, 1 KiB", "consume", KIB, big, warm, reads="produce-1k"),
        Work("produce-100", "Produce, 100 B", "produce", 100, small, warm, in_flight=IN_FLIGHT),
        Work("consume-100", "Consume, 100 B", "consume", 100, small, warm, reads="produce-100"),
        Work("sync", "Sync produce, 1 KiB, one in flight", "sync", KIB, count(50_000, 10_000), sync_warm),
        Work("e2e", f"End to end at {RATE:,} msg/s, 1 KiB", "e2e", KIB, 0, count(20_000, 10_000), rate=RATE, seconds=seconds),
    ]
    listed.append(Work("disk", "The disk alone: write 1 KiB, fdatasync, one thread", "disk", KIB, count(3_000, 800), 0))
    for producers, full, short in ((1, 3_000, 800), (8, 8_000, 2_000), (64, 20_000, 3_000)):
        plural = "producer" if producers == 1 else "producers"
        title = f"fsync before each ack, {producers} {plural}, 1 KiB"
        listed.append(Work(f"fsync-{producers}", title, "fsync", KIB, count(full, short), count(500, 200), producers=producers))
    title = "fsync before each ack, one connection, batched, 1 KiB"
    listed.append(Work("fsync-batched", title, "fsync", KIB, count(100_000, 20_000), count(2_000, 1_000), in_flight=IN_FLIGHT))
    return listed


def choose(listed: list[Work], names: list[str]) -> list[Work]:
    """The works named, plus those whose topics they read, in running order; all of them if none is named."""
    known = {work.name for work in listed}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"unknown work {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    wanted = set(names) | {work.reads for work in listed if work.name in names}
    return [work for work in listed if not names or work.name in wanted]
