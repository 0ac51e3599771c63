"""Store a message and read it back."""

import os

from pyflymq import connect

SERVERS = os.environ.get("FLYMQ_ADDR", ":memory:")  # without an address: a broker in this process

with connect(SERVERS) as client:
    stored = client.produce("greetings", b"Hello, FlyMQ!")
    print(f"stored in partition {stored.partition} at offset {stored.offset}")
    print(client.consume("greetings", stored).decode())
