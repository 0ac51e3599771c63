"""A pool of clients."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Optional, Union

from pyflymq.client import FlyMQClient
from pyflymq.exceptions import ClosedError, InvalidArgumentError, TimeoutError


class FlyMQClientPool:
    """Up to `size` clients, made when needed. One client serves many threads; a pool gives each its own connection."""

    def __init__(self, servers: Union[str, Sequence[str], None] = None, *, size: int = 10, **settings: Any) -> None:
        if size < 1:
            raise InvalidArgumentError(f"a pool has at least one client, not {size}")
        self.size = size
        self._servers = servers
        self._settings = settings
        self._lock = threading.Lock()
        self._closed = False
        self._clients: list[FlyMQClient] = []
        # A place for each client; `None` stands for one that is not made yet. The last used comes first.
        self._free: queue.LifoQueue[Optional[FlyMQClient]] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)

    @contextmanager
    def get_client(self, timeout_ms: Optional[int] = None) -> Iterator[FlyMQClient]:
        """A client for the block; waits for one that is free. Raises `TimeoutError`."""
        if self._closed:
            raise ClosedError("the pool is closed")
        try:
            client = self._free.get(timeout=None if timeout_ms is None else timeout_ms / 1000)
        except queue.Empty:
            raise TimeoutError(
                f"no client of the pool's {self.size} was free within {timeout_ms} ms",
                hint="Return clients sooner, or make the pool larger (size=).",
            ) from None
        try:
            if client is None:
                client = self._make()
            yield client
        finally:
            self._free.put(client)

    def _make(self) -> FlyMQClient:
        client = FlyMQClient(self._servers, **self._settings)
        with self._lock:
            if self._closed:
                client.close()
            self._clients.append(client)
        return client

    def close(self) -> None:
        """Closes all clients. Idempotent."""
        with self._lock:
            self._closed = True
            clients, self._clients = self._clients, []
        for client in clients:
            client.close()

    def __enter__(self) -> FlyMQClientPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
