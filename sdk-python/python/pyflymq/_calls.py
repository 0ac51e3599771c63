"""What each client method asks of the core, and what it makes of the answer: written once, waited for or awaited."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any, Callable, Optional, SupportsIndex, TypeVar

from pyflymq import _core
from pyflymq._call import Call
from pyflymq._control import ControlCalls, nothing
from pyflymq._records import Headers, Key, consumed, count_of, offset_of, outgoing, partition_of, stored
from pyflymq.exceptions import InvalidArgumentError
from pyflymq.models import (
    ClusterMetadata,
    ConsumedMessage,
    DeadLetter,
    FetchResult,
    NodeMetadata,
    PartitionInfo,
    RecordMetadata,
    Schedule,
    TopicMetadata,
)
from pyflymq.serde import BinarySerde, Serde

T = TypeVar("T")

#: Bytes of a fetch unless a message is larger.
FETCH_BYTES = 1 << 20


class Calls(ControlCalls):
    """The calls of one client."""

    def __init__(self, core: _core.Client) -> None:
        self.core = core
        self.serde: Serde = BinarySerde()

    def rpc(self, name: str, request: dict[str, Any], finish: Callable[[dict[str, Any]], T]) -> Call[T]:
        """Any rpc of the protocol: a JSON document in, one out, with the proto's field names."""
        body = json.dumps(request)
        return Call(self.core.call_json(name, body), lambda reply: finish(json.loads(reply)))

    # Topics

    def create_topic(self, topic: str, partitions: int, options: dict[str, Any]) -> Call[TopicMetadata]:
        if partitions < 1:
            raise InvalidArgumentError(f"a topic has at least one partition, not {partitions}")
        request = {"name": topic, "options": {"partitions": count_of("partitions", partitions), **options}}
        return self.rpc("CreateTopic", request, lambda reply: _topic(reply["topic"]))

    def delete_topic(self, topic: str) -> Call[None]:
        return self.rpc("DeleteTopic", {"name": topic}, nothing)

    def list_topics(self) -> Call[list[str]]:
        return self.rpc("ListTopics", {}, lambda reply: [topic["name"] for topic in reply["topics"]])

    def get_topic(self, topic: str) -> Call[TopicMetadata]:
        return self.rpc("GetTopic", {"name": topic}, lambda reply: _topic(reply["topic"]))

    def get_cluster_metadata(self) -> Call[ClusterMetadata]:
        return self.rpc("GetMetadata", {}, _cluster)

    # Records

    def produce(
        self, topic: str, value: Any, key: Key, headers: Headers, partition: Optional[int], acks: str
    ) -> Call[RecordMetadata]:
        message = outgoing(self.serde, topic, value, key, headers, partition)
        return Call(self.core.produce(topic, message, acks), stored)

    def produce_batch(
        self, topic: str, messages: Iterable[Any], partition: Optional[int], acks: str
    ) -> Call[list[RecordMetadata]]:
        batch = [outgoing(self.serde, topic, value, key, partition=partition) for key, value in map(_pair, messages)]
        return Call(self.core.produce_batch(topic, batch, acks), lambda all_: [stored(one) for one in all_])

    def consume(self, topic: str, offset: SupportsIndex, partition: Optional[int]) -> Call[ConsumedMessage]:
        if partition is None:
            # The documented `consume(topic, produce(topic, value))` must find that very message.
            partition = offset.partition if isinstance(offset, RecordMetadata) else 0
        operation = self.core.consume(topic, partition_of(partition) or 0, offset_of(offset))
        return Call(operation, lambda parts: consumed(parts, self.serde))

    def fetch(
        self,
        topic: str,
        partition: int,
        offset: SupportsIndex,
        max_messages: int,
        max_wait_ms: int,
        filter: Optional[str] = None,
    ) -> Call[FetchResult]:
        operation = self.core.fetch(
            topic,
            partition_of(partition) or 0,
            offset_of(offset),
            count_of("max_messages", max_messages),
            FETCH_BYTES,
            count_of("max_wait_ms", max_wait_ms),
            filter or None,
        )
        return Call(operation, self._fetched)

    def _fetched(self, parts: tuple[list[_core._Received], int, int, int]) -> FetchResult:
        messages, next_offset, high_watermark, low_watermark = parts
        return FetchResult.model_construct(
            messages=[consumed(one, self.serde) for one in messages],
            next_offset=next_offset,
            high_watermark=high_watermark,
            low_watermark=low_watermark,
        )

    def produce_with(self, topic: str, value: Any, key: Key, more: dict[str, Any]) -> Call[RecordMetadata]:
        request = {"topic": topic, "acks": "ACKS_ALL", "records": [self.record(topic, value, key)], **more}
        return self.rpc("Produce", request, lambda reply: _metadata(reply["records"][0]))

    def produce_delayed(self, topic: str, value: Any, key: Key, delay_ms: int) -> Call[str]:
        return self.schedule(topic, value, key, {"delay_ms": delay_ms})

    def schedule(self, topic: str, value: Any, key: Key, when: dict[str, Any]) -> Call[str]:
        request = {"topic": topic, "record": self.record(topic, value, key), **when}
        return self.rpc("ScheduleMessage", request, lambda reply: str(reply["schedule"]["id"]))

    def list_schedules(self, topic: str, max_messages: int) -> Call[list[Schedule]]:
        request = {"topic": topic, "page_size": max_messages}
        return self.rpc("ListSchedules", request, lambda reply: [Schedule(**one) for one in reply.get("schedules", [])])

    def cancel_schedule(self, topic: str, schedule_id: str) -> Call[None]:
        return self.rpc("CancelSchedule", {"topic": topic, "id": schedule_id}, nothing)

    def deliver_schedule_now(self, topic: str, schedule_id: str) -> Call[RecordMetadata]:
        request = {"topic": topic, "id": schedule_id}
        return self.rpc("DeliverScheduleNow", request, lambda reply: _metadata(reply["record"]))

    def record(self, topic: str, value: Any, key: Key) -> dict[str, Any]:
        """A record inside a JSON request."""
        data, key_data, *_ = outgoing(self.serde, topic, value, key)
        record: dict[str, Any] = {"value": _base64(data or b""), "tombstone": data is None}
        if key_data is not None:
            record["key"] = _base64(key_data)
        return record

    # Transactions, dead letters

    def begin_transaction(self) -> Call[str]:
        return self.rpc("BeginTransaction", {}, lambda reply: str(reply["transaction_id"]))

    def produce_in_transaction(self, txn: str, topic: str, value: Any, key: Key) -> Call[RecordMetadata]:
        request = {"transaction_id": txn, "topic": topic, "records": [self.record(topic, value, key)]}
        return self.rpc("ProduceInTransaction", request, lambda reply: _metadata(reply["records"][0]))

    def end_transaction(self, txn: str, commit: bool) -> Call[None]:
        return self.rpc("CommitTransaction" if commit else "AbortTransaction", {"transaction_id": txn}, nothing)

    def fetch_dlq(self, topic: str, max_messages: int) -> Call[list[DeadLetter]]:
        request = {"topic": topic, "max_messages": count_of("max_messages", max_messages)}
        return self.rpc("ListDeadLetters", request, lambda reply: [self._letter(d) for d in reply["dead_letters"]])

    def _letter(self, letter: dict[str, Any]) -> DeadLetter:
        record = letter["record"]
        headers = [(h["name"], _plain(h["value"])) for h in record["headers"]]
        key = record.get("key")
        parts = (
            letter["origin_topic"],
            letter["origin_partition"],
            letter["origin_offset"],
            record["timestamp_ms"],
            None if key is None else _plain(key),
            _plain(record["value"]),
            record["tombstone"],
            headers,
        )
        return DeadLetter(
            id=letter["id"],
            error=letter["error"],
            reason=letter["reason"],
            attempts=letter["attempts"],
            message=consumed(parts, self.serde),
        )


