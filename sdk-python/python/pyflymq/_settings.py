"""From what a caller gives to a checked `ClientConfig`, and from that to the core."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Optional, Union

import pydantic

from pyflymq import _core
from pyflymq.config import ClientConfig
from pyflymq.exceptions import EncryptionError, InvalidArgumentError, UnsupportedError

#: Servers of a client that brings its own broker.
MEMORY = ":memory:"

_log = logging.getLogger("pyflymq")


def client_config(
    servers: Union[str, Sequence[str], None], config: Optional[ClientConfig], settings: dict[str, Any]
) -> ClientConfig:
    """The configuration of a client: `config` with what is given beside it."""
    given = {name: value for name, value in settings.items() if value is not None}
    if servers is not None:
        given["bootstrap_servers"] = servers if isinstance(servers, str) else list(servers)
    if "encryption_key" in given:
        given.setdefault("encryption_enabled", True)
    base = config.model_dump(exclude_unset=True) if config else {}
    try:
        checked = ClientConfig(**{**base, **given})
    except pydantic.ValidationError as error:
        raise InvalidArgumentError(f"the client settings are not valid: {error}") from error
    _refuse_unbuilt(checked)
    if checked.encryption_enabled and checked.encryption_key is None:
        raise EncryptionError(
            "encryption_enabled is set, but there is no encryption_key",
            hint="Pass encryption_key=, 64 hexadecimal characters from pyflymq.generate_key().",
        )
    return checked


def _refuse_unbuilt(config: ClientConfig) -> None:
    """TLS is not built yet: a client that asks for it must not talk in plain text."""
    if config.tls_insecure_skip_verify:
        _log.warning("tls_insecure_skip_verify is set: the server's certificate would not be verified")
    wanted = [n for n in ("tls_ca_file", "tls_cert_file", "tls_key_file") if getattr(config, n) is not None]
    if config.tls_enabled or config.tls_insecure_skip_verify or wanted:
        raise UnsupportedError(
            "TLS is not built yet in this version",
            hint="Leave the tls_* settings out and connect over a network that you trust, e.g. loopback or a tunnel.",
        )


def open_core(config: ClientConfig, servers: Optional[str] = None) -> _core.Operation[_core.Client]:
    """The operation that connects."""
    return _core.Client.connect(
        config.servers() if servers is None else servers,
        connect_timeout_ms=config.connect_timeout_ms,
        request_timeout_ms=config.request_timeout_ms,
        max_retries=config.max_retries,
        retry_delay_ms=config.retry_delay_ms,
        username=config.username,
        password=config.password,
        encryption_key=config.encryption_key if config.encryption_enabled else None,
    )
