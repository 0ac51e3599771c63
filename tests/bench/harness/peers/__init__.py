"""The brokers that are compared, FlyMQ first."""

from __future__ import annotations

from .bare import Bare
from .base import Peer
from .flymq import FlyMQ
from .kafka import Kafka
from .nats import Nats
from .redis import Redis

ALL: dict[str, type[Peer]] = {"flymq": FlyMQ, "nats": Nats, "kafka": Kafka, "redis": Redis, "bare": Bare}

__all__ = ["ALL", "Peer"]
