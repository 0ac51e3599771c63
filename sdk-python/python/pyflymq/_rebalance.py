"""Callbacks of a group's member when partitions come and go."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import Callable, Optional

#: Topics and partitions.
Places = list[tuple[str, int]]
OnPlaces = Optional[Callable[[Places], object]]


class Rebalances:
    """The callbacks of one consumer, by what the core tells."""

    def __init__(self, on_assign: OnPlaces, on_revoke: OnPlaces, on_lost: OnPlaces) -> None:
        self._by_kind = {"assigned": on_assign, "revoked": on_revoke, "lost": on_lost}
        #: Whether anybody wants to know.
        self.wanted = any(self._by_kind.values())

    def tell(self, kind: str, places: Places) -> object:
        """Calls back; what the callback returns."""
        callback = self._by_kind[kind]
        return callback(places) if callback is not None and places else None

    async def tell_async(self, kind: str, places: Places) -> None:
        """Calls back, and awaits a callback that is a coroutine function."""
        result = self.tell(kind, places)
        if inspect.isawaitable(result):
            awaitable: Awaitable[object] = result
            await awaitable
