"""Dead letters as people deal with them: which there are, and what replay and discard write. Pure.

Replaying puts the refused record on its topic again: handlers are idempotent. Discarding one that
holds people orders a final state for each of them on the way that every refusal takes: a batch on
`messages` whose entries are refusals, which the ledger writes down and tells on `events`. Whoever
has a row in the ledger keeps it, so that neither can make or unmake a mail.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.clock import to_ms
from shared.errors import Misconfigured, NeverRetry, NewerVersion
from shared.ids import event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record, Stored
from shared.log.topics import AUDIENCE, DEAD_LETTERS, MESSAGES, TOPICS
from shared.wire.batches import AudienceBatch, MessageBatch, Recipient, RenderedMessage
from shared.wire.cloudevents import Envelope, decode, encode
from shared.wire.dead_letters import DeadLetter, DeadLetterHandled

REFUSAL: Final = "dead letter"
SHORT: Final = 8
APPENDABLE: Final = frozenset(spec.name for spec in TOPICS if not spec.compacted) - {DEAD_LETTERS}
WITH_PEOPLE: Final = frozenset({AUDIENCE, MESSAGES})
SHOWN_HEADERS: Final = ("ce_id", "ce_type", "ce_source", "ce_time", "ce_dataschema")


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter with its id, and what became of it."""

    id: str
    partition: int
    said: DeadLetter
    handled: DeadLetterHandled | None = None

    @property
    def short(self) -> str:
        return self.id[:SHORT]

    @property
    def place(self) -> str:
        """Where the record stands: `events[3]@1204`."""
        return f"{self.said.topic}[{self.said.partition}]@{self.said.offset}"

    @property
    def reason(self) -> str:
        """Less the place where it begins with it."""
        return self.said.reason.removeprefix(f"{self.place}: ")

    def record(self) -> Stored:
        """The record that was refused."""
        said = self.said
        return Stored(
            said.topic, said.partition, said.offset,
            None if said.key is None else said.key.encode(),
            None if said.value is None else base64.b64decode(said.value),
            tuple((name, base64.b64decode(value)) for name, value in said.headers),
            to_ms(said.at),
        )  # fmt: skip


class Unreadable(NeverRetry):
    """A batch that nobody can read: who is inside is not known from it."""


def collect(found: Iterable[tuple[Stored, Envelope]]) -> list[Letter]:
    """All letters, in the order given, each with its newest mark."""
    letters: dict[str, Letter] = {}
    marks: dict[str, DeadLetterHandled] = {}
    for stored, envelope in found:
        match envelope.data:
            case DeadLetter() as said:
                letters[envelope.id] = Letter(envelope.id, stored.partition, said)
            case DeadLetterHandled() as mark:
                marks[mark.letter] = mark
            case _:
                pass
    return [replace(each, handled=marks.get(each.id)) for each in letters.values()]


def chosen(letters: Sequence[Letter], wanted: str) -> Letter:
    """The letter whose id begins so. Raises Misconfigured for none, or for several."""
    found = [each for each in letters if wanted and each.id.startswith(wanted.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise Misconfigured(f"{wanted}: {len(found)} dead letters begin so; give more of the id")
    raise Misconfigured(
        f"{wanted}: there is no such dead letter (they are kept for 7 days); "
        "see `doorstep dead-letters list --handled`"
    )


def people_in(letter: Letter) -> list[Recipient | RenderedMessage]:
    """The people a batch is about. Raises Unreadable."""
    if letter.said.topic not in WITH_PEOPLE:
        return []
    try:
        data = decode(letter.record()).data
    except (NeverRetry, NewerVersion) as error:
        raise Unreadable(f"{letter.short}: who is in the batch cannot be read: {error}") from error
    match data:
        case AudienceBatch():
            return list(data.recipients)
        case MessageBatch():
            return list(data.entries)
        case _:
            return []


def by_send(people: Iterable[Recipient | RenderedMessage]) -> Mapping[str, int]:
    """How many people of which send."""
    return dict(sorted(Counter(each.send_id for each in people).items()))


def replayed(letter: Letter, now: datetime, by: str) -> list[Record]:
    """The refused record once more, and the mark. Raises Misconfigured where that is senseless."""
    if letter.said.topic not in APPENDABLE:
        raise Misconfigured(
            f"{letter.short}: {letter.said.topic} cannot be replayed: "
            "what came later would be undone, or it is no topic of the log; discard it"
        )
    stored = letter.record()
    again = Record(
        stored.topic, stored.partition, stored.key, stored.value, stored.headers, to_ms(now)
    )
    mark = DeadLetterHandled(letter=letter.id, how="replayed", by=by, at=now)
    return [again, _mark_record(letter, mark)]


def discarded(
    letter: Letter,
    people: Sequence[Recipient | RenderedMessage],
    reason: str,
    partitions: int,
    now: datetime,
    by: str,
) -> list[Record]:
    """A refusal for each of these people, and the mark.

    Each in a record of its own: what made the batch a dead letter may be one of them.
    """
    mark = DeadLetterHandled(
        letter=letter.id, how="discarded", reason=reason, people=len(people), by=by, at=now
    )
    refusals = [
        _refusal(letter, number, each, partitions, now) for number, each in enumerate(people)
    ]
    return [*refusals, _mark_record(letter, mark)]


def _refusal(
    letter: Letter, number: int, one: Recipient | RenderedMessage, partitions: int, now: datetime
) -> Record:
    entry = RenderedMessage(
        message_id=one.message_id, send_id=one.send_id, occurrence=one.occurrence,
        variant=one.variant, edition=one.edition, supporter_id=one.supporter_id,
        address_key=one.address_key, to="", topic=one.topic, priority=one.priority,
        deadline=one.deadline, per_inbox=one.per_inbox, resend_unconfirmed=one.resend_unconfirmed,
        refusal=REFUSAL,
    )  # fmt: skip
    partition = partition_of(one.supporter_id, partitions)
    batch_id = event_id("discarded", letter.id, number)
    return encode(
        MessageBatch(batch_id=batch_id, partition=partition, entries=(entry,)),
        id=batch_id, source="console", subject=one.send_id, time=now, topic=MESSAGES,
        partition=partition, key=str(partition),
    )  # fmt: skip


def _mark_record(letter: Letter, mark: DeadLetterHandled) -> Record:
    return encode(
        mark, id=event_id("handled", letter.id, mark.how, mark.at.isoformat()), source="console",
        subject=letter.id, time=mark.at, topic=DEAD_LETTERS, partition=letter.partition,
        key=f"handled/{letter.id}",
    )  # fmt: skip
