"""asyncio and reactivex: rows PY-080 to PY-087."""

from __future__ import annotations

import asyncio
import threading

import pytest
import reactivex
from pyflymq import AsyncFlyMQClient, AsyncReactiveConsumer, FlyMQClient, ReactiveConsumer, ReactiveProducer
from pyflymq.exceptions import ClosedError, ConnectionError, TopicNotFoundError


def test_round_trip(address: str, topic: str) -> None:
    async def main() -> None:
        async with AsyncFlyMQClient(address) as client:
            await client.create_topic(topic, partitions=2)
            assert topic in await client.list_topics()
            stored = await client.produce(topic, b"x", key="k", headers={"h": "1"})
            message = await client.consume(topic, stored)
            assert (message.value, message.decode_key(), message.header("h")) == (b"x", "k", b"1")
            assert len(await client.produce_batch(topic, [("k", b"1"), ("k", b"2")])) == 2
            found = await client.fetch(topic, partition=stored.partition)
            assert [m.value for m in found.messages] == [b"x", b"1", b"2"]
            assert sorted((await client.get_cluster_metadata()).partitions[topic]) == [0, 1]
            with pytest.raises(TopicNotFoundError):
                await client.consume("no-such-topic", 0)
            async with await client.begin_transaction() as transaction:
                await transaction.produce(topic, b"2", key="k")
            found = await client.fetch(topic, partition=stored.partition)
            assert [m.value for m in found.messages] == [b"x", b"1", b"2", b"2"]
        with pytest.raises(ClosedError):
            await client.list_topics()

    asyncio.run(main())


def test_the_loop_runs_while_a_call_waits(address: str, topic: str) -> None:
    async def main() -> None:
        async with AsyncFlyMQClient(address) as client:
            await client.create_topic(topic)
            waiting = [asyncio.ensure_future(client.fetch(topic, max_wait_ms=20_000)) for _ in range(20)]
            await client.produce(topic, b"now")
            for found in await asyncio.gather(*waiting):
                assert found.messages[0].value == b"now"

    asyncio.run(main())


def test_cancelling_a_call_leaves_the_client_usable(address: str, topic: str) -> None:
    async def main() -> None:
        async with AsyncFlyMQClient(address) as client:
            await client.create_topic(topic)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.fetch(topic, max_wait_ms=20_000), 0.05)
            assert await client.produce(topic, b"x") == 0

    asyncio.run(main())


def test_producer_and_consumer(address: str, topic: str, group: str) -> None:
    async def main() -> None:
        async with AsyncFlyMQClient(address) as client:
            client.set_serde("json")
            async with client.producer() as producer:
                futures = [await producer.send(topic, {"n": n}) for n in range(30)]
                await producer.flush()
                assert [(await future).offset for future in futures] == list(range(30))
            async with client.consumer(topic, group, auto_offset_reset="earliest") as consumer:
                seen = []
                async for message in consumer:
                    seen.append(message.decode()["n"])
                    if len(seen) == 30:
                        break
                assert seen == list(range(30))
                await consumer.seek(0, 28)
                assert [m.offset for m in await consumer.poll(10_000)] == [28, 29]
                assert await consumer.position() == 30

    asyncio.run(main())


def test_no_argument_means_localhost() -> None:
    assert AsyncFlyMQClient().config.servers() == "localhost:9092"


def test_a_client_that_cannot_connect() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionError):
            async with AsyncFlyMQClient("127.0.0.1:1", max_retries=0):
                pass

    asyncio.run(main())


def test_memory_broker() -> None:
    async def main() -> None:
        async with AsyncFlyMQClient(":memory:") as client:
            assert await client.produce("t", b"x") == 0

    asyncio.run(main())


def test_async_reactive_consumer(address: str, client: FlyMQClient, topic: str, group: str) -> None:
    client.produce_batch(topic, [f"v{n}" for n in range(5)])

    async def main() -> list[str]:
        seen = []
        async with (
            AsyncFlyMQClient(address) as ours,
            AsyncReactiveConsumer(ours, topic, group, auto_offset_reset="earliest") as messages,
        ):
            async for message in messages:
                seen.append(message.decode())
                if len(seen) == 5:
                    await messages.commit()
                    return seen
        return seen

    assert asyncio.run(main()) == [f"v{n}" for n in range(5)]
    assert client.call("GetLag", group=group, topic=topic)["total"] == 0


def test_subscribe_starts_by_itself(client: FlyMQClient, topic: str) -> None:
    client.produce_batch(topic, [b"a", b"b"])
    seen: list[bytes] = []
    two, completed = threading.Event(), threading.Event()

    def take(message: object) -> None:
        seen.append(message.value)
        if len(seen) == 2:
            two.set()

    consumer = ReactiveConsumer(client, topic, auto_offset_reset="earliest")
    consumer.subscribe(on_next=take, on_completed=completed.set)
    assert two.wait(20)
    consumer.stop()
    assert completed.wait(10)
    assert seen == [b"a", b"b"]


def test_messages_are_cold_until_start(client: FlyMQClient, topic: str, group: str) -> None:
    client.produce(topic, b"a")
    seen = threading.Event()
    consumer = ReactiveConsumer(client, topic, group, auto_offset_reset="earliest")
    consumer.messages().subscribe(lambda _: seen.set())
    assert not seen.is_set()
    assert consumer._thread is None, "nothing is read yet"
    consumer.start()
    assert seen.wait(20)
    consumer.stop()


def test_errors_reach_the_subscriber(client: FlyMQClient, topic: str) -> None:
    failed: list[Exception] = []
    ended = threading.Event()
    consumer = ReactiveConsumer(client, topic)
    consumer.subscribe(on_error=lambda error: (failed.append(error), ended.set()))
    assert ended.wait(20)
    assert isinstance(failed[0], TopicNotFoundError)
    consumer.stop()


def test_reactive_producer(client: FlyMQClient, topic: str) -> None:
    producer = ReactiveProducer(client, topic)
    assert [m.offset for m in producer.send_many([b"a", b"b", b"c"])] == [0, 1, 2]
    offsets: list[int] = []
    reactivex.of(b"d", b"e").pipe(producer.publish()).subscribe(lambda m: offsets.append(m.offset))
    assert offsets == [3, 4]
