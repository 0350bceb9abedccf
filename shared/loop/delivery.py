"""From records to what handlers get: decoding, and dead letters for what cannot be decoded."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from shared.errors import NeverRetry, NewerVersion
from shared.ids import event_id
from shared.log.record import Record, Stored, TopicPartition
from shared.log.topics import DEAD_LETTERS
from shared.wire.cloudevents import Envelope, decode, encode
from shared.wire.dead_letters import DeadLetter


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record, decoded, with its place."""

    stored: Stored
    envelope: Envelope


@dataclass(slots=True)
class Decoded:
    """A polled batch after decoding.

    `refused` are records that are not ours to read; `newer` maps a place to its first record of a
    newer schema, which stays unread together with all after it.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    refused: list[tuple[Stored, NeverRetry]] = field(default_factory=list)
    newer: dict[TopicPartition, tuple[Stored, NewerVersion]] = field(default_factory=dict)


def decode_all(records: Iterable[Stored], ignored: Callable[[Stored], bool]) -> Decoded:
    """Decode in order what is not `ignored`; after a newer version, nothing more of that place."""
    decoded = Decoded()
    for stored in records:
        if stored.place in decoded.newer or ignored(stored):
            continue
        try:
            decoded.deliveries.append(Delivery(stored, decode(stored)))
        except NewerVersion as error:
            decoded.newer[stored.place] = (stored, error)
        except NeverRetry as error:
            decoded.refused.append((stored, error))
    return decoded


def dead_letter(stored: Stored, error: Exception, group: str, now: datetime) -> Record:
    """The record on `dead-letters`: the refused one, whole, and why. Same partition number."""
    letter = DeadLetter(
        topic=stored.topic,
        partition=stored.partition,
        offset=stored.offset,
        group=group,
        error=type(error).__name__,
        reason=str(error)[:1_000],
        key=None if stored.key is None else stored.key.decode("utf-8", "replace"),
        value=None if stored.value is None else base64.b64encode(stored.value).decode(),
        headers=tuple((name, base64.b64encode(value).decode()) for name, value in stored.headers),
        at=now,
    )
    return encode(
        letter,
        id=event_id("dead-letter", group, stored.topic, stored.partition, stored.offset),
        source=group,
        subject=f"{stored.topic}/{stored.partition}/{stored.offset}",
        time=now,
        topic=DEAD_LETTERS,
        partition=stored.partition,
        key=f"{stored.topic}/{stored.partition}",
    )
