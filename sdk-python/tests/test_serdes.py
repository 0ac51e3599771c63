"""Avro and Protobuf over the schema registry, and serdes by name."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel
from pyflymq import AsyncFlyMQClient, FlyMQClient
from pyflymq.exceptions import InvalidArgumentError, SchemaError, SerializationError
from pyflymq.serde import AvroSerde, JSONSerde, ProtobufSerde, StringSerde, register_serde

ORDER = """{"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": "long"}, {"name": "to", "type": ["null", "string"], "default": null}]}"""
ORDER_PROTO = 'syntax = "proto3"; message Order { int64 id = 1; string to = 2; repeated string tags = 3; }'


def test_avro_by_the_subject_of_the_topic(client: FlyMQClient, topic: str) -> None:
    schema = client.register_schema(f"{topic}-value", "avro", ORDER)
    client.set_serde("avro")
    stored = client.produce(topic, {"id": 7, "to": "Lund"})
    message = client.consume(topic, stored)
    assert message.decode() == {"id": 7, "to": "Lund"}
    found = client.call("GetSchema", name=schema.name)["schema"]
    frame = b"\0" + int(found["global_id"]).to_bytes(4, "big")
    assert message.value == frame + b"\x0e\x02\x08Lund", "Confluent's frame, then Avro's encoding"
    assert client.consume(topic, client.produce(topic, {"id": 8})).decode() == {"id": 8, "to": None}


def test_a_newer_schema_reads_what_an_older_one_wrote(client: FlyMQClient, topic: str) -> None:
    client.register_schema(f"{topic}-value", "avro", ORDER)
    client.set_serde("avro")
    old = client.produce(topic, {"id": 1, "to": "a"})
    client.register_schema(
        f"{topic}-value", "avro", '{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}'
    )
    client.set_serde("avro")
    new = client.produce(topic, {"id": 2})
    assert [client.consume(topic, one).decode() for one in (old, new)] == [{"id": 1, "to": "a"}, {"id": 2}]


def test_protobuf_by_a_subject_of_its_own(client: FlyMQClient, topic: str) -> None:
    client.register_schema(f"{topic}-order", "protobuf", ORDER_PROTO)
    serde = client.serde("protobuf", f"{topic}-order")
    assert isinstance(serde, ProtobufSerde)
    client.set_serde(serde)
    stored = client.produce(topic, {"id": 7, "tags": ["a", "b"]})
    message = client.consume(topic, stored)
    assert message.decode() == {"id": 7, "tags": ["a", "b"]}
    assert message.value[:1] == b"\0"
    assert message.value[5:] == b"\0\x08\x07\x1a\x01a\x1a\x01b", "the first message of the file"


def test_pydantic_models_and_all_that_sends(client: FlyMQClient, topic: str, group: str) -> None:
    class Order(BaseModel):
        id: int
        to: str

    client.register_schema(f"{topic}-value", "avro", ORDER)
    client.set_serde("avro")
    client.produce(topic, Order(id=1, to="a"))
    with client.producer() as producer:
        producer.send(topic, Order(id=2, to="b"))
    with client.transactional_producer(f"{topic}-mill") as mill, mill.transaction() as transaction:
        transaction.send(topic, {"id": 3, "to": "c"})
    with client.consumer(topic, group, auto_offset_reset="earliest") as consumer:
        assert [next(consumer).decode()["id"] for _ in range(3)] == [1, 2, 3]


def test_what_does_not_fit_says_where(client: FlyMQClient, topic: str) -> None:
    client.set_serde("avro")
    with pytest.raises(SchemaError) as missing:
        client.produce(topic, {"id": 1})
    assert missing.value.code == "SCHEMA_NOT_FOUND"
    client.register_schema(f"{topic}-value", "avro", ORDER)
    with pytest.raises(SchemaError, match=r"\$\.id: the schema wants Long") as unfit:
        client.produce(topic, {"id": "seven"})
    assert unfit.value.code == "SCHEMA_VALIDATION_FAILED"
    assert unfit.value.hint
    with pytest.raises(SerializationError, match="no JSON"):
        client.produce(topic, {"id": object()})
    with pytest.raises(SerializationError, match="no JSON"):
        client.produce(topic, {"id": float("nan")})
    client.set_serde("protobuf")
    with pytest.raises(SerializationError, match="not one of protobuf") as other:
        client.produce(topic, {"id": 1})
    assert other.value.code == "INVALID_ARGUMENT"
    assert "serde of its type" in other.value.hint
    assert topic not in client.list_topics(), "nothing was sent"


def test_values_of_another_kind_say_so(client: FlyMQClient, topic: str) -> None:
    schema = client.register_schema(f"{topic}-value", "avro", ORDER)
    number = int(client.call("GetSchema", name=schema.name)["schema"]["global_id"])
    frame = b"\0" + number.to_bytes(4, "big")
    places = [client.produce(topic, value) for value in (b"plain", b"", frame, frame + b"\x0e\x07", b"\0\0\xff\xff\xff")]
    client.set_serde("avro")
    messages = [client.consume(topic, place) for place in places]
    for message in messages[:4]:
        with pytest.raises(SerializationError) as caught:
            message.decode()
        assert caught.value.code == "INVALID_ARGUMENT"
        assert "serde that wrote it" in caught.value.hint
    with pytest.raises((SchemaError, SerializationError)):
        messages[4].decode()


def test_names(client: FlyMQClient) -> None:
    assert isinstance(client.serde("avro"), AvroSerde)
    assert client.serde("json").deserialize("t", b"[1]") == [1]
    with pytest.raises(InvalidArgumentError, match="avro, binary, json, protobuf"):
        client.serde("yaml")
    with pytest.raises(InvalidArgumentError, match="no subject"):
        client.serde("json", "orders-value")


def test_one_of_ones_own_takes_the_place_of_a_name(client: FlyMQClient, topic: str) -> None:
    class Shout(StringSerde):
        name = "shout"

        def serialize(self, topic: str, obj: object) -> bytes:
            return str(obj).upper().encode()

    register_serde("json", Shout)
    try:
        client.set_serde("json")
    finally:
        register_serde("json", JSONSerde)
    assert client.consume(topic, client.produce(topic, "a")).decode() == "A"


def test_asyncio(address: str, topic: str) -> None:
    async def run() -> object:
        async with AsyncFlyMQClient(address) as client:
            await client.register_schema(f"{topic}-value", "avro", ORDER)
            client.set_serde("avro")
            stored = await client.produce(topic, {"id": 7})
            return (await client.consume(topic, stored)).decode()

    assert asyncio.run(run()) == {"id": 7, "to": None}
