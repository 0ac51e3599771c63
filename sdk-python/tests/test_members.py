"""Members of a group: they share partitions, hear of those that come and go, and take over from the dead."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyflymq import AsyncFlyMQClient, FlyMQClient, HighLevelConsumer
from pyflymq.exceptions import InstanceFencedError, InvalidArgumentError

PARTITIONS = 4
Heard = list[tuple[str, list[int]]]


def listening(client: FlyMQClient, topic: str, group: str, heard: Heard, **settings: object) -> HighLevelConsumer:
    def on(kind: str) -> object:
        return lambda places: heard.append((kind, [partition for _, partition in places]))

    return client.consumer(
        topic,
        group,
        auto_offset_reset="earliest",
        on_assign=on("assign"),
        on_revoke=on("revoke"),
        on_lost=on("lost"),
        **settings,
    )


def owned(consumer: HighLevelConsumer) -> list[int]:
    return sorted(partition for _, partition in consumer.assignment())


def poll_until_shared(*consumers: HighLevelConsumer) -> None:
    """Polls all of them until they have all partitions between them, none of them twice; the test's time limit ends it."""
    while True:
        shares = [owned(one) for one in consumers]
        if all(shares) and sorted(itertools.chain(*shares)) == list(range(PARTITIONS)):
            return
        for one in consumers:
            one.poll(timeout_ms=50)


def test_members_share_partitions_and_hear_of_it(client: FlyMQClient, topic: str, group: str) -> None:
    client.create_topic(topic, PARTITIONS)
    heard_a: Heard = []
    heard_b: Heard = []
    with listening(client, topic, group, heard_a) as a:
        poll_until_shared(a)
        assert heard_a == [("assign", [0, 1, 2, 3])]
        with listening(client, topic, group, heard_b) as b:
            poll_until_shared(a, b)
            kind, given = heard_a[1]
            assert kind == "revoke"
            assert len(given) == 2
            assert sorted(given) == owned(b)
            assert heard_b == [("assign", owned(b))]
            for partition in range(PARTITIONS):
                client.produce(topic, f"v{partition}", partition=partition)
            read: list[list[str]] = [[], []]
            while sum(map(len, read)) < PARTITIONS:
                for consumer, found in zip((a, b), read):
                    found += [message.decode() for message in consumer.poll(timeout_ms=50)]
            assert sorted(map(sorted, read)) == sorted([[f"v{p}" for p in owned(a)], [f"v{p}" for p in owned(b)]])
        assert heard_b[-1] == ("revoke", sorted(given)), "a close gives up what it has"
        poll_until_shared(a)
        assert heard_a[-1] == ("assign", sorted(given))
        assert client.call("GetLag", group=group, topic=topic)["total"] == len(read[0]), "b's close committed"


def test_what_is_revoked_can_be_committed_in_the_callback(client: FlyMQClient, topic: str, group: str) -> None:
    client.create_topic(topic, 2)
    for partition in range(2):
        client.produce(topic, "x", partition=partition)
    # The callback needs the consumer that it belongs to.
    holder: list[HighLevelConsumer] = []
    a = client.consumer(topic, group, auto_offset_reset="earliest", auto_commit=False, on_revoke=lambda _: holder[0].commit())
    holder.append(a)
    read = 0
    while read < 2:
        read += len(a.poll(timeout_ms=1_000))
    b = client.consumer(topic, group, auto_offset_reset="earliest", auto_commit=False)
    while not owned(b):
        assert a.poll(timeout_ms=50) == []
        assert b.poll(timeout_ms=50) == [], "it was committed before it went"
    a.close()
    b.close()


def test_a_member_that_was_silent_hears_that_it_lost_its_partitions(client: FlyMQClient, topic: str, group: str) -> None:
    client.create_topic(topic, 2)
    heard: Heard = []
    with listening(client, topic, group, heard) as consumer:
        while not heard:
            consumer.poll(timeout_ms=50)
        # What the coordinator does when a session ends.
        (member,) = client.call("DescribeGroup", group=group)["members"]
        client.call("LeaveGroup", group=group, member_id=member["member_id"])
        while len(heard) < 3:
            consumer.poll(timeout_ms=50)
        assert heard == [("assign", [0, 1]), ("lost", [0, 1]), ("assign", [0, 1])]


def test_a_static_member_keeps_its_place_and_fences_the_one_before(client: FlyMQClient, topic: str, group: str) -> None:
    client.create_topic(topic, PARTITIONS)
    with listening(client, topic, group, []) as other:
        first = listening(client, topic, group, [], group_instance_id="one")
        poll_until_shared(other, first)
        mine = owned(first)
        first.close()
        heard: Heard = []
        second = listening(client, topic, group, heard, group_instance_id="one")
        poll_until_shared(other, second)
        assert heard == [("assign", mine)], "nothing has moved"
        third = listening(client, topic, group, [], group_instance_id="one")
        while not owned(third):
            third.poll(timeout_ms=50)
        with pytest.raises(InstanceFencedError):
            poll_until_shared(second, third)
        assert heard[-1] == ("lost", mine)
        third.close()
        second.close()


