"""Programs that end while calls are under way: the end of the interpreter must not meet a thread of the core."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyflymq import FlyMQClient

# As a program meets its end at another instruction each time.
RUNS = 40

HEAD = """
import faulthandler; faulthandler.dump_traceback_later(50, exit=True)
address, topic, code = {address!r}, {topic!r}, {code}
"""

# Each ends with calls under way, whose results arrive while the interpreter goes away.
PROGRAMS = {
    "asyncio": """
import asyncio, sys
from pyflymq import AsyncFlyMQClient

async def main():
    client = await AsyncFlyMQClient(address).connect()
    async def produce():
        while True:
            await client.produce(topic, b"x")
    tasks = [asyncio.ensure_future(produce()) for _ in range(50)]
    tasks.append(asyncio.ensure_future(client.fetch(topic, max_wait_ms=60_000)))
    tasks.append(asyncio.ensure_future(client.consumer(topic, auto_offset_reset="earliest").poll(60_000)))
    await asyncio.sleep(0)
    await client.produce(topic, b"x")
    sys.exit(code)

asyncio.run(main())
""",
    # Nothing is cancelled: the loop is left as it is, with all results still to come.
    "abandoned loop": """
import asyncio, logging, sys
from pyflymq import AsyncFlyMQClient

loop = asyncio.new_event_loop()
client = loop.run_until_complete(AsyncFlyMQClient(address).connect())
async def start():
    global calls
    calls = [asyncio.ensure_future(client.produce(topic, b"x")) for _ in range(200)]
    await asyncio.sleep(0)
loop.run_until_complete(start())
logging.disable()  # asyncio tells of each task that never ended
sys.exit(code)
""",
    "daemon threads": """
import sys, threading
from pyflymq import FlyMQClient

client = FlyMQClient(address)
running = threading.Semaphore(0)
def produce():
    while True:
        client.produce(topic, b"x")
        running.release()
for _ in range(8):
    threading.Thread(target=produce, daemon=True).start()
for _ in range(8):
    running.acquire()
sys.exit(code)
""",
    "callbacks": """
import sys, threading
from pyflymq import FlyMQClient

client = FlyMQClient(address)
producer = client.producer()
called = threading.Event()
for _ in range(500):
    producer.send(topic, b"x", on_success=lambda _: called.set(), on_error=print)
called.wait()
sys.exit(code)
""",
    "consumers in threads": """
import sys, threading
from pyflymq import ConsumerGroup, FlyMQClient, ReactiveConsumer

client = FlyMQClient(address)
seen = threading.Event()
ReactiveConsumer(client, topic, auto_offset_reset="earliest").subscribe(on_next=lambda _: seen.set())
handled = threading.Event()
ConsumerGroup(client, topics=[topic], group_id="g", handler=lambda _: handled.set()).start()
client.produce_batch(topic, [b"x"] * 50)
seen.wait()
sys.exit(code)
""",
    # Handlers that were registered before the package's own run after it.
    "a handler closes the client": """
import atexit, sys
atexit.register(lambda: (client.list_topics(), client.close(), print("closed")))
from pyflymq import FlyMQClient
client = FlyMQClient(address)
sys.exit(code)
""",
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_end_in_order(name: str, local: FlyMQClient, topic: str) -> None:
    local.create_topic(topic)
    address = local.config.servers()

    def run(number: int) -> tuple[int, str, str]:
        code = number % 2
        program = HEAD.format(address=address, topic=topic, code=code) + PROGRAMS[name]
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=55)
        return done.returncode - code, done.stdout.strip(), done.stderr.strip()

    with ThreadPoolExecutor(4) as pool:
        ended = set(pool.map(run, range(RUNS if "loop" in name or name == "asyncio" else RUNS // 2)))
    assert ended == {(0, "closed" if "handler" in name else "", "")}
