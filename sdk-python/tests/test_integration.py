"""Topics and messages against the real broker: rows PY-025 to PY-053 and PY-078."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyflymq import ClientConfig, FlyMQClient, RecordMetadata, TopicMetadata, connect, generate_key
from pyflymq.exceptions import (
    ClosedError,
    EncryptionError,
    EndOfPartitionError,
    FlyMQError,
    InvalidArgumentError,
    OffsetOutOfRangeError,
    PartitionNotFoundError,
    PermissionDeniedError,
    SchemaError,
    TopicAlreadyExistsError,
    TopicNotFoundError,
)


def test_connect(address: str, topic: str) -> None:
    client = connect(address)
    assert isinstance(client, FlyMQClient)
    assert client.produce(topic, b"x").offset == 0
    client.close()


def test_server_lists_skip_servers_that_are_down(address: str, topic: str) -> None:
    for servers in (f"127.0.0.1:1,{address}", ["127.0.0.1:1", address]):
        with FlyMQClient(servers) as client:
            client.produce(topic, b"x")


def test_grpc_carries_the_same_calls(broker: object, topic: str) -> None:
    with connect("grpc://" + broker.grpc_address) as client:
        stored = client.produce(topic, b"x", key="k")
        assert client.consume(topic, stored).decode_key() == "k"


def test_config_is_keyword_only(address: str, topic: str) -> None:
    config = ClientConfig(bootstrap_servers=address, request_timeout_ms=7_000)
    with FlyMQClient(config=config) as client:
        assert client.config.request_timeout_ms == 7_000
        client.produce(topic, b"x")
    with pytest.raises(TypeError):
        FlyMQClient(address, config)


def test_a_client_closes_also_after_an_exception(address: str) -> None:
    with pytest.raises(RuntimeError, match="mine"), FlyMQClient(address) as client:
        raise RuntimeError("mine")
    with pytest.raises(ClosedError) as caught:
        client.list_topics()
    assert caught.value.hint
    client.close()


def test_topics(client: FlyMQClient, topic: str) -> None:
    created = client.create_topic(topic, partitions=3)
    assert isinstance(created, TopicMetadata)
    assert (created.name, created.partitions) == (topic, 3)
    with pytest.raises(TopicAlreadyExistsError) as caught:
        client.create_topic(topic)
    assert caught.value.hint
    assert topic in client.list_topics()
    client.produce(topic, b"x", partition=1)
    assert [p.high_watermark for p in client.get_topic(topic).partition_info] == [0, 1, 0]
    leaders = client.get_cluster_metadata().partitions[topic]
    assert sorted(leaders) == [0, 1, 2]
    assert all(leaders.values())
    client.delete_topic(topic)
    assert topic not in client.list_topics()
    with pytest.raises(TopicNotFoundError):
        client.delete_topic(topic)


def test_create_topic_makes_one_partition(client: FlyMQClient, topic: str) -> None:
    assert client.create_topic(topic).partitions == 1


@pytest.mark.parametrize("name", ["", ".", "a/../b", "a\x00b", "é" * 130, "__mine", "a//b"])
def test_bad_names_are_typed_errors(client: FlyMQClient, name: str) -> None:
    with pytest.raises((InvalidArgumentError, PermissionDeniedError)):
        client.create_topic(name)


@pytest.mark.parametrize("partitions", [0, -1, 2**31])
def test_bad_partition_counts_are_typed_errors(client: FlyMQClient, topic: str, partitions: int) -> None:
    with pytest.raises(InvalidArgumentError):
        client.create_topic(topic, partitions)


def test_produce_gives_metadata_that_acts_as_the_offset(client: FlyMQClient, topic: str) -> None:
    stored = client.produce(topic, b"a")
    assert isinstance(stored, RecordMetadata)
    assert (stored.topic, stored.partition, stored.offset) == (topic, 0, 0)
    assert stored.timestamp_ms > 1_600_000_000_000
    assert client.consume(topic, stored).value == b"a"
    assert client.produce(topic, b"b") == stored + 1


def test_consume_finds_what_produce_names_in_any_partition(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic, partitions=3)
    for partition in range(3):
        stored = client.produce(topic, f"in {partition}", partition=partition)
        assert client.consume(topic, stored).decode() == f"in {partition}"
    assert client.consume(topic, 0).decode() == "in 0"
    assert client.consume(topic, 0, 2).decode() == "in 2"


def test_the_same_key_goes_to_the_partition_that_fnv_1a_names(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic, partitions=4)
    # From the FNV reference vectors: "a" 0xe40c292c, "foobar" 0xbf9cf968; modulo 4.
    assert {client.produce(topic, b"x", key="a").partition for _ in range(5)} == {0xE40C292C % 4}
    assert client.produce(topic, b"x", key=b"foobar").partition == 0xBF9CF968 % 4


def test_messages_keep_key_headers_and_tombstones(client: FlyMQClient, topic: str) -> None:
    stored = client.produce(topic, b"\x00\xff", key="é", headers={"trace": "1", "bin": b"\xff"})
    message = client.consume(topic, stored)
    assert (message.topic, message.partition, message.offset) == (topic, 0, 0)
    assert (message.key, message.decode_key(), message.value, message.data) == ("é".encode(), "é", b"\x00\xff", b"\x00\xff")
    assert message.headers == [("trace", b"1"), ("bin", b"\xff")]
    assert not message.tombstone
    assert client.consume(topic, client.produce(topic, None, key="é")).tombstone


def test_serdes(client: FlyMQClient, topic: str) -> None:
    client.set_serde("json")
    stored = client.produce(topic, {"a": [1, "é"]})
    assert client.consume(topic, stored).decode() == {"a": [1, "é"]}
    client.set_serde("string")
    assert client.consume(topic, stored).decode() == '{"a":[1,"é"]}'
    with pytest.raises(InvalidArgumentError, match="json"):
        client.set_serde("no such serde")


def test_a_fetch_with_a_filter(client: FlyMQClient, topic: str) -> None:
    client.produce_batch(topic, ['{"total": 5}', "an ERROR", '{"total": 500}'])
    found = client.fetch(topic, filter="cel:value.total > 100")
    assert ([m.offset for m in found.messages], found.next_offset) == ([2], 3)
    assert [m.offset for m in client.fetch(topic, filter="error").messages] == [1]
    assert len(client.fetch(topic, filter="").messages) == 3
    with pytest.raises(FlyMQError) as caught:
        client.fetch(topic, filter="cel:value.total >")
    assert caught.value.code == "FILTER_INVALID"


def test_produce_batch(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic, partitions=4)
    messages = [(f"k{n % 5}", f"v{n}".encode()) for n in range(50)]
    stored = client.produce_batch(topic, messages)
    assert len(stored) == 50
    for (key, value), place in zip(messages, stored):
        message = client.consume(topic, place)
        assert (message.decode_key(), message.value) == (key, value)
    by_key: dict[str, list[RecordMetadata]] = {}
    for (key, _), place in zip(messages, stored):
        by_key.setdefault(key, []).append(place)
    for places in by_key.values():
        assert len({p.partition for p in places}) == 1
        assert [int(p) for p in places] == sorted(int(p) for p in places)
    assert client.produce_batch(topic, []) == []
    assert len(client.produce_batch(topic, [b"a", b"b"])) == 2


def test_fetch(client: FlyMQClient, topic: str) -> None:
    client.produce_batch(topic, [f"v{n}".encode() for n in range(10)])
    found = client.fetch(topic, partition=0, offset=3, max_messages=4)
    assert [(m.offset, m.decode()) for m in found.messages] == [(n, f"v{n}") for n in range(3, 7)]
    assert (found.next_offset, found.high_watermark, found.low_watermark) == (7, 10, 0)
    assert client.fetch(topic, offset=10).messages == []
    assert client.fetch(topic, offset=0, max_messages=0).messages == []


def test_a_fetch_waits_for_a_message(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    found = []
    waiting = threading.Thread(target=lambda: found.extend(client.fetch(topic, max_wait_ms=20_000).messages))
    waiting.start()
    client.produce(topic, b"now")
    waiting.join(timeout=10)
    assert [m.value for m in found] == [b"now"]


@pytest.mark.parametrize("acks", ["all", "quorum", "leader", "none"])
def test_acks(client: FlyMQClient, topic: str, acks: str) -> None:
    client.produce(topic, b"x", acks=acks)
    assert client.fetch(topic, max_wait_ms=5_000).messages[0].value == b"x"


def test_failures_are_typed_and_the_client_lives_on(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    with pytest.raises(TopicNotFoundError) as missing:
        client.consume("no-such-topic", 0)
    assert 'client.create_topic("no-such-topic", partitions)' in missing.value.hint
    assert missing.value.metadata["topic"] == "no-such-topic"
    with pytest.raises(EndOfPartitionError) as end:
        client.consume(topic, 0)
    assert end.value.retryable
    with pytest.raises(OffsetOutOfRangeError):
        client.consume(topic, 5)
    with pytest.raises(PartitionNotFoundError):
        client.produce(topic, b"x", partition=9)
    with pytest.raises(PartitionNotFoundError):
        client.fetch(topic, partition=9)
    with pytest.raises(InvalidArgumentError):
        client.consume(topic, -1)
    with pytest.raises(InvalidArgumentError):
        client.fetch(topic, partition=-1)
    with pytest.raises(InvalidArgumentError):
        client.fetch(topic, max_messages=-1)
    with pytest.raises(InvalidArgumentError, match="all, leader, none"):
        client.produce(topic, b"x", acks="some")
    with pytest.raises(FlyMQError):
        client.consume(topic, 2**64 - 1)
    assert client.produce(topic, b"still here") == 0


def test_any_rpc_can_be_called(client: FlyMQClient, topic: str, group: str) -> None:
    client.produce_batch(topic, [b"a", b"b"])
    client.call("CommitOffsets", group=group, offsets=[{"topic": topic, "partition": 0, "offset": 1}])
    assert client.call("GetLag", group=group, topic=topic)["total"] == 1
    with pytest.raises(InvalidArgumentError, match="nmae"):
        client.call("CreateTopic", nmae="x")
    with pytest.raises(InvalidArgumentError, match="NoSuchRpc"):
        client.call("NoSuchRpc")


def test_expired_messages_are_never_delivered(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    client.produce_with_ttl(topic, b"lives", ttl_ms=60_000)
    client.produce_with_ttl(topic, b"gone", ttl_ms=1)
    client.produce(topic, b"for ever")
    deadline = time.monotonic() + 30
    while len(values := [message.value for message in client.fetch(topic, 0, 0).messages]) > 2:
        assert time.monotonic() < deadline, values
    assert values == [b"lives", b"for ever"]


def test_a_transaction_is_read_when_it_is_committed(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    with client.transaction() as committed:
        committed.produce(topic, b"a")
        assert client.fetch(topic).messages == []

    def fails() -> None:
        with client.transaction() as aborted:
            aborted.produce(topic, b"b")
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fails()
    rolled_back = client.begin_transaction()
    rolled_back.produce(topic, b"c")
    rolled_back.rollback()
    assert [message.value for message in client.fetch(topic).messages] == [b"a"]


def test_delayed_messages(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    far = client.produce_at(topic, b"far", int(time.time() * 1000) + 3_600_000)
    again = client.produce_recurring(topic, b"again", "0 0 1 1 *")
    began = time.time()
    client.produce_delayed(topic, b"soon", delay_ms=100, key="k")
    consumer = client.consumer(topic, "g", auto_offset_reset="earliest")
    (message,) = consumer.poll(timeout_ms=10_000, max_records=1)
    assert message.value == b"soon"
    assert time.time() - began >= 0.1
    waiting = client.list_schedules(topic)
    assert {one.id: one.cron for one in waiting} == {far: "", again: "0 0 1 1 *"}
    assert client.deliver_schedule_now(topic, far).offset == 1
    client.cancel_schedule(topic, again)
    assert client.list_schedules(topic) == []
    with pytest.raises(FlyMQError) as caught:
        client.cancel_schedule(topic, again)
    assert caught.value.code == "SCHEDULE_NOT_FOUND"
    consumer.close()


def test_dead_letters(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    assert client.fetch_dlq(topic, max_messages=5) == []
    for offset, value in enumerate([b"a", b"b", b"c"]):
        client.produce(topic, value, key="k")
        failed = {"group": f"g-{topic}", "topic": topic, "offset": offset, "reason": "boom", "max_retries": 0, "commit": True}
        assert client.call("Nack", **failed)["dead_lettered"]
    letters = client.fetch_dlq(topic, max_messages=5)
    assert [(letter.error, letter.attempts, letter.message.value) for letter in letters] == [
        ("boom", 1, b"a"),
        ("boom", 1, b"b"),
        ("boom", 1, b"c"),
    ]
    assert (letters[1].message.topic, letters[1].message.offset, letters[1].message.key) == (topic, 1, b"k")
    client.replay_dlq(topic, letters[1].id)
    assert client.fetch(topic, offset=3).messages[0].value == b"b"
    with pytest.raises(FlyMQError) as caught:
        client.replay_dlq(topic, letters[1].id)
    assert caught.value.code == "MESSAGE_NOT_FOUND"
    assert [letter.message.value for letter in client.fetch_dlq(topic, max_messages=5)] == [b"a", b"c"]
    client.purge_dlq(topic)
    assert client.fetch_dlq(topic, max_messages=5) == []


def test_a_policy_says_when_a_message_is_dead_and_where_it_goes(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    for value in ["a", "b"]:
        client.produce(topic, value)
    client.set_dead_letter_policy(topic, max_retries=0, topic=f"{topic}-graves")
    client.set_dead_letter_policy(topic, group=f"g-{topic}", max_retries=1, retry_delay_ms=0)
    nack = {"topic": topic, "offset": 0, "reason": "boom"}
    assert not client.call("Nack", group=f"g-{topic}", **nack)["dead_lettered"]
    assert client.call("Nack", group=f"h-{topic}", **nack)["dead_lettered"]
    assert [letter.message.value for letter in client.fetch_dlq(topic)] == [b"a"]
    assert client.fetch(f"{topic}-graves").messages[0].value == b"a"
    with pytest.raises(InvalidArgumentError):
        client.set_dead_letter_policy(topic, backoff_factor=0.5)
    client.set_dead_letter_policy(topic, group=f"g-{topic}")
    assert client.call("Nack", group=f"g-{topic}", **nack)["dead_lettered"], "the topic's policy counts again"


def test_a_schema_is_held_against_what_is_sent_with_it(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic)
    text = '{"type": "object", "required": ["id"]}'
    schema = client.register_schema(topic, "json", text)
    assert (schema.id, schema.version, schema.type, schema.definition) == (f"{topic}-v1", 1, "json", text)
    with pytest.raises(SchemaError, match="missing required field: id"):
        client.produce_with_schema(topic, b"{}", topic)
    assert client.fetch(topic).messages == [], "nothing was stored"
    assert client.produce_with_schema(topic, b'{"id": 1}', topic).offset == 0
    with pytest.raises(SchemaError):
        client.produce_with_schema(topic, b"{}", "no-such-schema")
    with pytest.raises(SchemaError):
        client.register_schema(topic, "json", "{")
    with pytest.raises(InvalidArgumentError):
        client.register_schema(topic, "xml", "{}")


def test_encryption_is_end_to_end(address: str, client: FlyMQClient, topic: str) -> None:
    key = generate_key()
    with connect(address, encryption_key=key) as sealed:
        sealed.set_serde("json")
        places = [sealed.produce(topic, {"salary": 1}, key="k"), *sealed.produce_batch(topic, [("k", {"salary": 2})])]
        with sealed.producer() as producer:
            places.append(producer.send(topic, {"salary": 3}, key="k").get())
        assert [sealed.consume(topic, p).decode() for p in places] == [{"salary": n} for n in (1, 2, 3)]
        assert [m.decode() for m in sealed.fetch(topic).messages] == [{"salary": n} for n in (1, 2, 3)]
        assert sealed.consume(topic, 0).headers == []
        plain = client.produce(topic, b'"plain"')
        assert sealed.consume(topic, plain).decode() == "plain"
    stored = client.consume(topic, 0)
    assert b"salary" not in stored.value
    assert len(stored.value) == 12 + len(b'{"salary":1}') + 16
    assert stored.header("flymq-encryption") == b"AES-256-GCM"
    assert stored.decode_key() == "k"
    with connect(address, encryption_key=generate_key()) as other:
        with pytest.raises(EncryptionError, match="offset 0") as caught:
            other.consume(topic, 0)
        assert "encryption_key" in caught.value.hint


def test_threads_share_a_client(client: FlyMQClient, topic: str) -> None:
    client.create_topic(topic, partitions=2)
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for n in range(40):
                client.produce(topic, f"{name}:{n}", key=name)
        except BaseException as error:  # a thread's failure must reach the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"thread-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    seen: dict[str, list[int]] = {}
    for partition in range(2):
        for message in client.fetch(topic, partition=partition, max_messages=1_000).messages:
            name, n = message.decode().split(":")
            seen.setdefault(name, []).append(int(n))
    assert seen == {f"thread-{n}": list(range(40)) for n in range(8)}, "all there, in each thread's order"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.none() | st.binary(max_size=2_000),
    key=st.none() | st.binary(min_size=1, max_size=100),
    headers=st.lists(st.tuples(st.text(max_size=20).filter(lambda t: t.isprintable()), st.binary(max_size=50)), max_size=4),
)
def test_any_message_comes_back_as_it_was(
    local: FlyMQClient, value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    stored = local.produce("round-trips", value, key=key, headers=headers)
    message = local.consume("round-trips", stored)
    assert (message.value, message.tombstone) == (value or b"", value is None)
    assert (message.key, message.headers) == (key, headers)


def test_a_message_of_a_mebibyte(client: FlyMQClient, topic: str) -> None:
    value = bytes(range(256)) * 4096
    assert client.consume(topic, client.produce(topic, value)).value == value


def test_data_survives_a_restart(tmp_path: object, topic: str) -> None:
    from pyflymq.testing import Broker

    with Broker(str(tmp_path)) as broker, connect(broker.address) as client:
        stored = client.produce(topic, b"kept")
    with Broker(str(tmp_path)) as broker, connect(broker.address) as client:
        assert client.consume(topic, stored).value == b"kept"


def test_memory_brokers_are_apart() -> None:
    with connect(":memory:") as one, connect(":memory:") as two:
        one.create_topic("only-here")
        assert "only-here" not in two.list_topics()
