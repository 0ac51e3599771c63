"""What is asked of a FlyMQ cluster alone: idle partitions, a killed leader, a node that has missed much."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..peers.base import DRIVE_SECONDS
from ..process import BenchError, run
from ..scenarios import BLOCK, KIB, Scenario, Tools
from .nodes import Cluster, Node

IDLE_SECONDS = 20.0
SETTLE_SECONDS = 5.0
KILLS = 3
# One topic in three has the leader that is wanted.
ATTEMPTS = 60


def bench(tools: Tools, cluster: Cluster, *words: str, acks: str = "all", errors: bool = False) -> dict[str, Any]:
    """One run of the driver; its JSON line. `errors`: whether messages may fail."""
    command: list[str | Path] = [tools.cli, "--servers", cluster.address, "-o", "json", "bench", *words, "--acks", acks]
    line = json.loads(run(command, DRIVE_SECONDS).splitlines()[-1])
    if line["errors"] and not errors:
        raise BenchError(f"{line['errors']} messages were not acked")
    return dict(line)


def leader_of(tools: Tools, node: Node, topic: str) -> str:
    """The id of the node that leads the topic's only partition."""
    command: list[str | Path] = [tools.cli, "--servers", node.address, "-o", "json", "call", "GetMetadata", json.dumps({"topics": [topic]})]
    told = json.loads(run(command, 30))
    return str(told["topics"][0]["partitions"][0]["leader"])


class Idle(Scenario):
    """Processor time of the three processes while nobody asks them for anything."""

    name = "rf3-idle"
    title = "1,000 partitions RF 3, idle: processor time of all three nodes, in percent of one core"
    how = f"all written once; after {SETTLE_SECONDS:.0f} s of rest, over {IDLE_SECONDS:.0f} s"
    goal = "under 10"
    bound = 10.0
    unit = " %"
    most = True

    def __init__(self) -> None:
        self.memory: list[float] = []

    def once(self, tools: Tools, home: Path) -> float:
        with ExitStack() as stack:
            cluster = Cluster(stack, tools.server, home)
            bench(tools, cluster, "produce", "--topic", "t", "--messages", "20000", "--partitions", "1000", acks="leader")
            cluster.whole()
            lag = "flymq_cluster_replica_lag_records"
            cluster.wait("all records on all nodes", lambda: all(node.metric(lag) == 0 for node in cluster.nodes))
            time.sleep(SETTLE_SECONDS)
            before = _ticks(cluster)
            time.sleep(IDLE_SECONDS)
            used = _ticks(cluster) - before
            self.memory.append(cluster.memory_mib("VmRSS"))
            return 100 * used / os.sysconf("SC_CLK_TCK") / IDLE_SECONDS


class IdleMemory(Scenario):
    """Of the same runs."""

    name = "rf3-idle-memory"
    title = "1,000 partitions RF 3, idle: memory of the node that has most"
    how = "resident memory (VmRSS) at the end of the row above"
    goal = "under 300 MiB"
    bound = 300.0
    unit = " MiB"
    most = True

    def __init__(self, idle: Idle) -> None:
        self._idle = idle

    def once(self, tools: Tools, home: Path) -> float:
        if not self._idle.memory:
            self._idle.once(tools, home)
        return self._idle.memory.pop(0)


