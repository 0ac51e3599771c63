"""Threads of the package: they end before the interpreter does.

A daemon thread that runs on while Python finalises is killed at any instruction, which aborts the process when native
code of any package is on its stack. A thread that is not a daemon would keep a program alive that forgot to stop it.
"""

from __future__ import annotations

import atexit
import threading
import time
from typing import Callable

#: How long an exit waits for what the threads are at: all of them together.
PATIENCE_S = 2.0

_interrupts: dict[threading.Thread, Callable[[], object]] = {}


def start(name: str, run: Callable[[], object], interrupt: Callable[[], object]) -> threading.Thread:
    """A thread that runs until `run` returns; `interrupt` makes it return soon, and is called when the program ends."""

    def body() -> None:
        try:
            run()
        finally:
            _interrupts.pop(threading.current_thread(), None)

    thread = threading.Thread(target=body, name=name, daemon=True)
    _interrupts[thread] = interrupt
    thread.start()
    return thread


def _end() -> None:
    threads = dict(_interrupts)
    for interrupt in threads.values():
        interrupt()
    deadline = time.monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


# Registered after the core's own handler, so it runs before: the threads may still use the core.
atexit.register(_end)
