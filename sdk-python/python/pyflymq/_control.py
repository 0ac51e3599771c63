"""Groups, dead letters, schemas and transactions: each one rpc, written once, waited for or awaited."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Callable, Optional, SupportsIndex, TypeVar, Union

from pyflymq._call import Call
from pyflymq._records import offset_of, partition_of
from pyflymq.exceptions import InvalidArgumentError
from pyflymq.models import (
    DeadLetterStats,
    GroupInfo,
    PartitionLag,
    PartitionOffset,
    Schema,
    SchemaReference,
    TransactionInfo,
)

T = TypeVar("T")

#: Where a group begins anew: "earliest", "latest", an offset, or a time.
ResetTo = Union[str, SupportsIndex, datetime]

_SCHEMA_TYPES = ("json", "avro", "protobuf")


class ControlCalls:
    """Requests of calls that no record goes through, and what is made of their answers."""

    def rpc(self, name: str, request: dict[str, Any], finish: Callable[[dict[str, Any]], T]) -> Call[T]:
        """Any rpc of the protocol: a JSON document in, one out, with the proto's field names."""
        raise NotImplementedError

    # Groups

    def list_groups(self) -> Call[list[str]]:
        return self.rpc("ListGroups", {}, lambda reply: [one["group"] for one in reply["groups"]])

    def describe_group(self, group: str) -> Call[GroupInfo]:
        return self.rpc("DescribeGroup", {"group": group}, _group)

    def committed(self, group: str, topic: str) -> Call[list[PartitionOffset]]:
        return self.rpc("GetOffsets", {"group": group, "topic": topic}, _offsets)

    def commit_offset(self, group: str, topic: str, partition: int, offset: SupportsIndex) -> Call[None]:
        place = {"topic": topic, "partition": partition_of(partition) or 0, "offset": offset_of(offset)}
        return self.rpc("CommitOffsets", {"group": group, "offsets": [place]}, nothing)

    def lag(self, group: str, topic: Optional[str]) -> Call[list[PartitionLag]]:
        request = {"group": group, "topic": topic or ""}
        return self.rpc("GetLag", request, lambda reply: [PartitionLag(**one) for one in reply["partitions"]])

    def reset_offsets(self, group: str, topic: str, to: ResetTo, partitions: Sequence[int]) -> Call[list[PartitionOffset]]:
        request = {"group": group, "topic": topic, "partitions": list(partitions), **_reset_to(to)}
        return self.rpc("ResetOffsets", request, _offsets)

    def delete_group(self, group: str, topic: Optional[str]) -> Call[None]:
        return self.rpc("DeleteGroup", {"group": group, "topic": topic or ""}, nothing)

    # Transactions

    def list_transactions(self) -> Call[list[TransactionInfo]]:
        def read(reply: dict[str, Any]) -> list[TransactionInfo]:
            return [TransactionInfo(**_plain(one, "state", "TRANSACTION_STATE_")) for one in reply["transactions"]]

        return self.rpc("ListTransactions", {}, read)

    # Dead letters

    def replay_dlq(self, topic: str, chosen: dict[str, Any]) -> Call[int]:
        return self.rpc("ReplayDeadLetters", {"topic": topic, **chosen}, lambda reply: int(reply["replayed"]))

    def dlq_stats(self, topic: str) -> Call[DeadLetterStats]:
        return self.rpc("GetDeadLetterStats", {"topic": topic}, lambda reply: DeadLetterStats(**reply))

    def purge_dlq(self, topic: str) -> Call[int]:
        return self.rpc("PurgeDeadLetters", {"topic": topic}, lambda reply: int(reply["purged"]))

    def set_dead_letter_policy(self, topic: str, group: Optional[str], policy: dict[str, Any]) -> Call[None]:
        options = {"dead_letters": policy} if group is None else {"group_dead_letters": {group: policy}}
        return self.rpc("AlterTopic", {"name": topic, "options": options}, nothing)

    # Schemas

    def register_schema(
        self, name: str, kind: str, definition: str, compatibility: Optional[str], references: Sequence[SchemaReference]
    ) -> Call[Schema]:
        request = _registration(name, kind, definition, compatibility, references)
        return self.rpc("RegisterSchema", request, lambda reply: _schema(reply["schema"]))

    def check_schema(self, name: str, kind: str, definition: str, references: Sequence[SchemaReference]) -> Call[None]:
        request = {**_registration(name, kind, definition, None, references), "dry_run": True}
        return self.rpc("RegisterSchema", request, nothing)

    def get_schema(self, name: str, version: int) -> Call[Schema]:
        return self.rpc("GetSchema", {"name": name, "version": version}, lambda reply: _schema(reply["schema"]))

    def list_schemas(self, name: Optional[str]) -> Call[list[Schema]]:
        return self.rpc("ListSchemas", {"name": name or ""}, lambda reply: [_schema(one) for one in reply["schemas"]])

    def validate_schema(self, name: str, value: Union[bytes, str], version: int) -> Call[list[str]]:
        data = value.encode() if isinstance(value, str) else value
        request = {"name": name, "version": version, "value": base64.b64encode(data).decode()}
        return self.rpc("ValidateSchema", request, lambda reply: list(reply["errors"]))

    def delete_schema(self, name: str, version: int, permanent: bool) -> Call[list[int]]:
        request = {"name": name, "version": version, "permanent": permanent}
        return self.rpc("DeleteSchema", request, lambda reply: list(reply["versions"]))

    def set_compatibility(self, name: str, compatibility: str) -> Call[None]:
        request = {"name": name, **_named("compatibility", "COMPATIBILITY", compatibility)}
        return self.rpc("SetCompatibility", request, nothing)

    def bind_schema(self, topic: str, names: dict[str, Optional[str]], rules: dict[str, Optional[str]]) -> Call[None]:
        request: dict[str, Any] = {"topic": topic, **{field: name for field, name in names.items() if name}}
        for field, rule in rules.items():
            request.update(_named(field, "VALIDATION_MODE" if field == "mode" else "SUBJECT_STRATEGY", rule))
        return self.rpc("BindSchema", request, nothing)


