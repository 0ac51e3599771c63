"""The quick start's path, on a broker in this process."""

from pyflymq import connect


def test_a_message_goes_through() -> None:
    with connect(":memory:") as client:
        stored = client.produce("greetings", b"Hello, FlyMQ!")
        assert client.consume("greetings", stored).decode() == "Hello, FlyMQ!"
