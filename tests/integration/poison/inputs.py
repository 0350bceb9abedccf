"""The inputs of the services: for each, sound records, one that cannot be handled, and their marks.

All records of an input are of one partition, so that whoever stops at one stops at all after it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from services.console.programme_topic import definition_records
from shared.ids import event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import AUDIENCE, CONTROL, EVENTS, MESSAGES, SUPPORTERS
from shared.programme.versions import to_wire
from shared.wire.batches import AudienceBatch, MessageBatch
from shared.wire.cloudevents import decode, encode
from shared.wire.control import FreezeReported
from shared.wire.events import Event
from shared.wire.schema import WireModel
from shared.wire.supporters import Consent, SupporterChanged
from tests.integration.poison.house import PARTITIONS, House
from tests.integration.sender.audience import PEOPLE, Person, entry, people
from tests.unit.renderer.building import a_campaign, a_recipient, a_send, a_template, pinned

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
PEOPLE_DB, LEDGER_DB = "segmenter/people.db", "sender/ledger.db"
HERE, ELSEWHERE = 1, 2
SOUND = 4
TOO_LARGE = 2**70
"""For a column of SQLite; in JSON any integer is one."""


@dataclass(frozen=True, slots=True)
class Input:
    """One topic at one service.

    `sound`: records that it can handle, `marks`: what each leaves behind, `left`: which marks are
    there. `refused`: a record that decodes and that it cannot handle, `error`: how it says so.
    `before`: what must be there first, and `ready`: when it is.
    """

    service: str
    topic: str
    sound: Sequence[Record]
    marks: Sequence[str]
    left: Callable[[House], Sequence[str]]
    refused: Record
    error: str
    before: Sequence[Record] = ()
    ready: Callable[[House], bool] = lambda _: True

    @property
    def broken(self) -> Record:
        """A record that looks like a sound one until its value is read."""
        return replace(self.sound[0], value=b'{"not": JSON')


def supporters() -> Input:
    found = _people(HERE)
    return Input(
        service="segmenter", topic=SUPPORTERS,
        sound=[_change(person, HERE) for person in found],
        marks=[person.supporter_id for person in found],
        left=lambda house: house.column(PEOPLE_DB, "select supporter_id from supporter"),
        refused=_change(_people(ELSEWHERE)[0], HERE), error="Refused",
    )  # fmt: skip


def events_of_people() -> Input:
    found = _people(HERE)
    sound = [_event("acted", person, HERE, action="voted") for person in found]
    return Input(
        service="segmenter", topic=EVENTS, sound=sound,
        marks=[person.supporter_id for person in found],
        left=lambda house: house.column(PEOPLE_DB, "select supporter_id from action"),
        refused=_event("acted", _people(ELSEWHERE)[0], HERE, action="voted"), error="Refused",
    )  # fmt: skip


def control() -> Input:
    sends = [f"send-{n}" for n in range(SOUND)]
    return Input(
        service="segmenter", topic=CONTROL, sound=[_report(send) for send in sends], marks=sends,
        left=lambda house: house.column(PEOPLE_DB, "select send_id from report"),
        refused=_report("refused", frozen=TOO_LARGE), error="OverflowError",
    )  # fmt: skip


def audience() -> Input:
    """The renderer finds a refusal for every recipient; a batch that is not of its partition it
    cannot write anywhere.
    """
    send, campaign, template = a_send(), a_campaign(), a_template()
    recipient = pinned(a_recipient(), send, campaign, template)

    def batch(name: str, **changes: Any) -> Record:
        made = AudienceBatch(batch_id=name, partition=HERE, recipients=(recipient,))
        return _record(made.model_copy(update=changes), AUDIENCE, HERE, name)

    def printed(house: House) -> list[str]:
        found = [decode(stored).data for stored in house.on(MESSAGES)]
        return [made.batch_id for made in found if isinstance(made, MessageBatch)]

    definitions = (to_wire(each, NOW, "test") for each in (send, campaign, template))
    names = [f"batch-{n}" for n in range(SOUND)]
    return Input(
        service="renderer", topic=AUDIENCE, sound=[batch(name) for name in names], marks=names,
        left=printed, refused=batch("refused", partition=PARTITIONS), error="NeverRetry",
        before=[record for each in definitions for record in definition_records(each)],
    )  # fmt: skip


def messages() -> Input:
    found = _people(HERE)
    (other,) = people(1, "refused")
    return Input(
        service="sender", topic=MESSAGES, sound=[_messages(person) for person in found],
        marks=[person.message_of("ask") for person in found], left=_in_ledger,
        refused=_messages(other, occurrence=TOO_LARGE), error="OverflowError",
    )  # fmt: skip


def events_of_ses() -> Input:
    """An event lifts a message, whatever our books say; the year 1 has no milliseconds."""
    found = _people(HERE)
    marks = [person.message_of("ask") for person in found]
    sound = [_event("delivered", person, HERE, message_id=person.message_of("ask"), send_id="ask")
             for person in found]  # fmt: skip
    return Input(
        service="sender", topic=EVENTS, sound=sound, marks=marks,
        left=lambda house: house.column(
            LEDGER_DB, "select message_id from message where state = 'accepted'"
        ),
        refused=_event("delivered", found[0], HERE, message_id=marks[0], told_at=datetime(1, 1, 1)),  # noqa: DTZ001
        error="ValueError",
        before=[_messages(person) for person in found],
        ready=lambda house: set(marks) <= set(_in_ledger(house)),
    )  # fmt: skip


def _in_ledger(house: House) -> Sequence[str]:
    return house.column(LEDGER_DB, "select message_id from message")


def _people(partition: int) -> list[Person]:
    """Some whose records belong to that partition."""
    found = (one for one in people(100) if partition_of(one.supporter_id, PARTITIONS) == partition)
    return [person for person, _ in zip(found, range(SOUND), strict=False)]


def _change(person: Person, partition: int) -> Record:
    change = SupporterChanged(
        supporter_id=person.supporter_id, stated_by="import", source="test", at=NOW,
        profile={"email": person.address}, consent=Consent(wording="yes", source="form", at=NOW),
    )  # fmt: skip
    return _record(change, SUPPORTERS, partition, person.supporter_id)


def _event(kind: Any, person: Person, partition: int, **fields: Any) -> Record:
    event = Event(**{"kind": kind, "supporter_id": person.supporter_id, "at": NOW, **fields})
    return _record(event, EVENTS, partition, person.supporter_id, type_name=f"doorstep.{kind}")


def _report(send: str, frozen: int = 3) -> Record:
    report = FreezeReported(send_id=send, occurrence=0, partition=HERE, frozen=frozen, at=NOW)
    return _record(report, CONTROL, HERE, send)


def _messages(person: Person, **fields: Any) -> Record:
    batch = MessageBatch(
        batch_id=str(uuid.uuid5(PEOPLE, f"poison {person.supporter_id}")), partition=HERE,
        entries=(entry("ask", person, **fields),),
    )  # fmt: skip
    return _record(batch, MESSAGES, HERE, batch.batch_id)


def _record(
    data: WireModel, topic: str, partition: int, name: str, type_name: str | None = None
) -> Record:
    return encode(
        data, id=event_id("poison", topic, name, data.model_dump_json()), source="test",
        subject=name, time=NOW, topic=topic, partition=partition, key=name, type_name=type_name,
    )  # fmt: skip
