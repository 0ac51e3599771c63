"""A call of the core, waited for or awaited."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Callable, Generic, TypeVar

from pyflymq import _core

T = TypeVar("T")
R = TypeVar("R")


class Call(Generic[T]):
    """A call to the broker that has not begun: `wait()` or `await` it, once."""

    def __init__(self, operation: _core.Operation[R], finish: Callable[[R], T]) -> None:
        self._wait: Callable[[], T] = lambda: finish(operation.wait())
        self._await: Callable[[], Generator[Any, None, T]] = lambda: _then(operation.__await__(), finish)

    def wait(self) -> T:
        """The result; other threads run meanwhile."""
        return self._wait()

    def __await__(self) -> Generator[Any, None, T]:
        return self._await()


def _then(steps: Generator[Any, None, R], finish: Callable[[R], T]) -> Generator[Any, None, T]:
    result = yield from steps
    return finish(result)
