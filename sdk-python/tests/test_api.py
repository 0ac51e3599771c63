"""The documented surface: names, defaults, exceptions. Rows PY-001 to PY-024 and PY-090 to PY-121 of the checklist."""

from __future__ import annotations

import builtins
import inspect
import pickle

import pyflymq
import pytest
from pyflymq import ClientConfig, ConsumerConfig, FlyMQClient, ProducerConfig, _core, exceptions, reactive, serde
from pyflymq.async_client import AsyncConsumer, AsyncFlyMQClient
from pyflymq.consumer import HighLevelConsumer

NAMES = [
    "connect",
    "FlyMQClient",
    "ClientConfig",
    "Producer",
    "ProducerConfig",
    "Consumer",
    "ConsumerConfig",
    "ConsumerGroup",
    "ConsumedMessage",
    "RecordMetadata",
    "TopicMetadata",
    "HighLevelProducer",
    "HighLevelConsumer",
    "ReactiveConsumer",
    "ReactiveProducer",
    "AsyncReactiveConsumer",
    "Encryptor",
    "generate_key",
    "FlyMQClientPool",
    "AsyncFlyMQClient",
]


@pytest.mark.parametrize("name", NAMES)
def test_documented_names_are_exported(name: str) -> None:
    assert name in pyflymq.__all__
    assert hasattr(pyflymq, name)


def test_everything_in_all_is_there() -> None:
    assert [name for name in pyflymq.__all__ if not hasattr(pyflymq, name)] == []


def test_reactive_names_are_the_same_objects() -> None:
    assert reactive.ReactiveConsumer is pyflymq.ReactiveConsumer
    assert reactive.ReactiveProducer is pyflymq.ReactiveProducer


def test_serde_names() -> None:
    assert serde.JsonSerializer is serde.JSONSerializer
    assert serde.JsonDeserializer is serde.JSONDeserializer
    assert serde.JSONDeserializer().deserialize("t", serde.JSONSerializer().serialize("t", {"a": [1]})) == {"a": [1]}


def test_client_config_defaults() -> None:
    assert ClientConfig().model_dump() == {
        "bootstrap_servers": "localhost:9092",
        "connect_timeout_ms": 10_000,
        "request_timeout_ms": 30_000,
        "max_retries": 3,
        "retry_delay_ms": 1_000,
        "tls_enabled": False,
        "tls_ca_file": None,
        "tls_cert_file": None,
        "tls_key_file": None,
        "tls_insecure_skip_verify": False,
        "username": None,
        "password": None,
        "encryption_enabled": False,
        "encryption_key": None,
    }


def test_producer_config_defaults() -> None:
    config = ProducerConfig()
    assert (config.batch_size, config.linger_ms, config.max_batch_messages) == (16_384, 0, 1_000)
    assert (config.acks, config.retries, config.enable_idempotence) == ("all", 3, True)


def test_consumer_config_defaults() -> None:
    assert ConsumerConfig().model_dump() == {
        "group_id": None,
        "auto_offset_reset": "latest",
        "enable_auto_commit": True,
        "auto_commit_interval_ms": 5_000,
        "max_poll_records": 500,
        "isolation_level": "read_committed",
        "membership": True,
        "session_timeout_ms": None,
        "rebalance_timeout_ms": None,
        "assignor": None,
        "group_instance_id": None,
    }


@pytest.mark.parametrize("config", [ClientConfig, ProducerConfig, ConsumerConfig])
def test_configs_refuse_unknown_fields_and_dump(config: type[ClientConfig]) -> None:
    with pytest.raises(ValueError, match="no_such_field"):
        config(no_such_field=1)
    assert config.model_validate_json(config().model_dump_json()) == config()


def test_secrets_are_not_shown() -> None:
    config = ClientConfig(password="hunter2", encryption_key="0f" * 32)
    assert "hunter2" not in repr(config)
    assert "0f0f" not in repr(config)


def all_exceptions() -> list[type[exceptions.FlyMQError]]:
    found, queue = [], [exceptions.FlyMQError]
    while queue:
        kind = queue.pop()
        found.append(kind)
        queue.extend(kind.__subclasses__())
    return found


@pytest.mark.parametrize("kind", all_exceptions())
def test_every_exception_has_a_hint_a_code_and_a_page(kind: type[exceptions.FlyMQError]) -> None:
    error = kind("it failed")
    assert error.hint
    assert error.code in _core.error_codes()
    assert error.code in error.doc_url
    assert "it failed" in str(error)
    assert error.hint in str(error)
    assert isinstance(error, exceptions.FlyMQError)


@pytest.mark.parametrize("kind", all_exceptions())
def test_exceptions_survive_pickling(kind: type[exceptions.FlyMQError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("it failed", metadata={"topic": "t"})))
    assert (type(copy), copy.message, copy.metadata) == (kind, "it failed", {"topic": "t"})


@pytest.mark.parametrize("code", _core.error_codes())
def test_every_code_becomes_an_exception_with_its_facts(code: str) -> None:
    error = exceptions.from_core(code, "m", "h", "u", True, False, {"topic": "t"}, "r")
    assert (error.code, error.message, error.hint, error.doc_url) == (code, "m", "h", "u")
    assert (error.retryable, error.side_effects, error.request_id) == (True, False, "r")


def test_builtin_exceptions_catch_ours() -> None:
    assert issubclass(exceptions.ConnectionError, builtins.ConnectionError)
    assert issubclass(exceptions.TimeoutError, builtins.TimeoutError)


def test_documented_hints() -> None:
    hint = exceptions.TopicNotFoundError("topic not found: a", metadata={"topic": "a"}).hint
    assert 'client.create_topic("a", partitions)' in hint
    assert "flymq-cli topic create a" in hint
    hint = exceptions.ConnectionError("refused").hint
    assert "Check that the FlyMQ server is running and accessible." in hint
    assert "Start it with: flymq" in hint


def public(kind: type) -> dict[str, list[str]]:
    methods = inspect.getmembers(kind, callable)
    return {n: list(inspect.signature(m).parameters) for n, m in methods if not n.startswith("_")}


def test_the_async_client_has_every_method_of_the_client() -> None:
    ours, theirs = public(AsyncFlyMQClient), public(FlyMQClient)
    assert set(theirs) <= set(ours)
    same = {name for name in theirs if name != "consumer"}
    assert {n: ours[n] for n in same} == {n: theirs[n] for n in same}
    lazy = {"producer", "consumer", "queue", "serde", "set_serde"}
    assert [n for n in theirs if n not in lazy and not inspect.iscoroutinefunction(getattr(AsyncFlyMQClient, n))] == []


def test_the_async_consumer_has_every_method_of_the_consumer() -> None:
    assert set(public(HighLevelConsumer)) - {"assignment"} <= set(public(AsyncConsumer))