def _ticks(cluster: Cluster) -> int:
    """Processor time of all processes so far, user and system, in the kernel's ticks."""
    total = 0
    for server in cluster.servers:
        fields = Path(f"/proc/{server.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


class Failover(Scenario):
    """The longest wait of a producer that sends one message after the other."""

    unit = " ms"
    most = True

    def __init__(self, both: bool) -> None:
        self._both = both
        self.name = "rf3-failover-both" if both else "rf3-failover"
        also = " that also leads the metadata" if both else ""
        self.title = f"Longest wait for an ack when the partition's leader{also} is killed (kill -9)"
        self.how = f"one message in flight, acks=all, from a message that failed until the next ack; the longest of {KILLS} kills"
        self.bound = 3_000.0 if both else 1_500.0
        self.goal = f"under {self.bound:,.0f} ms"

    def once(self, tools: Tools, home: Path) -> float:
        with ExitStack() as stack:
            cluster = Cluster(stack, tools.server, home)
            return max(self._kill(tools, cluster, number) for number in range(KILLS))

    def _kill(self, tools: Tools, cluster: Cluster, number: int) -> float:
        topic, victim = self._pick(tools, cluster, number)
        words = ("produce", "--topic", topic, "--messages", "4000", "--in-flight", "1", "--no-batch")
        with ThreadPoolExecutor(1) as pool:
            # What the leader had taken and not acknowledged has an unknown end, which the plain call tells its caller.
            producer = pool.submit(bench, tools, cluster, *words, errors=True)
            time.sleep(0.7)
            victim.kill()
            line = producer.result()
        cluster.start(victim)
        victim.wait_ready()
        cluster.whole()
        return float(line["max_us"]) / 1000

    def _pick(self, tools: Tools, cluster: Cluster, number: int) -> tuple[str, Node]:
        """A topic whose leader is, or is not, who leads the metadata."""
        for attempt in range(ATTEMPTS):
            topic = f"t{number}-{attempt}"
            bench(tools, cluster, "produce", "--topic", topic, "--messages", "100", "--in-flight", "1", "--no-batch")
            leads = leader_of(tools, cluster.nodes[0], topic)
            for node in cluster.nodes:
                named = leads == f"node-{node.number}"
                if named and (node.metric("flymq_cluster_metadata_leader") == 1) == self._both:
                    return topic, node
        raise BenchError("no topic has the leader that is wanted")


class CatchUp(Scenario):
    """Bytes that a node has missed, by the time from its start until it is in sync again."""

    name = "rf3-catch-up"
    title = "Catch-up of a node that was away, as a share of writing the same bytes to one new file"
    goal = "at least 0.5"
    bound = 0.5

    def __init__(self, quick: bool) -> None:
        self._bytes = (256 if quick else 5_120) << 20
        missed = f"{self._bytes >> 20:,} MiB in messages of 1 KiB"
        self.how = f"{missed}; from the start of its process until all replicas are in sync; the file with one fdatasync at its end"
        self.slowed: list[float] = []

    def once(self, tools: Tools, home: Path) -> float:
        raw = self._bytes / _write_file(home, self._bytes)
        with ExitStack() as stack:
            cluster = Cluster(stack, tools.server, home)
            bench(tools, cluster, "produce", "--topic", "t", "--messages", "20000")
            cluster.whole()
            leads = leader_of(tools, cluster.nodes[0], "t")
            away = next(node for node in cluster.nodes if leads != f"node-{node.number}")
            away.kill()
            bench(tools, cluster, "produce", "--topic", "t", "--messages", str(self._bytes // KIB))
            words = ("produce", "--topic", "t", "--in-flight", "1", "--no-batch", "--messages")
            before = bench(tools, cluster, *words, "1000")["p99_us"]
            with ThreadPoolExecutor(1) as pool:
                cluster.start(away)
                began = time.monotonic()
                producer = pool.submit(bench, tools, cluster, *words, "1000")
                away.wait_ready()
                cluster.wait("in sync again", lambda: _in_sync(cluster), 120)
                took = time.monotonic() - began
                self.slowed.append(producer.result()["p99_us"] / before)
            return self._bytes / took / raw


def _in_sync(cluster: Cluster) -> bool:
    return all(node.metric("flymq_cluster_under_replicated_partitions") == 0 for node in cluster.nodes)


def _write_file(home: Path, size: int) -> float:
    """Seconds to write a new file of this size in blocks of 1 MiB and sync it."""
    home.mkdir(parents=True, exist_ok=True)
    path, block = home / "raw", os.urandom(BLOCK)
    os.sync()
    began = time.monotonic()
    with path.open("wb", buffering=0) as file:
        for _ in range(size // BLOCK):
            file.write(block)
        os.fdatasync(file.fileno())
    took = time.monotonic() - began
    path.unlink()
    return took


class CatchUpLatency(Scenario):
    """Of the same runs."""

    name = "rf3-catch-up-p99"
    title = "Sync produce p99 while that node catches up, as a multiple of p99 while it is away"
    how = "one message in flight, 1,000 messages from the node's start on; two replicas before, the third joins"
    goal = "at most 3"
    bound = 3.0
    most = True

    def __init__(self, catch_up: CatchUp) -> None:
        self._catch_up = catch_up

    def once(self, tools: Tools, home: Path) -> float:
        if not self._catch_up.slowed:
            self._catch_up.once(tools, home)
        return self._catch_up.slowed.pop(0)


def scenarios(quick: bool) -> list[Scenario]:
    """All of them; a quick run leaves the long ones out."""
    idle, catch_up = Idle(), CatchUp(quick)
    listed: list[Scenario] = [idle, IdleMemory(idle), Failover(both=False)]
    return listed if quick else [*listed, Failover(both=True), catch_up, CatchUpLatency(catch_up)]
