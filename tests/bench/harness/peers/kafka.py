"""Kafka in KRaft mode, broker and controller in one process."""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64encode
from contextlib import ExitStack
from pathlib import Path

from ..model import Work
from ..process import BenchError, Server, accepts, free_ports, run
from .base import FETCH_SECONDS, Peer, Places, options

HEAP = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC")
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"


class Kafka(Peer):
    """The jars of one pom run the broker and the driver; no distribution is unpacked."""

    name = "kafka"
    title = "Kafka"

    def __init__(self) -> None:
        self._classes = ""
        self._address = ""

    def prepare(self, places: Places) -> None:
        pom = places.here / "kafka" / "pom.xml"
        home = places.tools / "kafka"
        fetched = home / "pom.xml"
        if not fetched.exists() or fetched.read_bytes() != pom.read_bytes():
            goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={home / 'lib'}"]
            run(["mvn", "-q", "-B", "-f", pom, *goal], FETCH_SECONDS)
            # The copy of the pom says that its jars are all there; it is written last.
            fetched.write_bytes(pom.read_bytes())
        sources = sorted((places.here / "kafka" / "src").rglob("*.java"))
        run(["javac", "--release", "17", "-d", home / "classes", "-cp", f"{home / 'lib'}/*", *sources], 120)
        self._classes = f"{home / 'classes'}:{home / 'lib'}/*"

    def start(self, places: Places, stack: ExitStack) -> None:
        home = places.data / "kafka"
        home.mkdir(parents=True)
        port, controller = free_ports(2)
        config = home / "server.properties"
        config.write_text(self._config(port, controller, home / "data"), encoding="utf-8")
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        java = ["java", "-cp", self._classes, QUIET]
        run([*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", config], 60)
        server = stack.enter_context(Server(self.name, [*java, *HEAP, "kafka.Kafka", config], home / "log"))
        server.wait(lambda: accepts(port), 60)
        self.main = server
        self._address = f"127.0.0.1:{port}"

    @staticmethod
    def _config(port: int, controller: int, logs: Path) -> str:
        return "\n".join(
            (
                "process.roles=broker,controller",
                "node.id=1",
                f"controller.quorum.voters=1@127.0.0.1:{controller}",
                f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}",
                "controller.listener.names=CONTROLLER",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                f"log.dirs={logs}",
                "offsets.topic.replication.factor=1",
                "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "",
            )
        )

    def command(self, work: Work, topic: str) -> list[str | Path]:
        if not self._address:
            raise BenchError("Kafka is not started")
        words = options(work, topic, "fsync" if work.kind == "fsync" or work.flushed else "all")
        if work.kind == "consume":
            words += ["--warmup", str(work.warmup)]
        elif work.waits:
            words.append("--no-batch")
        return ["java", "-cp", self._classes, QUIET, "-Xmx1g", "io.flymq.bench.Main", "--servers", self._address, *words]

    def ack(self, work: Work) -> str:
        if work.kind == "fsync":
            return "flush.messages=1, acks=all: written and fsynced by each produce request"
        return "acks=all: in the page cache of the one replica, no fsync"

    def settings(self) -> str:
        return "KRaft, one node, heap 1 GiB, G1; produce with linger.ms=10 batch.size=262144, sync and end to end with linger.ms=0"
