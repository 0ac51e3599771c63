"""The conformance suite's driver for pyflymq: a JSON line in, a JSON line out (../README.md).

Run by a Python that has pyflymq: `python python_driver.py` with FLYMQ_ADDR in the environment.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import Any, Callable

from pyflymq import ConsumedMessage, ConsumerGroup, FlyMQClient, RecordMetadata, connect
from pyflymq.exceptions import FlyMQError

Args = dict[str, Any]


def data(args: Args, name: str) -> bytes | None:
    """Bytes of a field: text, or base64 in `<name>_base64`."""
    if (encoded := args.get(f"{name}_base64")) is not None:
        return base64.b64decode(encoded)
    text = args.get(name)
    return None if text is None else text.encode()


def shown(value: bytes | None, name: str) -> Args:
    """A field of the reply: text where the bytes are text."""
    try:
        return {name: None if value is None else value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value or b"").decode()}


def message(found: ConsumedMessage) -> Args:
    reply = {"offset": found.offset, **shown(found.key, "key"), **shown(found.value, "value")}
    if found.headers:
        reply["headers"] = {name: value.decode(errors="replace") for name, value in found.headers}
    return reply


def place(stored: RecordMetadata) -> Args:
    return {"partition": stored.partition, "offset": stored.offset}


class Driver:
    """One method for each operation."""

    def __init__(self, client: FlyMQClient) -> None:
        self.client = client
        self.members: list[ConsumerGroup] = []
        self.read: list[str] = []

    def create_topic(self, args: Args) -> Args:
        self.client.create_topic(args["topic"], args.get("partitions", 1))
        return {}

    def delete_topic(self, args: Args) -> Args:
        self.client.delete_topic(args["topic"])
        return {}

    def list_topics(self, _: Args) -> Args:
        return {"topics": self.client.list_topics()}

    def topic_info(self, args: Args) -> Args:
        parts = self.client.get_topic(args["topic"]).partition_info
        return {
            "partitions": [
                {
                    "partition": p.partition,
                    "low": p.low_watermark,
                    "high": p.high_watermark,
                    "log_end": p.log_end_offset,
                }
                for p in parts
            ]
        }

    def produce(self, args: Args) -> Args:
        more = {name: args[name] for name in ("headers", "partition", "acks") if args.get(name) is not None}
        return place(self.client.produce(args["topic"], data(args, "value"), data(args, "key"), **more))

    def produce_batch(self, args: Args) -> Args:
        more = {name: args[name] for name in ("partition", "acks") if args.get(name) is not None}
        messages = [(data(m, "key"), data(m, "value")) for m in args["messages"]]
        if codec := args.get("compression"):
            with self.client.producer(linger_ms=60_000, compression_type=codec) as producer:
                sent = [producer.send(args["topic"], value, key=key, **more) for key, value in messages]
                producer.flush()
                return {"results": [place(future.get()) for future in sent]}
        return {"results": [place(s) for s in self.client.produce_batch(args["topic"], messages, **more)]}

    def consume(self, args: Args) -> Args:
        return message(self.client.consume(args["topic"], args["offset"], args.get("partition", 0)))

    def fetch(self, args: Args) -> Args:
        found = self.client.fetch(
            args["topic"],
            args.get("partition", 0),
            args.get("offset", 0),
            args.get("max", 100),
            max_wait_ms=args.get("max_wait_ms", 0),
            filter=args.get("filter"),
        )
        return {"messages": [message(m) for m in found.messages], "next_offset": found.next_offset}

    def subscribe(self, args: Args) -> Args:
        consumer = self.client.consumer(
            args["topic"],
            args.get("group"),
            auto_offset_reset=args["from"],
            auto_commit=False,
            filter=args.get("filter"),
        )
        with consumer:
            found = [message(next(consumer)) for _ in range(args["count"])]
        return {"messages": found}

    # What clients do by themselves

    def produce_many(self, args: Args) -> Args:
        with self.client.producer(enable_idempotence=args["idempotent"]) as producer:
            sent = [producer.send(args["topic"], value, partition=0) for value in args["values"]]
            producer.flush()
            return {"results": [place(future.get()) for future in sent]}

    def read_as_member(self, args: Args) -> Args:
        consumer = self.client.consumer(args["topics"], args["group"], auto_offset_reset="earliest", auto_commit=False)
        with consumer:
            found = [next(consumer) for _ in range(args["count"])]
            consumer.commit()
        found.sort(key=lambda m: (m.topic, m.offset))
        return {"messages": [{"topic": m.topic, **message(m)} for m in found]}

    def join(self, args: Args) -> Args:
        """Reads in the background, as a member, until the process ends."""
        settings = {"auto_offset_reset": "earliest", "session_timeout_ms": args["session_timeout_ms"]}
        self.members.append(
            ConsumerGroup(self.client, args["topic"], args["group"], lambda m: self.read.append(m.decode()), **settings)
        )
        self.members[-1].start()
        return {}

    def joined(self, _: Args) -> Args:
        return {"values": list(self.read)}

    def transaction(self, args: Args) -> Args:
        with self.client.transactional_producer(args["id"]) as producer:
            producer.begin()
            for one in args["sends"]:
                producer.send(one["topic"], one["value"], partition=0)
            if place := args.get("offset"):
                producer.send_offsets(args["group"], [(place["topic"], place["partition"], place["offset"])])
            producer.commit() if args["commit"] else producer.abort()
        return {}

    def transform(self, args: Args) -> Args:
        consumer = self.client.consumer(args["from"], args["group"], auto_offset_reset="earliest", auto_commit=False)
        with self.client.transactional_producer(args["id"]) as producer, consumer:
            done = 0
            while done < args["count"]:
                if not (messages := consumer.poll()):
                    continue
                producer.transform(consumer, messages, lambda m: [(args["to"], m.value.upper())])
                done += len(messages)
        return {"done": done}

    def queue(self, args: Args) -> Args:
        reply: list[Args] = []
        settings = {name: args[name] for name in ("max_retries", "retry_delay_ms") if name in args}
        with self.client.queue(args["topic"], args["group"], **settings) as queue:
            held: list[ConsumedMessage] = []
            while len(held) < len(args["answers"]):
                held += queue.poll(max_records=len(args["answers"]) - len(held))
            for one, how in zip(held, args["answers"]):
                told: Args = {"value": one.decode(), "delivery_count": one.delivery_count}
                if how == "nack":
                    failure = queue.nack(one, "boom")
                    told |= {"attempts": failure.attempts, "dead_lettered": failure.dead_lettered}
                elif how == "reject":
                    queue.reject(one, "boom")
                elif how != "keep":
                    getattr(queue, how)(one)
                if args.get("twice"):
                    queue.accept(one)
                reply.append(told)
        return {"messages": reply}

    def dead_letters(self, args: Args) -> Args:
        letters = self.client.fetch_dlq(args["topic"])
        return {"dead_letters": [{"id": one.id, "error": one.error, "attempts": one.attempts} for one in letters]}

    def replay(self, args: Args) -> Args:
        self.client.replay_dlq(args["topic"], args["id"])
        return {}

    def purge(self, args: Args) -> Args:
        return {"purged": self.client.purge_dlq(args["topic"])}

    def schedule(self, args: Args) -> Args:
        if cron := args.get("cron"):
            return {"id": self.client.produce_recurring(args["topic"], args["value"], cron)}
        if at := args.get("at_ms"):
            return {"id": self.client.produce_at(args["topic"], args["value"], at)}
        return {"id": self.client.produce_delayed(args["topic"], args["value"], args["delay_ms"])}

    def schedules(self, args: Args) -> Args:
        waiting = self.client.list_schedules(args["topic"])
        return {"schedules": [{"id": one.id, "cron": one.cron, "value_size": one.value_size} for one in waiting]}

    def cancel(self, args: Args) -> Args:
        self.client.cancel_schedule(args["topic"], args["id"])
        return {}

    def deliver_now(self, args: Args) -> Args:
        return {"offset": int(self.client.deliver_schedule_now(args["topic"], args["id"]))}

    def produce_ttl(self, args: Args) -> Args:
        return place(self.client.produce_with_ttl(args["topic"], args["value"], args["ttl_ms"]))

    def register_schema(self, args: Args) -> Args:
        return {"version": self.client.register_schema(args["name"], args["type"], args["definition"]).version}

    def produce_with_schema(self, args: Args) -> Args:
        return place(self.client.produce_with_schema(args["topic"], args["value"], args["schema"]))

    def serialize(self, args: Args) -> Args:
        value = self.client.serde(args["serde"], args.get("subject")).serialize(args["topic"], args["document"])
        framed = base64.b64encode(value).decode()
        return {"frame": value[:1].hex(), "value": value[5:].hex(), "bytes": value.hex(), "framed": framed}

    def deserialize(self, args: Args) -> Args:
        data = base64.b64decode(args["framed"])
        document = self.client.serde(args["serde"]).deserialize(args.get("topic", ""), data)
        return {"document": document.decode() if isinstance(document, bytes) else document}

    def start_offset(self, args: Args) -> Args:
        start = f"START_FROM_{args['from'].upper()}"
        group = args.get("group") or ""
        return self.client.call(
            "GetStartOffset", topic=args["topic"], group=group, partition=args.get("partition", 0), **{"from": start}
        )

    def commit(self, args: Args) -> Args:
        self.client.commit_offset(args["group"], args["topic"], args.get("partition", 0), args["offset"])
        return {}

    def committed(self, args: Args) -> Args:
        found = self.client.committed(args["group"], args["topic"])
        return {"offset": next((one.offset for one in found if one.partition == args.get("partition", 0)), None)}

    def reset(self, args: Args) -> Args:
        self.client.reset_offsets(args["group"], args["topic"], args["to"], partitions=[args.get("partition", 0)])
        return {}

    def lag(self, args: Args) -> Args:
        found = self.client.lag(args["group"], args["topic"])
        behind = next(one for one in found if one.partition == args.get("partition", 0))
        return {name: getattr(behind, name) for name in ("committed", "latest", "lag", "lag_ms")}

    def list_groups(self, _: Args) -> Args:
        return {"groups": self.client.list_groups()}

    def describe_group(self, args: Args) -> Args:
        found = self.client.describe_group(args["group"]).offsets
        return {"offsets": [one.model_dump() for one in found]}

    def delete_group(self, args: Args) -> Args:
        self.client.delete_group(args["group"], args.get("topic"))
        return {}

    def health(self, _: Args) -> Args:
        return {"ready": self.client.call("GetHealth")["ready"]}

    def call(self, args: Args) -> Args:
        return self.client.call(args["rpc"], **args.get("request", {}))


def answer(driver: Driver, request: Args) -> Args:
    operation: Callable[[Args], Args] | None = getattr(driver, request["op"], None)
    if operation is None:
        return {"id": request["id"], "unsupported": f"pyflymq's driver has no operation {request['op']}"}
    try:
        return {"id": request["id"], "ok": operation(request.get("args") or {})}
    except FlyMQError as error:
        failure = {"code": error.code, "message": error.message, "hint": error.hint}
        return {"id": request["id"], "error": failure}


def main() -> None:
    with connect(os.environ["FLYMQ_ADDR"]) as client:
        driver = Driver(client)
        for line in sys.stdin:
            print(json.dumps(answer(driver, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
