"""Transactional producers: all or nothing, fenced, with the offsets of a group."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyflymq import (
    AsyncConsumer,
    AsyncFlyMQClient,
    AsyncTransactionalProducer,
    ConsumedMessage,
    FlyMQClient,
    HighLevelConsumer,
)
from pyflymq.exceptions import InvalidArgumentError, ProducerFencedError, RebalanceError, TransactionError


def committed(client: FlyMQClient, topic: str) -> list[str]:
    return [message.decode() for message in client.fetch(topic, max_messages=10_000).messages]


def member(client: FlyMQClient, topic: str, group: str) -> HighLevelConsumer:
    return client.consumer(topic, group, auto_offset_reset="earliest", auto_commit=False)


def fail_after(_: object) -> None:
    raise ZeroDivisionError


def polled(consumer: HighLevelConsumer, count: int) -> list[ConsumedMessage]:
    """So many messages at least; the test's time limit ends it otherwise."""
    found: list[ConsumedMessage] = []
    while len(found) < count:
        found += consumer.poll(timeout_ms=1_000)
    return found


def test_a_block_commits_or_aborts(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    with client.transactional_producer(f"{topic}-id") as producer:
        with producer.transaction():
            assert producer.send(topic, "one", key="k").offset == 0
            assert [one.offset for one in producer.send_batch(topic, [(None, "two"), (None, "three")])] == [1, 2]
            assert committed(client, topic) == []
        assert committed(client, topic) == ["one", "two", "three"]
        with pytest.raises(ZeroDivisionError), producer.transaction():
            fail_after(producer.send(topic, "never"))
        with producer.transaction():
            producer.send(topic, "four")
        producer.begin()
        producer.send(topic, "neither")
    assert committed(client, topic) == ["one", "two", "three", "four"]
    consumer = client.consumer(topic, auto_offset_reset="earliest", isolation_level="read_uncommitted")
    with consumer:
        assert {m.decode() for m in polled(consumer, 6)} == {"one", "two", "three", "four", "never", "neither"}


def test_the_next_producer_of_the_id_fences_the_one_before(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    first = client.transactional_producer(f"{topic}-id")
    first.begin()
    first.send(topic, "of the first")
    second = client.transactional_producer(f"{topic}-id")
    with pytest.raises(ProducerFencedError) as fenced:
        first.commit()
    assert (fenced.value.code, isinstance(fenced.value, TransactionError)) == ("PRODUCER_FENCED", True)
    assert fenced.value.hint
    with second.transaction():
        second.send(topic, "of the second")
    assert committed(client, topic) == ["of the second"]
    first.init()
    with first.transaction():
        first.send(topic, "of the first again")
    with pytest.raises(ProducerFencedError), second.transaction():
        second.send(topic, "late")
    assert committed(client, topic) == ["of the second", "of the first again"]


def test_a_transaction_that_is_open_for_too_long_is_aborted(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    producer = client.transactional_producer(f"{topic}-id", transaction_timeout_ms=1_000)
    producer.begin()
    producer.send(topic, "late")
    ended = time.monotonic() + 30
    while client.call("ListTransactions")["transactions"]:
        assert time.monotonic() < ended
    with pytest.raises(TransactionError):
        producer.commit()
    assert committed(client, topic) == []


def test_offsets_count_with_the_messages(client: FlyMQClient, topic: str, group: str) -> None:
    client.produce_batch(topic, ["a", "b"])
    client.create_topic(f"{topic}/made")
    with member(client, topic, group) as consumer, client.transactional_producer(group) as producer:
        messages = polled(consumer, 2)
        with pytest.raises(ZeroDivisionError), producer.transaction(consumer, messages):
            fail_after(producer.send(f"{topic}/made", "half of it"))
        messages = polled(consumer, 2)
        assert [m.decode() for m in messages] == ["a", "b"], "what was not committed comes again"
        with producer.transaction(consumer, messages):
            for message in messages:
                producer.send(f"{topic}/made", message.decode().upper())
        assert committed(client, f"{topic}/made") == ["A", "B"]
        assert client.call("GetOffsets", group=group, topic=topic)["offsets"][0]["offset"] == 2
        producer.begin()
        producer.send_offsets("another", [(topic, 0, 1)])
        producer.commit()
        assert client.call("GetOffsets", group="another", topic=topic)["offsets"][0]["offset"] == 1


def test_transform_is_all_or_nothing(client: FlyMQClient, topic: str, group: str) -> None:
    client.produce_batch(topic, ["a", "b", "c"])
    client.create_topic(f"{topic}/made", 2)
    failing = True

    def make(message: ConsumedMessage) -> list[tuple[str, str, bytes]]:
        if failing and message.decode() == "c":
            raise RuntimeError("mine")
        return [(f"{topic}/made", message.decode() * times, message.value) for times in (1, 2)]

    with member(client, topic, group) as consumer, client.transactional_producer(group) as producer:
        with pytest.raises(RuntimeError, match="mine"):
            producer.transform(consumer, polled(consumer, 3), make)
        failing = False
        producer.transform(consumer, polled(consumer, 3), make)
    made = [m.decode() for p in (0, 1) for m in client.fetch(f"{topic}/made", partition=p, max_messages=10).messages]
    assert sorted(made) == ["a", "aa", "b", "bb", "c", "cc"]
    assert client.call("GetLag", group=group, topic=topic)["total"] == 0


def test_a_member_that_lost_its_partitions_commits_nothing(client: FlyMQClient, topic: str, group: str) -> None:
    client.produce(topic, "a")
    client.create_topic(f"{topic}/made")
    with member(client, topic, group) as consumer, client.transactional_producer(group) as producer:
        messages = polled(consumer, 1)
        (one,) = client.call("DescribeGroup", group=group)["members"]
        client.call("LeaveGroup", group=group, member_id=one["member_id"])
        with pytest.raises(RebalanceError):
            producer.transform(consumer, messages, lambda m: [(f"{topic}/made", m.value)])
        assert committed(client, f"{topic}/made") == []
        producer.transform(consumer, polled(consumer, 1), lambda m: [(f"{topic}/made", m.value)])
        assert committed(client, f"{topic}/made") == ["a"]


def test_what_cannot_be_says_so(client: FlyMQClient, topic: str, group: str) -> None:
    client.produce(topic, "a")
    for bad in ("", "x" * 300):
        with pytest.raises(InvalidArgumentError):
            client.transactional_producer(bad)
    producer = client.transactional_producer(f"{topic}-id")
    with pytest.raises(TransactionError, match="begin") as state:
        producer.commit()
    assert state.value.code == "TRANSACTION_STATE"
    with pytest.raises(TransactionError, match="begin"):
        producer.send(topic, "x")
    commits_itself = client.consumer(topic, group, auto_offset_reset="earliest")
    no_member = client.consumer(topic, auto_commit=False, auto_offset_reset="earliest")
    with commits_itself, no_member:
        with pytest.raises(InvalidArgumentError, match="auto-commit"):
            producer.transform(commits_itself, polled(commits_itself, 1), lambda _: [])
        with pytest.raises(InvalidArgumentError, match="member"):
            producer.transform(no_member, polled(no_member, 1), lambda _: [])


def test_asyncio(address: str, client: FlyMQClient, topic: str, group: str) -> None:
    client.produce(topic, "a")
    client.create_topic(f"{topic}/made")

    async def fail(producer: AsyncTransactionalProducer, consumer: AsyncConsumer, messages: list[ConsumedMessage]) -> None:
        async with producer.transaction(consumer, messages):
            fail_after(await producer.send(f"{topic}/made", "never"))

    async def run() -> None:
        async with AsyncFlyMQClient(address) as one, await one.transactional_producer(group) as producer:
            async with one.consumer(topic, group, auto_commit=False, auto_offset_reset="earliest") as consumer:
                messages = await consumer.poll(timeout_ms=10_000)
                with pytest.raises(ZeroDivisionError):
                    await fail(producer, consumer, messages)
                messages = await consumer.poll(timeout_ms=10_000)
                await producer.transform(consumer, messages, lambda m: [(f"{topic}/made", m.decode())])
            async with producer.transaction():
                await producer.send_batch(f"{topic}/made", [(None, "b")])

    asyncio.run(run())
    assert committed(client, f"{topic}/made") == ["a", "b"]


def test_each_message_has_one_result_although_processes_are_killed(
    client: FlyMQClient, address: str, topic: str, group: str
) -> None:
    many = 120
    client.create_topic(topic, 2)
    client.create_topic(f"{topic}/made")
    for number in range(many):
        client.produce(topic, str(number), partition=number % 2)
    script = str(Path(__file__).with_name("mill_process.py"))
    running: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, script, address, topic, f"{topic}/made", group, name]
        running.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True))
        return running[-1]

    try:
        for life in range(4):
            mill = start(f"{group}-{life % 2}")
            assert mill.stdout is not None
            mill.stdout.readline()
            mill.kill()
        start(f"{group}-0")
        start(f"{group}-1")
        ended = time.monotonic() + 45
        while client.call("GetLag", group=group, topic=topic)["total"] and time.monotonic() < ended:
            time.sleep(0.05)
    finally:
        for mill in running:
            with contextlib.suppress(ProcessLookupError):
                mill.kill()
            mill.communicate()
    made = committed(client, f"{topic}/made")
    assert sorted(made, key=int) == [str(number) for number in range(many)]
