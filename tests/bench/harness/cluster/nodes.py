"""A FlyMQ cluster of three processes."""

from __future__ import annotations

import os
import secrets
import signal
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from ..peers.flymq import LISTENERS
from ..process import BenchError, Server, answers, free_ports

COUNT = 3
READY_SECONDS = 60.0


class Node:
    """One of them: its ports and directory stay when it is killed and started again."""

    def __init__(self, binary: Path, home: Path, number: int, extra: Mapping[str, str] | None = None) -> None:
        self.number = number
        self.home = home / f"node-{number}"
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        self._binary = binary
        self._extra = dict(extra or {})
        self._server: Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports['BIND']}"

    @property
    def cluster_address(self) -> str:
        return f"127.0.0.1:{self.ports['CLUSTER']}"

    @property
    def server(self) -> Server:
        if self._server is None:
            raise BenchError(f"node {self.number} was not started")
        return self._server

    def start(self, stack: ExitStack, role: Mapping[str, str]) -> None:
        """Starts the process; `role` counts at its first start only."""
        self.home.mkdir(parents=True, exist_ok=True)
        env = {f"FLYMQ_{name}_ADDR": f"127.0.0.1:{port}" for name, port in self.ports.items()}
        env |= {"FLYMQ_DATA_DIR": str(self.home / "data"), "FLYMQ_LOG_LEVEL": "warn", "FLYMQ_NODE_ID": f"node-{self.number}"}
        self._server = stack.enter_context(
            Server(f"flymq-{self.number}", [self._binary, "-quiet"], self.home / "log", {**env, **role, **self._extra})
        )

    def wait_ready(self) -> None:
        self.server.wait(lambda: answers(f"http://127.0.0.1:{self.ports['HEALTH']}/health/ready"), READY_SECONDS)

    def kill(self) -> None:
        """As a machine that loses power, but for the page cache."""
        os.kill(self.server.pid, signal.SIGKILL)

    def metric(self, name: str) -> float | None:
        """The sum of a gauge or counter over its labels; None where the node does not answer or has none."""
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.ports['METRICS']}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
            found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
            return sum(found) if found else None
        return None


class Cluster:
    """Three nodes that are ready, each with a vote. Ended by the stack."""

    def __init__(self, stack: ExitStack, binary: Path, home: Path, extra: Mapping[str, str] | None = None) -> None:
        self._stack = stack
        self._token = secrets.token_urlsafe(24)
        self.nodes = [Node(binary, home, number, extra) for number in range(1, COUNT + 1)]
        began = time.monotonic()
        first, *others = self.nodes
        first.start(stack, {"FLYMQ_ROLE": "bootstrap", "FLYMQ_CLUSTER_TOKEN": self._token})
        first.wait_ready()
        for node in others:
            self.start(node)
        for node in others:
            node.wait_ready()
        self.wait("three voters", lambda: all(node.metric("flymq_cluster_voters") == COUNT for node in self.nodes))
        self.ready_ms = (time.monotonic() - began) * 1000

    def start(self, node: Node) -> None:
        """Starts a node that joins, or joined before."""
        first = next(one for one in self.nodes if one is not node)
        node.start(self._stack, {"FLYMQ_ROLE": "agent", "FLYMQ_SERVER": first.cluster_address, "FLYMQ_JOIN_TOKEN": self._token})

    @property
    def address(self) -> str:
        return ",".join(node.address for node in self.nodes)

    @property
    def servers(self) -> list[Server]:
        return [node.server for node in self.nodes]

    def memory_mib(self, field: str) -> float:
        """Of the node that has most."""
        return max(server.memory_mib(field) for server in self.servers)

    def whole(self) -> None:
        """Waits until every partition has all its replicas in sync."""
        led = "flymq_cluster_under_replicated_partitions"
        self.wait("all replicas in sync", lambda: all(node.metric(led) == 0 for node in self.nodes))

    @staticmethod
    def wait(what: str, done: Callable[[], bool], seconds: float = READY_SECONDS) -> float:
        """Polls until it is so; returns the seconds it took."""
        began = time.monotonic()
        while not done():
            if time.monotonic() - began > seconds:
                raise BenchError(f"{what}: not after {seconds:.0f} s")
            time.sleep(0.02)
        return time.monotonic() - began
