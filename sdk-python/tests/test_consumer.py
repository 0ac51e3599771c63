"""Consumers and groups: rows PY-059 to PY-070."""

from __future__ import annotations

import threading

import pytest
from pyflymq import ConsumedMessage, Consumer, ConsumerConfig, ConsumerGroup, FlyMQClient
from pyflymq.exceptions import ClosedError, FlyMQError, InvalidArgumentError, PartitionNotFoundError, TopicNotFoundError


def fill(client: FlyMQClient, topic: str, count: int = 10) -> None:
    client.produce_batch(topic, [f"v{n}" for n in range(count)])


def values(messages: list[ConsumedMessage]) -> list[str]:
    return [m.decode() for m in messages]


def drain(consumer: object, count: int) -> list[ConsumedMessage]:
    """Polls until `count` messages are there; the test's own time limit ends it otherwise."""
    found: list[ConsumedMessage] = []
    while len(found) < count:
        found += consumer.poll(timeout_ms=1_000)
    return found


def test_poll(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic)
    with client.consumer(topic, group, auto_offset_reset="earliest") as consumer:
        assert values(consumer.poll(timeout_ms=10_000, max_records=3)) == ["v0", "v1", "v2"]
        assert consumer.position(partition=0) == 3
        assert values(drain(consumer, 7)) == [f"v{n}" for n in range(3, 10)]
        assert consumer.poll(timeout_ms=1) == []
        assert consumer.assignment() == [(topic, 0)]


def test_the_server_filters(client: FlyMQClient, topic: str, group: str) -> None:
    for value in ('{"total": 5}', "an ERROR", '{"total": 500}'):
        client.produce(topic, value)
    for text in ("error", "^an E", "cel:text.contains('ERROR')"):
        with client.consumer(topic, auto_offset_reset="earliest", filter=text) as consumer:
            assert values(drain(consumer, 1)) == ["an ERROR"]
    with client.consumer(topic, group, auto_offset_reset="earliest", filter="cel:value.total > 100") as consumer:
        assert values(drain(consumer, 1)) == ['{"total": 500}']
        assert consumer.position(partition=0) == 3
    bad = client.consumer(topic, auto_offset_reset="earliest", filter="cel:vale.total > 1")
    with bad as consumer, pytest.raises(FlyMQError, match="column 1") as caught:
        consumer.poll(timeout_ms=10_000)
    assert caught.value.code == "FILTER_INVALID"


def test_consumer_by_keyword(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic)
    consumer = client.consumer(
        topics=[topic], group_id=group, auto_commit=False, auto_commit_interval_ms=1_000, auto_offset_reset="earliest"
    )
    with consumer:
        assert len(drain(consumer, 10)) == 10
    assert consumer.config.enable_auto_commit is False
    with client.consumer(topic, group, enable_auto_commit=False) as other:
        assert other.config.enable_auto_commit is False
    with pytest.raises(InvalidArgumentError, match="auto_offset_reset"):
        client.consumer(topic, group, auto_offset_reset="somewhere")


def test_iteration_commits_what_the_loop_has_seen(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic)
    with client.consumer(topic, group, auto_commit=False, auto_offset_reset="earliest") as consumer:
        for message in consumer:
            if message.decode() == "v4":
                consumer.commit()
                break
    with client.consumer(topic, group) as consumer:
        assert next(consumer).decode() == "v5", "the commit is the next offset to read"


def test_auto_commit_on_close(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic)
    with client.consumer(topic, group, auto_offset_reset="earliest") as consumer:
        assert len(consumer.poll(10_000, 4)) == 4
    assert client.call("GetLag", group=group, topic=topic)["total"] == 6


def test_latest_is_the_default(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic)
    with client.consumer(topic, group) as consumer:
        assert consumer.poll(timeout_ms=1) == []
        client.produce(topic, "new")
        assert values(drain(consumer, 1)) == ["new"]


