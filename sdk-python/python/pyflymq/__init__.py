"""FlyMQ for Python.

    from pyflymq import connect

    with connect("localhost:9092") as client:
        stored = client.produce("orders", b"hello")
        print(client.consume("orders", stored).decode())

Everything that talks to the broker is the Rust client core; this package gives it Python's types.
"""

from pyflymq._core import __version__
from pyflymq.async_client import AsyncConsumer, AsyncFlyMQClient, AsyncProducer
from pyflymq.client import FlyMQClient, connect
from pyflymq.config import ClientConfig, ConsumerConfig, ProducerConfig
from pyflymq.consumer import Consumer, ConsumerGroup, HighLevelConsumer
from pyflymq.crypto import Encryptor, generate_key
from pyflymq.exceptions import FlyMQError
from pyflymq.models import (
    ClusterMetadata,
    ConsumedMessage,
    DeadLetter,
    DeadLetterStats,
    FetchResult,
    GroupInfo,
    GroupMember,
    PartitionLag,
    PartitionOffset,
    RecordMetadata,
    Schedule,
    Schema,
    SchemaReference,
    TopicMetadata,
    TopicPartitions,
    TransactionInfo,
)
from pyflymq.pool import FlyMQClientPool
from pyflymq.producer import HighLevelProducer, ProduceFuture, Producer
from pyflymq.queue import AsyncQueueConsumer, QueueConsumer
from pyflymq.reactive import AsyncReactiveConsumer, ReactiveConsumer, ReactiveProducer
from pyflymq.transaction import AsyncTransaction, Transaction
from pyflymq.transactional import AsyncTransactionalProducer, TransactionalProducer

__all__ = [
    "AsyncConsumer",
    "AsyncFlyMQClient",
    "AsyncProducer",
    "AsyncQueueConsumer",
    "AsyncReactiveConsumer",
    "AsyncTransaction",
    "AsyncTransactionalProducer",
    "ClientConfig",
    "ClusterMetadata",
    "ConsumedMessage",
    "Consumer",
    "ConsumerConfig",
    "ConsumerGroup",
    "DeadLetter",
    "DeadLetterStats",
    "Encryptor",
    "FetchResult",
    "FlyMQClient",
    "FlyMQClientPool",
    "FlyMQError",
    "GroupInfo",
    "GroupMember",
    "HighLevelConsumer",
    "HighLevelProducer",
    "PartitionLag",
    "PartitionOffset",
    "ProduceFuture",
    "Producer",
    "ProducerConfig",
    "QueueConsumer",
    "ReactiveConsumer",
    "ReactiveProducer",
    "RecordMetadata",
    "Schedule",
    "Schema",
    "SchemaReference",
    "TopicMetadata",
    "TopicPartitions",
    "Transaction",
    "TransactionInfo",
    "TransactionalProducer",
    "__version__",
    "connect",
    "generate_key",
]
