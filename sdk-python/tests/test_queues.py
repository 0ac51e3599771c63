"""Handlers that fail, and queue mode: each message is answered for, and comes to an end."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Callable

import pytest
from lossy_proxy import LossyProxy
from pyflymq import AsyncFlyMQClient, ConsumedMessage, ConsumerGroup, FlyMQClient
from pyflymq.exceptions import ClosedError, FlyMQError, InvalidArgumentError, RecordNotHeldError


def fill(client: FlyMQClient, topic: str, count: int) -> None:
    client.produce_batch(topic, [f"v{n}" for n in range(count)])


def wait_for(condition: Callable[[], object]) -> None:
    ended = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ended
        time.sleep(0.02)


def test_a_message_whose_handler_raises_comes_again_and_is_a_dead_letter_in_the_end(
    client: FlyMQClient, topic: str, group: str
) -> None:
    fill(client, topic, 4)
    seen: list[str] = []

    def handle(message: ConsumedMessage) -> None:
        seen.append(message.decode())
        if message.decode() == "v1" and seen.count("v1") < 2:
            raise RuntimeError("not yet")
        if message.decode() == "v2":
            raise RuntimeError("never")

    settings = {"auto_offset_reset": "earliest", "max_retries": 1, "retry_delay_ms": 10}
    with ConsumerGroup(client, topic, group, handle, **settings):
        wait_for(lambda: client.fetch_dlq(topic, max_messages=5) and len(seen) == 6)
    assert sorted(seen) == ["v0", "v1", "v1", "v2", "v2", "v3"]
    (letter,) = client.fetch_dlq(topic, max_messages=5)
    assert (letter.message.value, letter.error, letter.attempts) == (b"v2", "RuntimeError: never", 2)
    assert client.call("GetLag", group=group, topic=topic)["total"] == 0


def test_a_group_goes_on_when_the_broker_is_there_again(
    client: FlyMQClient, address: str, topic: str, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(client, topic, 1)
    seen: list[str] = []
    settings = {"max_retries": 0, "connect_timeout_ms": 1_000}
    with LossyProxy(address, every=1 << 30) as proxy, FlyMQClient(proxy.address, **settings) as through:
        group_settings = {"auto_offset_reset": "earliest", "session_timeout_ms": 2_000}
        with ConsumerGroup(through, topic, group, lambda m: seen.append(m.decode()), **group_settings) as running:
            wait_for(lambda: seen)
            proxy.cut()
            wait_for(lambda: "tries again" in caplog.text)
            proxy.mend()
            client.produce(topic, "after")
            wait_for(lambda: "after" in seen)
            assert running.error is None


def test_a_group_ends_with_what_does_not_pass(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic, 1)
    with pytest.raises(FlyMQError) as ended, ConsumerGroup(client, "no such topic/", group, print) as running:
        wait_for(lambda: running.error)
    assert not ended.value.retryable


def test_another_member_takes_what_failed(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic, 1)
    failed, again = threading.Event(), threading.Event()

    def fail(_: ConsumedMessage) -> None:
        failed.set()
        raise RuntimeError("mine")

    with ConsumerGroup(client, topic, group, fail, auto_offset_reset="earliest", retry_delay_ms=600_000):
        assert failed.wait(20)
    # The redelivery is not due for long; a message that comes meanwhile is not held up by it.
    seen: list[str] = []

    def keep(message: ConsumedMessage) -> None:
        seen.append(message.decode())
        again.set()

    with ConsumerGroup(client, topic, group, keep):
        client.produce(topic, "next")
        assert again.wait(20)
    assert seen == ["next"]
    assert client.call("GetLag", group=group, topic=topic)["total"] == 1, "the failed one is still to be processed"


def test_a_queue_gives_each_message_to_one_reader(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic, 6)
    with client.queue(topic, group, retry_delay_ms=0, max_retries=1) as one, client.queue(topic, group) as other:
        v0, v1, v2, v3 = one.poll(10_000, 4)
        rest = other.poll(10_000)
        assert [m.decode() for m in (v0, v1, v2, v3, *rest)] == [f"v{n}" for n in range(6)]
        one.accept([v0, v1])
        with pytest.raises(RecordNotHeldError) as over:
            one.accept(v0)
        assert over.value.hint
        with pytest.raises(RecordNotHeldError):
            other.accept(v2)
        one.extend([v2, v3])
        one.release(v3)
        one.reject(v2, "no use")
        (v3,) = other.poll(10_000)
        assert (v3.decode(), v3.delivery_count) == ("v3", 1), "given back, not failed"
        other.accept([v3, rest[0]])
        # It fails twice.
        other.release(rest[1])
        (v5,) = one.poll(10_000)
        assert one.nack(v5, "boom") == (1, False, 0)
        (v5,) = one.poll(10_000)
        assert v5.delivery_count == 2
        assert one.nack(v5, "boom again").dead_lettered
        assert one.poll(timeout_ms=1) == []
    letters = {letter.message.decode(): (letter.error, letter.reason) for letter in client.fetch_dlq(topic, 10)}
    assert letters == {"v2": ("no use", "rejected"), "v5": ("boom again", "max_retries_exceeded")}
    with pytest.raises(ClosedError):
        one.poll(timeout_ms=1)
    with pytest.raises(InvalidArgumentError):
        client.queue(topic, group, auto_offset_reset="somewhere")


def test_close_gives_back_what_is_held(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic, 2)
    with client.queue(topic, group) as queue:
        assert len(queue.poll(10_000)) == 2
    with client.queue(topic, group) as queue:
        assert [m.delivery_count for m in queue.poll(10_000)] == [1, 1]


def test_locks_are_extended_while_the_reader_works(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic, 2)
    with client.queue(topic, group, lock_ms=1_000) as works:
        held = works.poll(10_000, 1)
        with client.queue(topic, group, lock_ms=1_000, hold_ms=0) as forgets, client.queue(topic, group) as third:
            forgotten = forgets.poll(10_000, 1)
            assert [m.decode() for m in held + forgotten] == ["v0", "v1"]
            # The lock of the one that is not extended ends, and counts as a failure.
            (again,) = third.poll(20_000, 1)
            assert (again.decode(), again.delivery_count) == ("v1", 2)
            assert third.poll(timeout_ms=1_500) == [], "the other one is held on"
            third.accept(again)
        works.accept(held)


def test_run_answers_for_each_message(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic, 3)
    queue = client.queue(topic, group, max_retries=1, retry_delay_ms=0)
    seen: list[str] = []

    def handle(message: ConsumedMessage) -> None:
        seen.append(message.decode())
        if message.decode() == "v1":
            raise RuntimeError("never")

    thread = threading.Thread(target=queue.run, args=(handle,))
    thread.start()
    wait_for(lambda: client.fetch_dlq(topic, 5) and len(seen) == 4)
    queue.close()
    thread.join(20)
    assert not thread.is_alive()
    assert sorted(seen) == ["v0", "v1", "v1", "v2"]


def test_an_ordered_queue_keeps_the_order_of_a_key(client: FlyMQClient, topic: str, group: str) -> None:
    client.produce_batch(topic, [("a", "a1"), ("a", "a2"), ("b", "b1")])
    with client.queue(topic, group, ordered=True) as queue:
        first = queue.poll(10_000)
        assert [m.decode() for m in first] == ["a1", "b1"]
        queue.accept(first)
        assert [m.decode() for m in queue.poll(10_000)] == ["a2"]


def test_asyncio(address: str, client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic, 3)

    async def run() -> None:
        async with AsyncFlyMQClient(address) as one, one.queue(topic, group, retry_delay_ms=0) as queue:
            (v0,) = await queue.poll(10_000, 1)
            await queue.extend(v0)
            await queue.accept(v0)
            v1 = await anext_of(queue)
            assert (await queue.nack(v1, "boom")).attempts == 1
            again = await anext_of(queue)
            assert (again.decode(), again.delivery_count) == ("v1", 2)
            await queue.reject(again, "no use")
            await queue.release(await anext_of(queue))

    async def anext_of(queue: object) -> ConsumedMessage:
        async for message in queue:  # type: ignore[attr-defined]
            return message
        raise AssertionError

    asyncio.run(run())
    assert [letter.error for letter in client.fetch_dlq(topic, 5)] == ["no use"]
