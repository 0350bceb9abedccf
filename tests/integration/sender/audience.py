"""Made-up people and the rendered batches that carry their mail to the sender."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.ids import address_key, message_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import MESSAGES
from shared.wire.batches import MessageBatch, RenderedMessage
from shared.wire.cloudevents import encode

SECRET = b"k" * 32
SENDER = "Spring Campaign <news@mail.example.com>"
PEOPLE = uuid.UUID("0b2f3f0c-5a0e-4d0c-9a52-0c1b6f0f8a11")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in an audience."""

    supporter_id: str
    address: str

    @property
    def address_key(self) -> str:
        return address_key(self.address, SECRET)

    def message_of(self, send: str) -> str:
        return message_id(send, self.supporter_id)


def people(number: int, seed: str = "", *, to_an_inbox: int = 1) -> list[Person]:
    """Always the same ones for a seed. `to_an_inbox`: so many share each address."""
    return [
        Person(
            str(uuid.uuid5(PEOPLE, f"{seed}/{n}")),
            f"person{n // to_an_inbox}.{seed or 'one'}@example.org",
        )
        for n in range(number)
    ]


def mail_to(person: Person, body: str = "Hello.") -> str:
    """A small whole message."""
    return (
        f"From: {SENDER}\r\nTo: {person.address}\r\nSubject: Spring\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=us-ascii\r\n\r\n{body}\r\n"
    )


def entry(send: str, person: Person, **changes: Any) -> RenderedMessage:
    """A rendered message; `changes` replace any of its fields."""
    fields: dict[str, Any] = {
        "message_id": person.message_of(send),
        "send_id": send,
        "variant": "a",
        "supporter_id": person.supporter_id,
        "address_key": person.address_key,
        "to": person.address,
        "sender": SENDER,
        "mail": mail_to(person),
        **changes,
    }
    return RenderedMessage.model_validate(fields)


def batches(
    entries: Iterable[RenderedMessage], partitions: int, *, most: int = 50, compress: bool = True
) -> Iterator[Record]:
    """Records for the `messages` topic, partition by partition, at most `most` entries each."""
    by_partition: dict[int, list[RenderedMessage]] = {}
    for one in entries:
        by_partition.setdefault(partition_of(one.supporter_id, partitions), []).append(one)
    for partition, found in by_partition.items():
        for start in range(0, len(found), most):
            yield _record(partition, found[start : start + most], compress=compress)


def _record(partition: int, entries: Sequence[RenderedMessage], *, compress: bool) -> Record:
    batch_id = str(uuid.uuid5(PEOPLE, "/".join(one.message_id for one in entries)))
    return encode(
        MessageBatch(batch_id=batch_id, partition=partition, entries=tuple(entries)),
        id=batch_id,
        source="renderer",
        subject=entries[0].send_id,
        time=datetime.now(UTC),
        topic=MESSAGES,
        partition=partition,
        key=str(partition),
        compress=compress,
    )
