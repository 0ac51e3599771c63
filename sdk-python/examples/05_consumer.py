"""Read as a group, commit by hand, and go on where the group was."""

import os

from pyflymq import connect

SERVERS = os.environ.get("FLYMQ_ADDR", ":memory:")  # without an address: a broker in this process

with connect(SERVERS) as client:
    client.produce_batch("orders", [f"order {n}" for n in range(6)])
    with client.consumer("orders", "billing", auto_commit=False, auto_offset_reset="earliest") as consumer:
        for message in consumer:
            print("first run:", message.offset, message.decode())
            if message.offset == 2:
                consumer.commit()
                break
    with client.consumer("orders", "billing", auto_commit=False) as consumer:
        for message in consumer.poll(timeout_ms=5_000):
            print("second run:", message.offset, message.decode())
