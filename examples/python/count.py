"""Reads the airports as a consumer group and counts them by state.

Usage: python count.py BROKER TOPIC RESULT
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from dataset import PARTITIONS, lines
from pyflymq import connect

GROUP = "airports-python"


def count(broker: str, topic: str) -> Counter[str]:
    """How many airports each state has: until each partition has said that this was all."""
    states: Counter[str] = Counter()
    ended: set[int] = set()
    with connect(broker) as client, client.consumer(topic, GROUP, auto_offset_reset="earliest") as consumer:
        while len(ended) < PARTITIONS:
            for message in consumer.poll(timeout_ms=1_000):
                if message.tombstone:
                    ended.add(message.partition)
                else:
                    states[message.decode_key() or ""] += 1
        consumer.commit()
    return states


def main(broker: str, topic: str, result: str) -> None:
    """Writes the counts to the result file."""
    states = count(broker, topic)
    Path(result).write_text(lines(states), encoding="utf-8")
    print(f"group {GROUP} counted {sum(states.values())} airports in {len(states)} states", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