def test_patterns_take_in_new_topics(client: FlyMQClient, topic: str, group: str) -> None:
    client.produce(f"{topic}/eu", "before")
    with client.consumer(f"{topic}/+", group) as consumer:
        assert consumer.poll(timeout_ms=1) == [], "latest: what was there before it came is not read"
        client.produce(f"{topic}/us", "first of a new topic")
        assert next(consumer).decode() == "first of a new topic"
        client.produce(f"{topic}/eu", "next of an old one")
        assert next(consumer).decode() == "next of an old one"
    with pytest.raises(InvalidArgumentError, match="pattern"):
        client.consumer(f"{topic}/+")


def test_without_membership_each_reads_all(client: FlyMQClient, topic: str, group: str) -> None:
    client.create_topic(topic, 2)
    settings = {"auto_offset_reset": "earliest", "membership": False}
    with client.consumer(topic, group, **settings) as a, client.consumer(topic, group, **settings) as b:
        a.poll(timeout_ms=1)
        b.poll(timeout_ms=1)
        assert (owned(a), owned(b)) == ([0, 1], [0, 1])
        client.produce(topic, "x")
        assert next(a).decode() == next(b).decode() == "x"
    with pytest.raises(InvalidArgumentError, match="group_instance_id"):
        client.consumer(topic, group, membership=False, group_instance_id="one")


def test_what_a_callback_raises_the_poll_raises(client: FlyMQClient, topic: str, group: str) -> None:
    client.create_topic(topic)

    def fail(_: object) -> None:
        raise RuntimeError("mine")

    with client.consumer(topic, group, on_assign=fail) as consumer, pytest.raises(RuntimeError, match="mine"):
        consumer.poll(timeout_ms=10_000)


def test_asyncio_members_await_their_callbacks(address: str, topic: str, group: str) -> None:
    heard: list[list[tuple[str, int]]] = []

    async def assigned(places: list[tuple[str, int]]) -> None:
        await asyncio.sleep(0)
        heard.append(places)

    async def run() -> None:
        async with AsyncFlyMQClient(address) as client:
            await client.create_topic(topic)
            async with client.consumer(topic, group, on_assign=assigned, on_revoke=assigned) as consumer:
                while not heard:
                    await consumer.poll(timeout_ms=50)

    asyncio.run(run())
    assert heard == [[(topic, 0)], [(topic, 0)]]


class MemberProcess:
    """`member_process.py`, and what it said."""

    def __init__(self, address: str, topic: str, group: str) -> None:
        script = Path(__file__).with_name("member_process.py")
        arguments = [sys.executable, str(script), address, topic, group]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        self.owned: set[int] = set()
        self.read: list[str] = []
        self.changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            with self.changed:
                self.owned = (self.owned | set(said.get("assigned", []))) - set(said.get("revoked", []))
                self.read += [said["read"]] if "read" in said else []
                self.changed.notify_all()

    def wait(self, what: str, until: object) -> None:
        with self.changed:
            assert callable(until)
            assert self.changed.wait_for(lambda: until(self), 30), f"{what}: {self.owned}, {self.read}"


@pytest.fixture
def processes() -> Iterator[list[MemberProcess]]:
    started: list[MemberProcess] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_a_killed_process_is_taken_over_from(
    client: FlyMQClient, address: str, topic: str, group: str, processes: list[MemberProcess]
) -> None:
    client.create_topic(topic, PARTITIONS)
    for _ in range(2):
        processes.append(MemberProcess(address, topic, group))
    a, b = processes
    a.wait("half of them", lambda one: len(one.owned) == 2)
    b.wait("half of them", lambda one: len(one.owned) == 2)
    assert a.owned | b.owned == set(range(PARTITIONS))
    for partition in range(PARTITIONS):
        client.produce(topic, f"before-{partition}", partition=partition)
    a.wait("its own", lambda one: len(one.read) == 2)
    b.wait("its own", lambda one: len(one.read) == 2)
    assert sorted(a.read + b.read) == [f"before-{partition}" for partition in range(PARTITIONS)]
    killed = time.monotonic()
    a.process.kill()
    for partition in range(PARTITIONS):
        client.produce(topic, f"after-{partition}", partition=partition)
    b.wait("all of them", lambda one: len(one.owned) == PARTITIONS)
    assert time.monotonic() - killed > 0.5, "not before the session of the dead one ends"
    after = {f"after-{partition}" for partition in range(PARTITIONS)}
    # What the dead one had read and not committed comes again.
    b.wait("all that came since", lambda one: after <= set(one.read))
