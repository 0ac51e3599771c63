"""Batching producers and pools: rows PY-053 to PY-058, PY-071, PY-079."""

from __future__ import annotations

import threading

import pytest
from lossy_proxy import LossyProxy
from pyflymq import FlyMQClient, FlyMQClientPool, FlyMQError, Producer, ProducerConfig, RecordMetadata
from pyflymq.exceptions import ClosedError, InvalidArgumentError, PartitionNotFoundError, TimeoutError


def test_send_and_get(client: FlyMQClient, topic: str) -> None:
    with client.producer(batch_size=100, linger_ms=10, max_retries=3, retry_backoff_ms=100) as producer:
        futures = [producer.send(topic=topic, value=f"v{n}", key="k") for n in range(250)]
        producer.flush()
        assert all(future.done() for future in futures)
        assert [future.get(timeout_ms=1).offset for future in futures] == list(range(250))
    assert [m.decode() for m in client.fetch(topic, max_messages=300).messages] == [f"v{n}" for n in range(250)]


@pytest.mark.parametrize("codec", ["none", "gzip", "lz4", "zstd", "snappy"])
def test_compressed_batches_are_read_as_they_were_sent(client: FlyMQClient, topic: str, codec: str) -> None:
    client.create_topic(topic)
    values = [f'{{"id": {n}, "city": "Chicago", "country": "USA"}}' for n in range(2_000)]
    with client.producer(batch_size=500, linger_ms=60_000, compression_type=codec, compression_level=3) as producer:
        for value in values:
            producer.send(topic, value)
    assert [m.decode() for m in client.fetch(topic, max_messages=2_000).messages] == values
    stored = sum(info["bytes"] for info in client.call("GetTopic", name=topic)["topic"]["partitions"])
    plain = sum(map(len, values))
    assert stored < plain / 3 if codec != "none" else stored > plain, f"{stored} bytes of {plain}"


def test_an_unknown_compression_is_refused(client: FlyMQClient) -> None:
    with pytest.raises(ValueError, match="compression_type"):
        client.producer(compression_type="brotli")


def test_exit_flushes(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    with client.producer(batch_size=1_000, linger_ms=60_000) as producer:
        future = producer.send(topic, b"x")
        assert not future.done()
    assert future.get().offset == 0
    with pytest.raises(ClosedError):
        producer.send(topic, b"y")
    producer.close()


def test_a_late_answer_is_a_timeout(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    with client.producer(linger_ms=60_000) as producer:
        future = producer.send(topic, b"x")
        with pytest.raises(TimeoutError, match="within 1 ms") as caught:
            future.get(timeout_ms=1)
        assert "flush" in caught.value.hint
        producer.flush()
        assert future.get(timeout_ms=1).offset == 0


def test_callbacks_run_in_order_and_may_use_the_client(client: FlyMQClient, topic: str) -> None:
    seen: list[int] = []
    client.create_topic(topic)

    def stored(metadata: RecordMetadata) -> None:
        assert client.consume(topic, metadata).decode() == f"v{metadata.offset}"
        seen.append(metadata.offset)

    with client.producer() as producer:
        for n in range(20):
            producer.send(topic, f"v{n}", on_success=stored)
        producer.flush()
        assert seen == list(range(20)), "flush waits for the callbacks too"


def test_failures_reach_callback_future_and_flush(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    failures: list[FlyMQError] = []
    with client.producer(max_retries=0) as producer:
        future = producer.send(topic, b"x", partition=7, on_error=failures.append)
        with pytest.raises(PartitionNotFoundError):
            future.get()
        producer.send(topic, b"y").get()
    assert [type(f) for f in failures] == [PartitionNotFoundError]


def test_a_callback_that_raises_stops_nothing(client: FlyMQClient, topic: str) -> None:
    seen: list[int] = []
    with client.producer() as producer:
        producer.send(topic, b"x", on_success=lambda _: 1 / 0)
        producer.send(topic, b"y", on_success=lambda m: seen.append(m.offset))
    assert seen == [1]


def test_low_level_producer(client: FlyMQClient, topic: str) -> None:
    producer = Producer(client, config=ProducerConfig(linger_ms=5, acks="leader"))
    future = producer.send(topic, b"x")
    producer.flush()
    assert future.get().offset == 0
    producer.close()


def test_threads_share_a_producer(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    with client.producer() as producer:

        def work() -> None:
            for n in range(50):
                producer.send(topic, f"{n}")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert client.get_topic(topic).partition_info[0].high_watermark == 200


def test_pool(address: str, topic: str) -> None:
    with FlyMQClientPool(address, size=2) as pool:
        with pool.get_client() as one, pool.get_client() as two:
            assert one is not two
            one.produce(topic, b"x")
            with pytest.raises(TimeoutError, match="2"), pool.get_client(timeout_ms=1):
                pass
        with pool.get_client() as again:
            assert again in (one, two)
    with pytest.raises(ClosedError), pool.get_client():
        pass
    with pytest.raises(ClosedError):
        one.list_topics()
    with pytest.raises(InvalidArgumentError):
        FlyMQClientPool(address, size=0)
    assert FlyMQClientPool().size == 10


@pytest.mark.parametrize("enable_idempotence", [True, False])
def test_a_lost_answer_doubles_nothing(client: FlyMQClient, address: str, topic: str, enable_idempotence: bool) -> None:
    client.create_topic(topic)
    many = 200
    switched_off = {} if enable_idempotence else {"enable_idempotence": False}
    config = ProducerConfig(max_batch_messages=3, retries=1_000, retry_backoff_ms=1, **switched_off)
    with LossyProxy(address, every=7) as proxy, FlyMQClient(proxy.address) as through:
        with Producer(through, config) as producer:
            for number in range(many):
                producer.send(topic, str(number), partition=0)
        assert proxy.lost > 5
    stored = [int(message.decode()) for message in client.fetch(topic, max_messages=10 * many).messages]
    if enable_idempotence:
        assert stored == list(range(many))
    else:
        assert len(stored) > many, "the same way doubles messages where it is switched off"
