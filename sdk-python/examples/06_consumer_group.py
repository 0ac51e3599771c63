"""A handler that is called with each message, in the background."""

import os
import threading

from pyflymq import ConsumedMessage, ConsumerGroup, connect

SERVERS = os.environ.get("FLYMQ_ADDR", ":memory:")  # without an address: a broker in this process
done = threading.Event()


def handle(message: ConsumedMessage) -> None:
    """Returning means handled; raising keeps the message for the next start."""
    print("handled", message.decode())
    if message.decode() == "job 4":
        done.set()


with connect(SERVERS) as client:
    client.produce_batch("jobs", [f"job {n}" for n in range(5)])
    group = ConsumerGroup(client, topics=["jobs"], group_id="workers", handler=handle, auto_offset_reset="earliest")
    group.start()
    done.wait(30)
    group.stop()
    print("lag:", client.call("GetLag", group="workers", topic="jobs")["total"])
