"""Child processes with bounded time. Only what was started here is ever stopped, by its own process id."""

from __future__ import annotations

import contextlib
import http
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

STOP_SECONDS = 10.0
TAIL_BYTES = 2_000
PORTS = (10_000, 32_000)
_given: set[int] = set()


class BenchError(Exception):
    """A step that cannot go on, with a reason for people."""


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now, and never given before in this run: servers that start later, or again, would find their own taken.

    They lie below those that the kernel gives to connections, for the same reason.
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = random.randrange(*PORTS)
            if port in _given:
                continue
            listener = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", port))
                ports.append(port)
                _given.add(port)
        return ports


def run(
    command: Sequence[str | Path],
    seconds: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Path | None = None,
) -> str:
    """Runs a command to its end and returns its stdout; stops it and what it started when the time is over. `stdin` is a file that it reads."""
    words = [str(word) for word in command]
    try:
        with contextlib.ExitStack() as opened:
            source = opened.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
            child = _start(words, cwd, env, source)
    except OSError as error:
        raise BenchError(f"{words[0]} does not start: {error.strerror}") from error
    with child:
        try:
            out, err = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{words[0]} took longer than {seconds:.0f} s and was stopped") from error
        finally:
            stop(child)
    if child.returncode != 0:
        raise BenchError(f"{Path(words[0]).name} exited with {child.returncode}: {(err or out).strip()[-TAIL_BYTES:]}")
    return out


def _start(words: list[str], cwd: Path | None, env: Mapping[str, str] | None, stdin: IO[bytes] | int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        cwd=cwd,
        env={**os.environ, **env} if env else None,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def stop(child: subprocess.Popen[str]) -> None:
    """Ends the child's own process group (it leads one): asks first, insists after `STOP_SECONDS`. Reaps it."""
    if child.poll() is not None:
        return
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
            return


class Measured(Protocol):
    """Something that runs, has taken some time to start, and takes memory."""

    ready_ms: float

    def memory_mib(self, field: str) -> float:
        """`VmRSS` (now) or `VmHWM` (most so far) in MiB."""
        ...


class Server:
    """A broker process with its log in a file. Use as a context manager: it is gone when the block is."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        self.ready_ms = 0.0
        self._began = time.monotonic()
        words = [str(word) for word in command]
        try:
            with log.open("w", encoding="utf-8") as sink:
                self._child: subprocess.Popen[str] = subprocess.Popen(
                    words,
                    env={**os.environ, **env} if env else None,
                    cwd=log.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
        except OSError as error:
            raise BenchError(f"{words[0]} does not start: {error.strerror}") from error

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._child)

    @property
    def pid(self) -> int:
        return self._child.pid

    def wait(self, ready: Callable[[], bool], seconds: float) -> None:
        """Polls until `ready` says so, and keeps how long that took; a server that dies or takes too long is an error with the end of its log."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._child.poll() is not None:
                raise BenchError(f"{self.name} exited with {self._child.returncode} at start: {self._tail()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} was not ready after {seconds:.0f} s: {self._tail()}")
            time.sleep(0.005)
        self.ready_ms = (time.monotonic() - self._began) * 1000

    def memory_mib(self, field: str) -> float:
        """`VmRSS` (now) or `VmHWM` (most so far) of the process in MiB; 0 where the system does not tell."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._child.pid}/status").read_text(encoding="utf-8").splitlines():
                if line.startswith(f"{field}:"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def _tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace").strip()[-TAIL_BYTES:]


class Group:
    """Servers that are one broker together."""

    def __init__(self, servers: Sequence[Server], ready_ms: float) -> None:
        self.servers = list(servers)
        self.ready_ms = ready_ms

    def memory_mib(self, field: str) -> float:
        """Of all of them."""
        return sum(server.memory_mib(field) for server in self.servers)


def accepts(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def answers(url: str) -> bool:
    """Whether an HTTP GET of this loopback address answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:
            return bool(reply.status == http.HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False
