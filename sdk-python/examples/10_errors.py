"""Failures say what to do next."""

import os

from pyflymq import connect
from pyflymq.exceptions import ConnectionError, FlyMQError, TopicNotFoundError

SERVERS = os.environ.get("FLYMQ_ADDR", ":memory:")  # without an address: a broker in this process

with connect(SERVERS) as client:
    try:
        client.consume("no-such-topic", 0)
    except TopicNotFoundError as error:
        print(error.message, "->", error.hint)
    try:
        client.produce("orders", b"x", partition=99)
    except FlyMQError as error:
        print(error.code, "retryable" if error.retryable else "not retryable", "->", error.hint)
try:
    connect("127.0.0.1:1", max_retries=0)
except ConnectionError as error:
    print(error.hint)
