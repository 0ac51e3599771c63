"""Groups, dead letters, schemas and transactions, for both clients: what operators and tools ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, SupportsIndex, Union

from pyflymq._control import ControlCalls, ResetTo, chosen_letters
from pyflymq.models import (
    DeadLetterStats,
    GroupInfo,
    PartitionLag,
    PartitionOffset,
    Schema,
    SchemaReference,
    TransactionInfo,
)


class ControlMethods:
    """Calls of `FlyMQClient` that no message goes through."""

    def _open(self) -> ControlCalls:
        raise NotImplementedError

    def list_groups(self) -> list[str]:
        """Names of all consumer groups."""
        return self._open().list_groups().wait()

    def describe_group(self, group: str) -> GroupInfo:
        """A group with its members and offsets. Raises `GroupNotFoundError` when it has neither."""
        return self._open().describe_group(group).wait()

    def committed(self, group: str, topic: str) -> list[PartitionOffset]:
        """A group's committed offsets: each the next to read."""
        return self._open().committed(group, topic).wait()

    def commit_offset(self, group: str, topic: str, partition: int, offset: SupportsIndex) -> None:
        """Commits the next offset to read of a group; durable when it returns."""
        self._open().commit_offset(group, topic, partition, offset).wait()

    def lag(self, group: str, topic: Optional[str] = None) -> list[PartitionLag]:
        """How far a group is behind in a topic, or in all that it has committed, by partition."""
        return self._open().lag(group, topic).wait()

    def reset_offsets(self, group: str, topic: str, to: ResetTo, *, partitions: Sequence[int] = ()) -> list[PartitionOffset]:
        """Lets a group that has no members begin anew: at the "earliest", the "latest", an offset, or the first message of a
        time (a `datetime`) or later; in all partitions or these. Where it begins now. Raises `InUseError` while
        members read the topic."""
        return self._open().reset_offsets(group, topic, to, partitions).wait()

    def delete_group(self, group: str, topic: Optional[str] = None) -> None:
        """Forgets a group and its offsets, or those of one topic."""
        self._open().delete_group(group, topic).wait()

    def list_transactions(self) -> list[TransactionInfo]:
        """Transactions that are open, or ending."""
        return self._open().list_transactions().wait()

    def replay_dlq(
        self, topic: str, message_id: Union[str, Sequence[str], None] = None, *, filter: Optional[str] = None
    ) -> int:
        """Puts dead letters back into the topic: the one of an id, those of several (up to 1,000), those that match `filter` (a
        text in value, key, error, reason or group; or `cel:` and an expression), or all; how many that were."""
        return self._open().replay_dlq(topic, chosen_letters(message_id, filter)).wait()

    def dlq_stats(self, topic: str) -> DeadLetterStats:
        """How many dead letters a topic has, by reason and by group."""
        return self._open().dlq_stats(topic).wait()

    def set_dead_letter_policy(self, name: str, group: Optional[str] = None, **policy: Any) -> None:
        """Says how often and when messages of a topic that fail come again, and where they go then: for one group, or for all
        that say nothing themselves. `policy`: `enabled`, `max_retries`, `retry_delay_ms`, `backoff_factor`,
        `max_retry_delay_ms` and `topic`, the proto's `DeadLetterPolicy`; what is left out stays, and without any all that was
        said is taken away. Raises `TopicNotFoundError`; `InvalidArgumentError` names the field."""
        self._open().set_dead_letter_policy(name, group, policy).wait()

    def purge_dlq(self, topic: str) -> int:
        """Deletes all dead letters of a topic; how many that were."""
        return self._open().purge_dlq(topic).wait()

    def register_schema(
        self,
        name: str,
        schema_type: str,
        definition: str,
        *,
        compatibility: Optional[str] = None,
        references: Sequence[SchemaReference] = (),
    ) -> Schema:
        """Registers a version of a schema of type `json`, `avro` or `protobuf`; the one that has the text already, if there is
        one. `compatibility` is the rule of a new schema: `none`, `backward`, `forward`, `full`, or one of the last three
        with `_transitive`. Raises `SchemaError` for a text that is no schema, or does not fit the versions before."""
        return self._open().register_schema(name, schema_type, definition, compatibility, references).wait()

    def check_schema(self, name: str, schema_type: str, definition: str, *, references: Sequence[SchemaReference] = ()) -> None:
        """Returns when a version could be registered, and raises what `register_schema` would; nothing is registered."""
        self._open().check_schema(name, schema_type, definition, references).wait()

    def get_schema(self, name: str, version: int = 0) -> Schema:
        """A version of a schema; 0: the newest."""
        return self._open().get_schema(name, version).wait()

    def list_schemas(self, name: Optional[str] = None) -> list[Schema]:
        """All versions of a schema, or of all, by name and version."""
        return self._open().list_schemas(name).wait()

    def validate_schema(self, name: str, value: Union[bytes, str], version: int = 0) -> list[str]:
        """What is wrong with a value by a version of a schema (0: the newest), each with its path; empty: it matches."""
        return self._open().validate_schema(name, value, version).wait()

    def delete_schema(self, name: str, version: int = 0, *, permanent: bool = False) -> list[int]:
        """Deletes a version of a schema (0: all); which ones. Their ids are still found, until they are deleted
        once more, `permanent`."""
        return self._open().delete_schema(name, version, permanent).wait()

    def set_compatibility(self, name: str, compatibility: str) -> None:
        """Says which further versions of a schema are taken; of `""`: of all schemas that have no rule of their own."""
        self._open().set_compatibility(name, compatibility).wait()

    def bind_schema(
        self,
        topic: str,
        name: Optional[str] = None,
        *,
        mode: Optional[str] = None,
        key_name: Optional[str] = None,
        strategy: Optional[str] = None,
        key_strategy: Optional[str] = None,
    ) -> None:
        """Has what comes into a topic match schemas: of values `name` (or found by `strategy`: `topic_name`, `record_name`,
        `topic_record_name`), of keys `key_name` or `key_strategy`. `mode`: `strict` (refused), `warn` (taken, and counted) or
        `off`; else the server's. With neither name nor strategy the topic takes anything again."""
        self._open().bind_schema(
            topic,
            {"name": name, "key_name": key_name},
            {"mode": mode, "strategy": strategy, "key_strategy": key_strategy},
        ).wait()


