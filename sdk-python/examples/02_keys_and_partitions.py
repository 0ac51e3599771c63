"""Messages with the same key stay in one partition, in order."""

import os

from pyflymq import connect

SERVERS = os.environ.get("FLYMQ_ADDR", ":memory:")  # without an address: a broker in this process

with connect(SERVERS) as client:
    client.create_topic("rides", partitions=3)
    for step in ("requested", "started", "ended"):
        for rider in ("ada", "grace"):
            stored = client.produce("rides", step, key=rider)
            print(f"{rider} {step}: partition {stored.partition}, offset {stored.offset}")
    for partition in range(3):
        for message in client.fetch("rides", partition=partition).messages:
            print(partition, message.decode_key(), message.decode())
