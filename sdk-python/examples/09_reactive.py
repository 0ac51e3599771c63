"""Topics as reactivex streams."""

import os
import threading

import reactivex
from pyflymq import ReactiveConsumer, ReactiveProducer, connect

SERVERS = os.environ.get("FLYMQ_ADDR", ":memory:")  # without an address: a broker in this process
done = threading.Event()

with connect(SERVERS) as client:
    producer = ReactiveProducer(client, "ticks")
    reactivex.of("tick", "tack", "tock").pipe(producer.publish()).subscribe(lambda m: print("stored at", m.offset))
    consumer = ReactiveConsumer(client, "ticks", "clock", auto_offset_reset="earliest")
    consumer.subscribe(
        on_next=lambda m: (print(m.decode()), m.offset == 2 and done.set()),
        on_error=lambda error: print("failed:", error),
        on_completed=lambda: print("completed"),
    )
    done.wait(30)
    consumer.stop()