def _pair(message: Any) -> tuple[Key, Any]:
    """`(key, value)`, or a value alone."""
    if isinstance(message, tuple) and len(message) == 2:
        return message
    return None, message


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _plain(text: str) -> bytes:
    return base64.b64decode(text)


def _metadata(reply: dict[str, Any]) -> RecordMetadata:
    return RecordMetadata(
        topic=reply["topic"],
        partition=reply["partition"],
        offset=reply["offset"],
        timestamp_ms=reply["timestamp_ms"],
    )


def _topic(topic: dict[str, Any]) -> TopicMetadata:
    known = PartitionInfo.model_fields
    parts = [PartitionInfo(**{k: v for k, v in p.items() if k in known}) for p in topic["partitions"]]
    replicas = (topic.get("options") or {}).get("replication_factor") or 1
    return TopicMetadata(name=topic["name"], partitions=len(parts), replication_factor=replicas, partition_info=parts)


def _cluster(reply: dict[str, Any]) -> ClusterMetadata:
    nodes = [NodeMetadata(node_id=m["node_id"], address=m.get("client_addr", "")) for m in reply["members"]]
    partitions = {topic["name"]: {p["partition"]: p["leader"] for p in topic["partitions"]} for topic in reply["topics"]}
    return ClusterMetadata(cluster_id=reply["cluster_id"], nodes=nodes, partitions=partitions)