def test_seek(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic)
    with client.consumer(topic, group) as consumer:
        consumer.seek(partition=0, offset=8)
        assert values(drain(consumer, 2)) == ["v8", "v9"]
        consumer.seek_to_beginning()
        assert consumer.position(0) == 0
        assert values(consumer.poll(10_000, 1)) == ["v0"]
        consumer.seek_to_end()
        assert consumer.position(0) == 10
        assert consumer.poll(timeout_ms=1) == []
        with pytest.raises(PartitionNotFoundError):
            consumer.seek(partition=5, offset=0)
        with pytest.raises(InvalidArgumentError):
            consumer.seek(partition=0, offset=-1)


def test_several_topics(client: FlyMQClient, topic: str, group: str) -> None:
    other = topic + "/other"
    fill(client, topic, 3)
    fill(client, other, 3)
    with client.consumer([topic, other], group, auto_offset_reset="earliest") as consumer:
        assert sorted((m.topic, m.offset) for m in drain(consumer, 6)) == [(t, n) for t in (topic, other) for n in range(3)]
        consumer.seek(0, 2, topic=other)
        assert [(m.topic, m.offset) for m in drain(consumer, 1)] == [(other, 2)]


def test_low_level_consumer(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic)
    with Consumer(client, topic, group_id=group, config=ConsumerConfig(auto_offset_reset="earliest")) as consumer:
        assert next(iter(consumer)).decode() == "v0"
        consumer.commit()
    assert client.call("GetOffsets", group=group, topic=topic)["offsets"][0]["offset"] == 1


def test_close_ends_a_poll_in_another_thread(client: FlyMQClient, topic: str, group: str) -> None:
    client.create_topic(topic)
    consumer = client.consumer(topic, group)
    consumer.poll(timeout_ms=1)
    ended = threading.Event()

    def wait() -> None:
        assert list(consumer) == []
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    consumer.close()
    assert ended.wait(10)
    with pytest.raises(ClosedError):
        consumer.poll(timeout_ms=1)
    consumer.close()


def test_an_unknown_topic_is_an_error(client: FlyMQClient, topic: str, group: str) -> None:
    with client.consumer(topic, group) as consumer, pytest.raises(TopicNotFoundError):
        consumer.poll(timeout_ms=1)


def test_no_topics_is_an_error(client: FlyMQClient, group: str) -> None:
    with pytest.raises(InvalidArgumentError, match="topic"):
        client.consumer([], group)


def test_consumer_group(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic, 5)
    seen: list[str] = []
    done = threading.Event()

    def handle(message: ConsumedMessage) -> None:
        seen.append(message.decode())
        if len(seen) == 5:
            done.set()

    members = ConsumerGroup(client, topics=[topic], group_id=group, handler=handle, auto_offset_reset="earliest")
    members.start()
    with pytest.raises(InvalidArgumentError):
        members.start()
    assert done.wait(20)
    members.stop()
    members.stop()
    assert seen == [f"v{n}" for n in range(5)]
    assert client.call("GetLag", group=group, topic=topic)["total"] == 0


def test_a_failed_message_comes_again(client: FlyMQClient, topic: str, group: str) -> None:
    fill(client, topic, 5)
    failed, again = threading.Event(), threading.Event()
    seen: list[str] = []

    def fail(message: ConsumedMessage) -> None:
        if message.decode() == "v2":
            failed.set()
            raise RuntimeError("mine")

    members = ConsumerGroup(client, topic, group, fail, auto_offset_reset="earliest", stop_on_error=True)
    members.start()
    assert failed.wait(20)
    with pytest.raises(RuntimeError, match="mine"):
        members.stop()

    def keep(message: ConsumedMessage) -> None:
        seen.append(message.decode())
        if message.decode() == "v4":
            again.set()

    with ConsumerGroup(client, topic, group, keep):
        assert again.wait(20)
    assert seen == ["v2", "v3", "v4"]