class AsyncControlMethods:
    """Calls of `AsyncFlyMQClient` that no message goes through."""

    @property
    def _calls(self) -> ControlCalls:
        raise NotImplementedError

    async def list_groups(self) -> list[str]:
        """As `FlyMQClient.list_groups`."""
        return await self._calls.list_groups()

    async def describe_group(self, group: str) -> GroupInfo:
        """As `FlyMQClient.describe_group`."""
        return await self._calls.describe_group(group)

    async def committed(self, group: str, topic: str) -> list[PartitionOffset]:
        """As `FlyMQClient.committed`."""
        return await self._calls.committed(group, topic)

    async def commit_offset(self, group: str, topic: str, partition: int, offset: SupportsIndex) -> None:
        """As `FlyMQClient.commit_offset`."""
        await self._calls.commit_offset(group, topic, partition, offset)

    async def lag(self, group: str, topic: Optional[str] = None) -> list[PartitionLag]:
        """As `FlyMQClient.lag`."""
        return await self._calls.lag(group, topic)

    async def reset_offsets(
        self, group: str, topic: str, to: ResetTo, *, partitions: Sequence[int] = ()
    ) -> list[PartitionOffset]:
        """As `FlyMQClient.reset_offsets`."""
        return await self._calls.reset_offsets(group, topic, to, partitions)

    async def delete_group(self, group: str, topic: Optional[str] = None) -> None:
        """As `FlyMQClient.delete_group`."""
        await self._calls.delete_group(group, topic)

    async def list_transactions(self) -> list[TransactionInfo]:
        """As `FlyMQClient.list_transactions`."""
        return await self._calls.list_transactions()

    async def replay_dlq(
        self, topic: str, message_id: Union[str, Sequence[str], None] = None, *, filter: Optional[str] = None
    ) -> int:
        """As `FlyMQClient.replay_dlq`."""
        return await self._calls.replay_dlq(topic, chosen_letters(message_id, filter))

    async def dlq_stats(self, topic: str) -> DeadLetterStats:
        """As `FlyMQClient.dlq_stats`."""
        return await self._calls.dlq_stats(topic)

    async def set_dead_letter_policy(self, name: str, group: Optional[str] = None, **policy: Any) -> None:
        """As `FlyMQClient.set_dead_letter_policy`."""
        await self._calls.set_dead_letter_policy(name, group, policy)

    async def purge_dlq(self, topic: str) -> int:
        """As `FlyMQClient.purge_dlq`."""
        return await self._calls.purge_dlq(topic)

    async def register_schema(
        self,
        name: str,
        schema_type: str,
        definition: str,
        *,
        compatibility: Optional[str] = None,
        references: Sequence[SchemaReference] = (),
    ) -> Schema:
        """As `FlyMQClient.register_schema`."""
        return await self._calls.register_schema(name, schema_type, definition, compatibility, references)

    async def check_schema(
        self, name: str, schema_type: str, definition: str, *, references: Sequence[SchemaReference] = ()
    ) -> None:
        """As `FlyMQClient.check_schema`."""
        await self._calls.check_schema(name, schema_type, definition, references)

    async def get_schema(self, name: str, version: int = 0) -> Schema:
        """As `FlyMQClient.get_schema`."""
        return await self._calls.get_schema(name, version)

    async def list_schemas(self, name: Optional[str] = None) -> list[Schema]:
        """As `FlyMQClient.list_schemas`."""
        return await self._calls.list_schemas(name)

    async def validate_schema(self, name: str, value: Union[bytes, str], version: int = 0) -> list[str]:
        """As `FlyMQClient.validate_schema`."""
        return await self._calls.validate_schema(name, value, version)

    async def delete_schema(self, name: str, version: int = 0, *, permanent: bool = False) -> list[int]:
        """As `FlyMQClient.delete_schema`."""
        return await self._calls.delete_schema(name, version, permanent)

    async def set_compatibility(self, name: str, compatibility: str) -> None:
        """As `FlyMQClient.set_compatibility`."""
        await self._calls.set_compatibility(name, compatibility)

    async def bind_schema(
        self,
        topic: str,
        name: Optional[str] = None,
        *,
        mode: Optional[str] = None,
        key_name: Optional[str] = None,
        strategy: Optional[str] = None,
        key_strategy: Optional[str] = None,
    ) -> None:
        """As `FlyMQClient.bind_schema`."""
        await self._calls.bind_schema(
            topic,
            {"name": name, "key_name": key_name},
            {"mode": mode, "strategy": strategy, "key_strategy": key_strategy},
        )
