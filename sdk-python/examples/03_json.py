"""Objects in place of bytes."""

import os

from pyflymq import connect

SERVERS = os.environ.get("FLYMQ_ADDR", ":memory:")  # without an address: a broker in this process

with connect(SERVERS) as client:
    client.set_serde("json")
    stored = client.produce("orders", {"id": 1, "items": ["tea", "milk"]}, headers={"source": "web"})
    message = client.consume("orders", stored)
    print(message.decode()["items"], message.header("source"))
