"""Rechecking on AWS in process: changes as the stream brings them, and fleets of held devices made from one."""

import hashlib
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from jitr.aws.dynamodb.changes import PARTITION
from jitr.aws.dynamodb.table import certificate_key, record_writes, to_item
from jitr.aws.registration_queue import RegistrationQueue
from jitr.records.record import Record
from jitr.services.recheck.recheck import Recheck
from testkit import pki
from testkit.aws.world import ACCOUNT, World


def recheck_of(world: World, most_waiting: int = 500) -> Recheck:
    """As a cold start of the recheck function makes it."""
    return Recheck(
        table=world.table,
        queue=RegistrationQueue(world.sqs, world.queue_url, ACCOUNT, most_waiting),
        clock=lambda: world.now,
        telemetry=world.telemetry,
    )


def stream_of(world: World, *, after: int = 0) -> dict[str, Any]:
    """What the table's stream brings the function: every change but the first ``after``."""
    items = list(world.table.query(PARTITION))[after:]
    return {"Records": [stream_record(to_item(each)) for each in items]}


def stream_record(image: dict[str, Any]) -> dict[str, Any]:
    """One record of the stream."""
    keys = {name: image[name] for name in ("pk", "sk")}
    return {
        "eventID": "1",
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "dynamodb": {"Keys": keys, "NewImage": image, "SequenceNumber": "1", "StreamViewType": "NEW_IMAGE"},
    }


def plenty() -> int:
    """Milliseconds left in an invocation that has just begun."""
    return 60_000


def queued(world: World) -> list[str]:
    """The bodies of all messages in the registration queue; they are taken off it."""
    bodies: list[str] = []
    while True:
        found = world.sqs.receive_message(QueueUrl=world.queue_url, MaxNumberOfMessages=10).get("Messages", [])
        if not found:
            return bodies
        for each in found:
            bodies.append(each["Body"])
            world.sqs.delete_message(QueueUrl=world.queue_url, ReceiptHandle=each["ReceiptHandle"])


def deliver(world: World) -> int:
    """Handle every message in the registration queue as the register function does; the result is how many."""
    bodies = queued(world)
    for body in bodies:
        world.registrar.handle(world.message(body))
    return len(bodies)


def clones(record: Record, names: Iterable[str]) -> list[Record]:
    """Held devices like one that there is, with other names, keys and serial numbers."""
    return [_clone(record, number, name) for number, name in enumerate(names)]


def _clone(record: Record, number: int, name: str) -> Record:
    identifier = hashlib.sha256(f"{number} {name}".encode()).hexdigest()
    facts: Any = deepcopy(dict(record.facts or {}))
    facts["certificate_sha256"] = identifier
    facts["public_key_sha256"] = hashlib.sha256(identifier.encode()).hexdigest()
    facts["serial_number"] = f"{0x100000 + number:x}"
    facts["chain"] = facts["chain"] | {"twin_sha256": None}
    for attribute in facts["subject"]:
        if attribute["name"] == "common_name":
            attribute["value"] = name
    return replace(record, certificate_id=identifier, facts=facts, hints=(), search_keys=(), revision=0)


def seed(world: World, records: Iterable[Record], *, hints: bool = True) -> None:
    """Write records that are not there yet, with or (quicker) without their hints, many at a time."""
    puts = [
        write["Put"]["Item"]
        for record in records
        for write in record_writes(world.table.name, record)[1]
        if hints or "due_shard" in write["Put"]["Item"]
    ]
    for start in range(0, len(puts), 25):
        requests: Any = [{"PutRequest": {"Item": each}} for each in puts[start : start + 25]]
        world.dynamodb.batch_write_item(RequestItems={world.table.name: requests})


def hints_in(world: World) -> set[tuple[str, str]]:
    """Every hint in the table: what finds, and the device that it finds."""
    items = world.dynamodb.scan(TableName=world.table.name, ConsistentRead=True)["Items"]
    return {(each["pk"]["S"], each["sk"]["S"]) for each in items if each["pk"]["S"].startswith("HELD#")}


def due_at(world: World, device: pki.Issued) -> str | None:
    """Where a device stands in the index by the time when it is due."""
    item = next(iter(world.table.get([certificate_key(device.sha256)])))
    found: str | None = item.get("due_at")
    return found
