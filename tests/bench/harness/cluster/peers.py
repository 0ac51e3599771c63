"""The clusters that are compared: the same brokers as on one node, three of each, and every record on all of them."""

from __future__ import annotations

import time
import uuid
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from ..model import Work
from ..peers.bare import Bare
from ..peers.base import Peer, Places
from ..peers.flymq import FlyMQ
from ..peers.kafka import HEAP, QUIET, Kafka
from ..peers.nats import Nats
from ..process import Group, Server, accepts, answers, free_ports, run
from .nodes import COUNT, Cluster

START_AFTER = 3.0
"""Seconds until all of them have their files."""

REPLICAS = ["--replicas", str(COUNT)]


class FlyMQCluster(FlyMQ):
    """Everything with `acks=all`: on the disk of every in-sync replica."""

    def start(self, places: Places, stack: ExitStack) -> None:
        cluster = Cluster(stack, self._server, places.data / "flymq")
        self.main, self._address = Group(cluster.servers, cluster.ready_ms), cluster.address

    def does(self, work: Work) -> bool:
        return work.kind != "disk" and not work.flushed

    def acks(self, work: Work) -> str:
        return "all"

    def ack(self, work: Work) -> str:
        return "acks=all: written and fsynced (fdatasync) by every in-sync replica, at least two of three"

    def settings(self) -> str:
        return "release build of this tree, three nodes with defaults (TLS 1.3 between them), RF 3"


class KafkaCluster(Kafka):
    """Three combined brokers and controllers."""

    def start(self, places: Places, stack: ExitStack) -> None:
        ports = free_ports(2 * COUNT)
        brokers, controllers = ports[:COUNT], ports[COUNT:]
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        java = ["java", "-cp", self._classes, QUIET]
        configs = [self._node(places.data / f"kafka-{n}", n, brokers, controllers) for n in range(1, COUNT + 1)]
        with ThreadPoolExecutor(COUNT) as pool:
            list(pool.map(lambda config: run([*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", config], 60), configs))
        servers = [stack.enter_context(Server(self.name, [*java, *HEAP, "kafka.Kafka", config], config.parent / "log")) for config in configs]
        for server, port in zip(servers, brokers, strict=True):
            server.wait(lambda port=port: accepts(port), 90)  # type: ignore[misc]
        self.main = Group(servers, max(server.ready_ms for server in servers))
        self._address = ",".join(f"127.0.0.1:{port}" for port in brokers)

    def _node(self, home: Path, number: int, brokers: list[int], controllers: list[int]) -> Path:
        home.mkdir(parents=True)
        lines = self._config(brokers[number - 1], controllers[number - 1], home / "data").splitlines()
        changed = {"node.id": str(number), "offsets.topic.replication.factor": str(COUNT), "min.insync.replicas": "2"}
        changed["controller.quorum.voters"] = ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(controllers, 1))
        kept = [line for line in lines if line.partition("=")[0] not in changed]
        config = home / "server.properties"
        config.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in changed.items()), ""]), encoding="utf-8")
        return config

    def does(self, work: Work) -> bool:
        return work.kind != "disk"

    def command(self, work: Work, topic: str) -> list[str | Path]:
        return [*super().command(work, topic), *REPLICAS]

    def ack(self, work: Work) -> str:
        if work.flushed:
            return "flush.messages=1, acks=all: written and fsynced by each in-sync replica"
        return "acks=all, min.insync.replicas=2: in the page cache of every in-sync replica, no fsync"

    def settings(self) -> str:
        return (
            "KRaft, three nodes (broker and controller each), heap 1 GiB, G1, RF 3; linger.ms=10 batch.size=262144, sync and end to end linger.ms=0"
        )


class NatsCluster(Nats):
    """Three servers; the stream has three replicas, and the driver uses the server that leads it."""

    def start(self, places: Places, stack: ExitStack) -> None:
        ports = free_ports(3 * COUNT)
        clients, monitors, routes = ports[:COUNT], ports[COUNT : 2 * COUNT], ports[2 * COUNT :]
        servers = []
        for n in range(COUNT):
            home = places.data / f"nats-{n + 1}"
            home.mkdir(parents=True)
            config = home / "server.conf"
            known = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
            cluster = f'server_name: n{n + 1}\ncluster {{\nname: bench\nlisten: "127.0.0.1:{routes[n]}"\nroutes: [{known}]\n}}\n'
            config.write_text(self._config(clients[n], monitors[n], home / "data", synced=False) + cluster, encoding="utf-8")
            servers.append(stack.enter_context(Server(home.name, [self._server, "-c", config], home / "log")))
        for server, monitor in zip(servers, monitors, strict=True):
            server.wait(lambda monitor=monitor: answers(f"http://127.0.0.1:{monitor}/healthz"), 60)  # type: ignore[misc]
        self.main = Group(servers, max(server.ready_ms for server in servers))
        self._addresses = {False: ",".join(f"127.0.0.1:{port}" for port in clients)}

    def does(self, work: Work) -> bool:
        return work.kind != "disk" and not work.flushed

    def command(self, work: Work, topic: str) -> list[str | Path]:
        return [*super().command(work, topic), *REPLICAS]

    def ack(self, work: Work) -> str:
        return "written to the file by a majority; fsync every 2 minutes"

    def settings(self) -> str:
        return "three servers, file storage, stream with three replicas; PublishAsync to its leader, ordered push consumer"


class BareCluster(Bare):
    """Three processes that write and sync over files of their own at once, without network: what the one disk leaves each."""

    title = "Bare loop, three at once"
    _start = 0.0

    def does(self, work: Work) -> bool:
        return work.kind == "disk"

    def command(self, work: Work, topic: str) -> list[str | Path]:
        return [*super().command(work, topic), "--file-mib", "64", "--start-at", f"{self._start:.3f}"]

    def drive(self, work: Work, topic: str) -> dict[str, Any]:
        self._start = time.time() + START_AFTER
        with ThreadPoolExecutor(COUNT) as pool:
            lines = list(pool.map(lambda _: super(BareCluster, self).drive(work, topic), range(COUNT)))
        figures = {name: median(line[name] for line in lines) for name in ("msgs_per_s", "p50_us", "p99_us", "p999_us")}
        # A message counts once it lies on all three: the rate of each of them.
        unit = work.size // 1024
        return {**lines[0], **figures, "msgs_per_s": figures["msgs_per_s"] * unit}

    def ack(self, work: Work) -> str:
        return "written over a recycled file and fsynced by each of three processes at once"

    def settings(self) -> str:
        return "no broker, no network: three processes, one disk, each writes and syncs again and again; the rate of one of them"


ALL: dict[str, type[Peer]] = {"flymq": FlyMQCluster, "nats": NatsCluster, "kafka": KafkaCluster, "bare": BareCluster}
