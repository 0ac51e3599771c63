"""Streams the airports into a topic, one message an airport, keyed by its state.

Usage: python stream.py BROKER TOPIC
"""

from __future__ import annotations

import json
import sys

from dataset import PARTITIONS, airports
from pyflymq import connect


def main(broker: str, topic: str) -> None:
    """Sends every row, then to each partition a message without value: that was all."""
    with connect(broker) as client:
        with client.producer(batch_size=200, linger_ms=5) as producer:
            sent = [producer.send(topic, json.dumps(row), key=row["state"]) for row in airports()]
        # The end of the producer's block has flushed it.
        used = sorted({future.get().partition for future in sent})
        for partition in range(PARTITIONS):
            client.produce(topic, None, partition=partition)
    print(f"sent {len(sent)} airports to partitions {used}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
