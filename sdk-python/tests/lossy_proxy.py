"""A way to a broker on which answers get lost, each with its connection."""

from __future__ import annotations

import contextlib
import socket
import threading

#: Frames of version 2 begin with so many bytes: magic, version, op, flags, length.
FRAME_HEAD = 8
PRODUCE = 1


class LossyProxy:
    """Loses every `every`-th answer to a produce: the broker has appended the batch by then."""

    def __init__(self, broker: str, every: int) -> None:
        host, port = broker.rsplit(":", 1)
        self._broker = (host, int(port))
        self._every = every
        self._answers = 0
        self._lock = threading.Lock()
        #: Answers that were lost.
        self.lost = 0
        self._down_now = threading.Event()
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def cut(self) -> None:
        """Ends all connections, and those that come, until `mend`."""
        self._down_now.set()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._down_now.clear()

    def __enter__(self) -> LossyProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._down_now.is_set():
                client.close()
                continue
            broker = socket.create_connection(self._broker)
            self._ends += [client, broker]
            for way, ends in ((self._up, (client, broker)), (self._down, (broker, client))):
                threading.Thread(target=self._run, args=(way, *ends), daemon=True).start()

    def _run(self, way: object, source: socket.socket, sink: socket.socket) -> None:
        assert callable(way)
        with contextlib.suppress(OSError):
            way(source, sink)
        # When one way ends, both do.
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _up(self, client: socket.socket, broker: socket.socket) -> None:
        while data := client.recv(1 << 16):
            broker.sendall(data)

    def _down(self, broker: socket.socket, client: socket.socket) -> None:
        frames = broker.makefile("rb")
        while len(head := frames.read(FRAME_HEAD)) == FRAME_HEAD:
            body = frames.read(int.from_bytes(head[4:], "big"))
            if head[2] == PRODUCE and self._is_lost():
                return
            client.sendall(head + body)

    def _is_lost(self) -> bool:
        with self._lock:
            self._answers += 1
            lost = self._answers % self._every == 0
            self.lost += lost
        return lost
