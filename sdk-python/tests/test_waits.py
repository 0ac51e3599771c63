"""What a wait must not do: hold the interpreter, ignore Ctrl-C, leak."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import tracemalloc

import pytest
from pyflymq import FlyMQClient

# Each waits for something that never comes, and says that it is about to.
WAITS = {
    "poll": "client.consumer('t', 'g').poll(timeout_ms=60_000)",
    "iteration": "next(client.consumer('t', 'g'))",
    "fetch": "client.fetch('t', max_wait_ms=25_000)",
    "future": "producer = client.producer(linger_ms=60_000); producer.send('t', b'x').get(timeout_ms=60_000)",
    "connect": "slow = __import__('socket').create_server(('127.0.0.1', 0)); "
    "connect('127.0.0.1:%d' % slow.getsockname()[1], connect_timeout_ms=60_000)",
}

SCRIPT = """
import faulthandler; faulthandler.dump_traceback_later(50, exit=True)
# A parent in the background leaves its children deaf to Ctrl-C.
import signal; signal.signal(signal.SIGINT, signal.default_int_handler)
from pyflymq import connect
with connect(":memory:") as client:
    client.create_topic("t")
    try:
        print("waiting", flush=True)
        {wait}
        print("ended", flush=True)
    except KeyboardInterrupt:
        print("interrupted", client.list_topics(), flush=True)
"""


@pytest.mark.parametrize("name", WAITS)
def test_ctrl_c_ends_every_wait(name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(wait=WAITS[name])], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=45)
    assert rest == "interrupted ['t']\n", rest
    assert process.returncode == 0


def test_other_threads_run_while_one_waits(local: FlyMQClient, topic: str) -> None:
    local.create_topic(topic)
    counted = 0
    running, enough = threading.Event(), threading.Event()

    def count() -> None:
        nonlocal counted
        running.set()
        while not enough.is_set():
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    running.wait()
    before = counted
    with local.consumer(topic, "nobody") as consumer:
        assert consumer.poll(timeout_ms=300) == []
    during = counted - before
    enough.set()
    thread.join()
    # With the interpreter held, the other thread would have counted nothing at all.
    assert during > 1_000


def test_messages_do_not_pile_up(local: FlyMQClient, topic: str) -> None:
    local.produce_batch(topic, [b"x" * 1_000] * 200)

    def work() -> None:
        for _ in range(20):
            assert len(local.fetch(topic, max_messages=200).messages) == 200

    work()
    gc.collect()
    tracemalloc.start()
    first = tracemalloc.take_snapshot()
    work()
    gc.collect()
    grown = sum(change.size_diff for change in tracemalloc.take_snapshot().compare_to(first, "filename"))
    tracemalloc.stop()
    # 20 fetches carry 4 MB of values; what stays is the tracer's own.
    assert grown < 400_000, f"{grown} bytes stayed"


def test_closed_clients_free_their_sockets(memory_broker: object) -> None:
    import os

    def sockets() -> int:
        return len(os.listdir("/proc/self/fd"))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc here")
    for _ in range(3):
        FlyMQClient(memory_broker.address).close()
    before = sockets()
    for _ in range(30):
        client = FlyMQClient(memory_broker.address)
        client.list_topics()
        client.close()
    deadline = threading.Event()
    for _ in range(200):
        if sockets() <= before + 4:
            break
        deadline.wait(0.05)
    assert sockets() <= before + 4
