"""A member of a group in a process of its own: prints what it is assigned and what it reads, until it is killed."""

from __future__ import annotations

import json
import sys

from pyflymq import connect


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    address, topic, group = sys.argv[1:]
    with connect(address) as client:
        consumer = client.consumer(
            topic,
            group,
            auto_offset_reset="earliest",
            auto_commit=False,
            session_timeout_ms=1_500,
            on_assign=lambda places: say(assigned=[partition for _, partition in places]),
            on_revoke=lambda places: say(revoked=[partition for _, partition in places]),
        )
        for message in consumer:
            say(read=message.decode())
            consumer.commit()


if __name__ == "__main__":
    main()
