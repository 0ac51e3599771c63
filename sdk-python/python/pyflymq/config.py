"""Settings with their documented defaults."""

from __future__ import annotations

from typing import Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field

Acks = Literal["all", "quorum", "leader", "none"]
Assignor = Literal["cooperative", "sticky", "range"]
IsolationLevel = Literal["read_committed", "read_uncommitted"]
CompressionType = Literal["none", "gzip", "lz4", "zstd", "snappy"]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClientConfig(_Config):
    """How a client connects. Times are in milliseconds."""

    #: `"host:port"`, several with commas, or a list; the next is tried when one does not answer.
    bootstrap_servers: Union[str, list[str]] = "localhost:9092"
    connect_timeout_ms: int = Field(10_000, gt=0)
    #: One request with all its retries.
    request_timeout_ms: int = Field(30_000, gt=0)
    #: Repeats after the first attempt.
    max_retries: int = Field(3, ge=0)
    #: Before the first repeat; doubles each time.
    retry_delay_ms: int = Field(1_000, ge=0)
    tls_enabled: bool = False
    tls_ca_file: Optional[str] = None
    tls_cert_file: Optional[str] = None
    tls_key_file: Optional[str] = None
    tls_insecure_skip_verify: bool = False
    username: Optional[str] = None
    password: Optional[str] = Field(None, repr=False)
    #: On by itself when `encryption_key` is given to the client directly.
    encryption_enabled: bool = False
    #: 64 hexadecimal characters.
    encryption_key: Optional[str] = Field(None, repr=False)

    def servers(self) -> str:
        """The servers as one text."""
        servers = self.bootstrap_servers
        return servers if isinstance(servers, str) else ",".join(servers)


class ProducerConfig(_Config):
    """How a producer batches. `batch_size` counts bytes here, but messages in `client.producer(batch_size=)`."""

    #: Bytes after which a batch is sent.
    batch_size: int = Field(16_384, gt=0)
    #: How long a batch that is not full waits for more.
    linger_ms: int = Field(0, ge=0)
    #: Messages after which a batch is sent.
    max_batch_messages: int = Field(1_000, gt=0)
    acks: Acks = "all"
    #: Each message is stored once and in order, also where a batch is sent again; with acks other than all it has no effect.
    enable_idempotence: bool = True
    retries: int = Field(3, ge=0)
    retry_backoff_ms: int = Field(100, ge=0)
    #: How batches are compressed; one that would not get smaller is sent as it is. Consumers need no setting.
    compression_type: CompressionType = "none"
    #: Level of gzip (0-9, 6 unless set) and zstd (1-22, 1 unless set).
    compression_level: Optional[int] = None


class ConsumerConfig(_Config):
    """How a consumer reads. With a group it is a member: it shares the group's partitions with the other members."""

    group_id: Optional[str] = None
    #: Where a partition without a committed offset begins.
    auto_offset_reset: Literal["earliest", "latest"] = "latest"
    enable_auto_commit: bool = True
    auto_commit_interval_ms: int = Field(5_000, gt=0)
    max_poll_records: int = Field(500, gt=0)
    #: `read_uncommitted` also reads messages of transactions that are open, or were aborted.
    isolation_level: IsolationLevel = "read_committed"
    #: False: reads all partitions of its topics, whoever else is in the group.
    membership: bool = True
    #: How long a member may be silent before others get its partitions; the server's 10 s unless set.
    session_timeout_ms: Optional[int] = Field(None, gt=0)
    #: How long a member may go without a poll while partitions move; the server's 60 s unless set.
    rebalance_timeout_ms: Optional[int] = Field(None, gt=0)
    #: How partitions are shared out: what most members ask for; the server's `cooperative` unless set.
    assignor: Optional[Assignor] = None
    #: Makes it a static member: a process that starts again under the same id within the session keeps its partitions.
    group_instance_id: Optional[str] = None
