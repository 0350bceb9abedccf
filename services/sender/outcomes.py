"""What the sender says on `events` about a message, and how it is put into the outbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from services.sender.ledger import Fact
from shared.ids import event_id
from shared.log.record import Record
from shared.log.topics import EVENTS
from shared.observability.metrics import Metrics
from shared.store.port import Unit
from shared.wire.cloudevents import encode
from shared.wire.events import Event


def outcome_record(fact: Fact, now: datetime, what: str = "outcome") -> Record:
    """The event of a message's state. The same state of the same attempt has the same id.

    `what` tells apart an outcome and a resend that was decided: both say "in doubt".
    """
    event = Event(
        kind=fact.state,
        supporter_id=fact.supporter_id,
        at=now,
        message_id=fact.message_id,
        send_id=fact.send_id,
        occurrence=fact.occurrence,
        variant=fact.variant,
        edition=fact.edition,
        reason=fact.reason,
        settled=bool(fact.settled),
        attempt=fact.attempt,
        ses_message_id=fact.ses_message_id,
    )
    return encode(
        event,
        id=event_id(what, fact.message_id, fact.state, fact.settled, fact.attempt),
        source="sender",
        subject=fact.message_id,
        time=now,
        topic=EVENTS,
        partition=fact.partition,
        key=fact.supporter_id,
        type_name=f"doorstep.{fact.state}",
    )


def tell(unit: Unit, facts: Iterable[Fact], now: datetime, metrics: Metrics) -> None:
    """Put the events of states that were just reached into the outbox."""
    states: Counter[str] = Counter()
    for fact in facts:
        unit.emit(fact.partition, outcome_record(fact, now))
        states[fact.state] += 1
    for state, number in states.items():
        metrics.outcomes.labels(state).inc(number)


def tell_resend(unit: Unit, facts: Iterable[Fact], now: datetime) -> None:
    """Say that messages are in doubt again because they are to be sent once more."""
    for fact in facts:
        unit.emit(fact.partition, outcome_record(fact, now, "resend"))
