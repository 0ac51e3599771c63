"""Reads a topic as a member of a group and writes what it makes of it, exactly once, until it is killed."""

from __future__ import annotations

import sys

from pyflymq import connect
from pyflymq.exceptions import ProducerFencedError


def main() -> None:
    address, source, target, group, name = sys.argv[1:]
    with connect(address) as client:
        producer = client.transactional_producer(name)
        consumer = client.consumer(
            source, group, auto_offset_reset="earliest", auto_commit=False, session_timeout_ms=1_000, max_poll_records=7
        )
        while True:
            messages = consumer.poll(timeout_ms=1_000)
            try:
                producer.transform(consumer, messages, lambda message: [(target, message.value, message.value)])
            except ProducerFencedError:
                producer.init()
            print("made", len(messages), flush=True)


if __name__ == "__main__":
    main()
