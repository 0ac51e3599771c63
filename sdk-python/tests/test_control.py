"""Groups, dead letters, schemas and transactions: what operators and tools ask for."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import pytest
from pyflymq import (
    AsyncFlyMQClient,
    FlyMQClient,
    PartitionOffset,
    SchemaReference,
    TopicPartitions,
)
from pyflymq.exceptions import GroupNotFoundError, InUseError, InvalidArgumentError, SchemaError

ID = '{"type": "object", "required": ["id"]}'
STRICTER = '{"type": "object", "required": ["id", "to"]}'


def test_a_group_is_described_with_its_members(client: FlyMQClient, topic: str, group: str) -> None:
    client.create_topic(topic, partitions=2)
    with pytest.raises(GroupNotFoundError):
        client.describe_group(group)
    with client.consumer(topic, group) as consumer:
        consumer.poll(timeout_ms=1)
        info = client.describe_group(group)
        assert info.state == "stable"
        (member,) = info.members
        assert member.topics == [topic]
        assert member.target == [TopicPartitions(topic=topic, partitions=[0, 1])]
        with pytest.raises(InUseError):
            client.reset_offsets(group, topic, "earliest")
        with pytest.raises(InUseError) as refused:
            client.delete_group(group)
        assert not refused.value.retryable
    client.commit_offset(group, topic, 1, 0)
    info = client.describe_group(group)
    assert info.state == "empty"
    assert PartitionOffset(topic=topic, partition=1, offset=0) in info.offsets


def test_a_group_begins_anew(client: FlyMQClient, topic: str, group: str) -> None:
    client.create_topic(topic)
    records = [{"value_text": "old", "timestamp_ms": 1_000}, {"value_text": "new", "timestamp_ms": 5_000}]
    client.call("Produce", topic=topic, records=records)

    def at(offset: int) -> list[PartitionOffset]:
        return [PartitionOffset(topic=topic, partition=0, offset=offset)]

    assert client.reset_offsets(group, topic, "latest") == at(2)
    assert client.reset_offsets(group, topic, "earliest", partitions=[0]) == at(0)
    assert client.reset_offsets(group, topic, datetime.fromtimestamp(2, timezone.utc)) == at(1)
    assert client.reset_offsets(group, topic, 1) == at(1)
    (behind,) = client.lag(group)
    assert (behind.committed, behind.latest, behind.lag) == (1, 2, 1)
    assert behind.lag_ms > 0
    assert [one.lag for one in client.lag(group, topic)] == [1]
    assert group in client.list_groups()
    assert client.committed(group, topic) == at(1)
    client.delete_group(group, topic)
    with pytest.raises(GroupNotFoundError):
        client.committed(group, topic)
    with pytest.raises(InvalidArgumentError, match="yesterday"):
        client.reset_offsets(group, topic, "yesterday")


def test_dead_letters_are_counted_and_replayed_by_choice(client: FlyMQClient, topic: str, group: str) -> None:
    client.create_topic(topic)
    for offset, value in enumerate(["ada", "bob", "ada again", "eve", "dan"]):
        client.produce(topic, value)
        client.call("Nack", group=group, topic=topic, offset=offset, max_retries=0)
    stats = client.dlq_stats(topic)
    assert (stats.total, stats.by_group, stats.by_reason) == (5, {group: 5}, {"max_retries_exceeded": 5})
    assert client.replay_dlq(topic, filter="ADA") == 2
    first, second, _ = client.fetch_dlq(topic)
    assert client.replay_dlq(topic, first.id) == 1
    assert client.replay_dlq(topic, [second.id]) == 1
    with pytest.raises(InvalidArgumentError):
        client.replay_dlq(topic, [])
    with pytest.raises(InvalidArgumentError):
        client.replay_dlq(topic, second.id, filter="eve")
    assert client.dlq_stats(topic).total == 1
    assert client.replay_dlq(topic) == 1


def test_schemas_are_registered_compared_bound_and_deleted(client: FlyMQClient, topic: str) -> None:
    name = f"{topic}-schema"
    first = client.register_schema(name, "json", ID, compatibility="full")
    assert (first.type, first.compatibility) == ("json", "full")
    with pytest.raises(SchemaError):
        client.check_schema(name, "json", STRICTER)
    client.set_compatibility(name, "none")
    client.check_schema(name, "json", STRICTER)
    assert [one.version for one in client.list_schemas(name)] == [1]
    assert client.register_schema(name, "json", STRICTER).version == 2
    assert client.get_schema(name).definition == STRICTER
    assert client.get_schema(name, 1).global_id == first.global_id
    assert client.validate_schema(name, '{"id": 1, "to": "x"}') == []
    (wrong,) = client.validate_schema(name, b'{"id": 1}')
    assert "to" in wrong
    client.create_topic(topic)
    client.bind_schema(topic, name, mode="strict")
    with pytest.raises(SchemaError):
        client.produce(topic, '{"id": 1}')
    client.bind_schema(topic)
    client.produce(topic, '{"id": 1}')
    assert client.delete_schema(name, 1) == [1]
    assert client.delete_schema(name) == [2]
    assert client.delete_schema(name, permanent=True) == [1, 2]


def test_a_schema_refers_to_another(client: FlyMQClient, topic: str) -> None:
    address = '{"type": "record", "name": "Address", "fields": [{"name": "town", "type": "string"}]}'
    client.register_schema(f"{topic}-address", "avro", address)
    order = '{"type": "record", "name": "Order", "fields": [{"name": "to", "type": "Address"}]}'
    references = [SchemaReference(name="Address", subject=f"{topic}-address", version=1)]
    client.check_schema(f"{topic}-order", "avro", order, references=references)
    client.register_schema(f"{topic}-order", "avro", order, references=references)
    assert client.get_schema(f"{topic}-order").references == references


def test_open_transactions_are_listed(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    name = f"{topic}-producer"
    with client.transactional_producer(name) as producer:
        with producer.transaction():
            producer.send(topic, "x")
            (open_,) = [one for one in client.list_transactions() if one.transaction_id.endswith(f".{name}")]
            assert open_.state == "ongoing"
            assert open_.partitions == [TopicPartitions(topic=topic, partitions=[0])]
        assert open_.transaction_id not in [one.transaction_id for one in client.list_transactions()]


async def _asked_by_coroutine(address: str, topic: str, group: str) -> None:
    async with AsyncFlyMQClient(address) as client:
        await client.create_topic(topic)
        await client.produce(topic, "{}")
        assert await client.reset_offsets(group, topic, "latest") == await client.committed(group, topic)
        await client.commit_offset(group, topic, 0, 0)
        assert [one.lag for one in await client.lag(group, topic)] == [1]
        assert group in await client.list_groups()
        assert (await client.describe_group(group)).state == "empty"
        await client.delete_group(group)
        await client.set_dead_letter_policy(topic, max_retries=0)
        await client.call("Nack", group=group, topic=topic, offset=0)
        assert (await client.dlq_stats(topic)).total == 1
        assert await client.replay_dlq(topic) == 1
        assert await client.purge_dlq(topic) == 0
        assert (await client.register_schema(topic, "json", ID)).version == 1
        await client.set_compatibility(topic, "none")
        await client.check_schema(topic, "json", STRICTER)
        assert len(await client.list_schemas(topic)) == 1
        assert (await client.get_schema(topic)).definition == ID
        assert len(await client.validate_schema(topic, "{}")) == 1
        await client.bind_schema(topic, topic, mode="warn")
        await client.bind_schema(topic)
        assert await client.delete_schema(topic) == [1]
        assert topic not in [one.transaction_id for one in await client.list_transactions()]


def test_each_is_there_for_coroutines(address: str, topic: str, group: str) -> None:
    asyncio.run(_asked_by_coroutine(address, topic, group))
