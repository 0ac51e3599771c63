"""What the clusters are given. Every ack of FlyMQ is `acks=all`."""

from __future__ import annotations

from ..model import Work
from ..works import IN_FLIGHT, KIB

RATE = 1_000
BATCH_KIB = 256


def works(quick: bool, scale: float) -> list[Work]:
    """All of them, in running order."""

    def count(full: int, short: int) -> int:
        return max(200, int((short if quick else full) * scale))

    seconds = max(1, int((4 if quick else 8) * scale))
    big, warm = count(300_000, 100_000), count(60_000, 30_000)
    batch = f"{BATCH_KIB} KiB"
    return [
        Work("rf3-produce", "Produce, 1 KiB, RF 3", "produce", KIB, big, warm, in_flight=IN_FLIGHT),
        Work("rf3-sync", "Sync produce, 1 KiB, one in flight, RF 3", "sync", KIB, count(4_000, 2_000), count(2_000, 1_000)),
        Work("rf3-e2e", f"End to end at {RATE:,} msg/s, 1 KiB, RF 3", "e2e", KIB, 0, count(3_000, 2_000), rate=RATE, seconds=seconds),
        Work(
            "rf3-produce-fsync",
            "As the first, Kafka with flush.messages=1",
            "produce",
            KIB,
            count(100_000, 30_000),
            count(20_000, 5_000),
            in_flight=IN_FLIGHT,
            flushed=True,
        ),
        Work("rf3-sync-fsync", "As sync, Kafka with flush.messages=1", "sync", KIB, count(1_000, 500), count(500, 200), flushed=True),
        Work("disk-3", "The disk under three: write 1 KiB, fdatasync", "disk", KIB, count(2_000, 800), 0),
        Work(
            "disk-3-batched", f"The disk under three: write {batch}, fdatasync, in messages of 1 KiB", "disk", BATCH_KIB * KIB, count(1_000, 400), 0
        ),
    ]