def chosen_letters(ids: Union[str, Sequence[str], None], filter: Optional[str]) -> dict[str, Any]:
    """Which dead letters to replay: those of the ids, those that match, or all."""
    if filter is not None:
        return {"filter": filter, "ids": [ids] if isinstance(ids, str) else list(ids or ())}
    if ids is None:
        return {"all": True}
    return {"ids": [ids] if isinstance(ids, str) else list(ids)}


def nothing(_reply: dict[str, Any]) -> None:
    return None


def _registration(
    name: str, kind: str, definition: str, compatibility: Optional[str], references: Sequence[SchemaReference]
) -> dict[str, Any]:
    if kind not in _SCHEMA_TYPES:
        raise InvalidArgumentError(f"unknown schema type {kind!r}: use one of {', '.join(_SCHEMA_TYPES)}")
    return {
        "name": name,
        "type": f"SCHEMA_TYPE_{kind.upper()}",
        "definition": definition,
        "references": [one.model_dump() for one in references],
        **_named("compatibility", "COMPATIBILITY", compatibility),
    }


def _reset_to(to: ResetTo) -> dict[str, Any]:
    if isinstance(to, datetime):
        return {"to": "START_FROM_TIMESTAMP", "timestamp_ms": round(to.timestamp() * 1_000)}
    if isinstance(to, str):
        if to not in ("earliest", "latest"):
            raise InvalidArgumentError(f'cannot reset to {to!r}: use "earliest", "latest", an offset or a datetime')
        return {"to": f"START_FROM_{to.upper()}"}
    return {"to": "START_FROM_OFFSET", "offset": offset_of(to)}


def _offsets(reply: dict[str, Any]) -> list[PartitionOffset]:
    return [PartitionOffset(**one) for one in reply["offsets"]]


def _group(reply: dict[str, Any]) -> GroupInfo:
    return GroupInfo(**_plain(reply, "state", "GROUP_STATE_"))


def _schema(schema: dict[str, Any]) -> Schema:
    plain = _plain(_plain(schema, "type", "SCHEMA_TYPE_"), "compatibility", "COMPATIBILITY_")
    return Schema(**plain)


def _plain(reply: dict[str, Any], field: str, prefix: str) -> dict[str, Any]:
    """With a constant of the protocol as a plain word: `GROUP_STATE_STABLE` is `stable`."""
    return {**reply, field: reply[field].removeprefix(prefix).lower()}


def _named(field: str, prefix: str, name: Optional[str]) -> dict[str, str]:
    return {} if name is None else {field: f"{prefix}_{name.upper()}"}
