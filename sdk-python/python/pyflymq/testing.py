"""The real broker in this process, for tests: the same code as `flymq`, on free loopback ports."""

from __future__ import annotations

import tempfile
from typing import Optional

from pyflymq import _core


class Broker:
    """A running broker; `with Broker() as broker: connect(broker.address)`.

    Its data is in a temporary directory that `stop` deletes, unless `data_dir` names one that stays.
    """

    def __init__(self, data_dir: Optional[str] = None) -> None:
        self._temporary = None if data_dir else tempfile.TemporaryDirectory(prefix="pyflymq-")
        #: Where its data is.
        self.data_dir = data_dir or (self._temporary.name if self._temporary else "")
        self._core = _core.Broker.start(self.data_dir).wait()

    @property
    def address(self) -> str:
        """host:port for clients."""
        return self._core.address

    @property
    def grpc_address(self) -> str:
        """host:port of gRPC; `connect("grpc://" + broker.grpc_address)` uses it."""
        return self._core.grpc_address

    @property
    def rest_address(self) -> Optional[str]:
        """host:port of REST."""
        return self._core.rest_address

    def stop(self) -> None:
        """Stops it in order. Idempotent."""
        self._core.stop().wait()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
