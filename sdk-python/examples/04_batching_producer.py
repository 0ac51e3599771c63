"""Send many messages in batches, and hear how each of them went."""

import os

from pyflymq import connect

SERVERS = os.environ.get("FLYMQ_ADDR", ":memory:")  # without an address: a broker in this process

with connect(SERVERS) as client, client.producer(batch_size=500, linger_ms=10) as producer:
    for n in range(5_000):
        producer.send("measurements", f"{n}", on_error=lambda error: print("lost:", error))
    last = producer.send("measurements", "last")
    producer.flush()
    print("last offset:", last.get(timeout_ms=5_000).offset)
