"""Applies what the topics `supporters` and `events` bring to the people of the store.

One pass per batch, in the caller's transaction: read, fold, write what changed, then let the live
segments see who changed. Nothing here polls, commits or sleeps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from services.segmenter.people import engagement, hits, memberships
from services.segmenter.people.folding import Folding, Places
from services.segmenter.people.forgetting import forget
from services.segmenter.people.live_segments import LiveSegments
from services.segmenter.people.memberships import Touched
from services.segmenter.people.rule_facts import facts_changed
from services.segmenter.people.statements import Refused, Statement, read_statement
from shared.classification.hits import HIT_KINDS
from shared.clock import Clock, to_ms
from shared.log.partitioner import partition_of
from shared.loop.delivery import Delivery
from shared.observability.logs import Journal
from shared.programme.definitions import Segment
from shared.store.database import Database
from shared.store.port import Store, Unit
from shared.wire.events import Event
from shared.wire.supporters import SupporterChanged, SupporterErased


@dataclass(slots=True)
class _Batch:
    """A batch, read. `causes`: supporter to the id of the last record about them."""

    statements: defaultdict[str, list[Statement]] = field(default_factory=lambda: defaultdict(list))
    events: list[tuple[str, Event]] = field(default_factory=list)
    partitions: dict[str, int] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)


class People:
    """The people of one store. Used by the loop's thread only."""

    def __init__(
        self,
        places: Places,
        secret: bytes,
        partitions: int,
        clock: Clock,
        patience: hits.Patience = hits.Patience(),  # noqa: B008 - a frozen value
    ) -> None:
        """`secret` keys the address keys; `partitions` is P; `patience` with opens and clicks."""
        self._secret, self._partitions, self._clock = secret, partitions, clock
        self._patience = patience
        self._folding = Folding(places, partitions)
        self._live = LiveSegments(partitions)
        self._journal = Journal("people")

    def handle(self, unit: Unit, deliveries: Sequence[Delivery]) -> Mapping[str, str]:
        """Apply a batch of `supporters` and `events` records; others are ignored.

        Returns the supporters about whom a rule may say something else now, each with its cause
        (the id of the last record about them). Raises NeverRetry for a record that can never be
        applied.
        """
        now = self._clock.now()
        batch = self._read(deliveries, now)
        gathered = engagement.gather(batch.events)
        engagement.write(unit.connection, gathered)
        heard = hits.hear(batch.events)
        hits.write(unit.connection, heard, batch.partitions, to_ms(now), self._patience)
        facts = gathered.touched
        for message, _ in heard.judged:
            facts[message.supporter_id] |= {f"{kind}:{message.send_id}" for kind in HIT_KINDS}
        for change in self._folding.apply(
            unit, batch.statements, gathered.told, batch.partitions, now
        ):
            facts[change.portrait.supporter_id] |= facts_changed(change)
        touched = {
            supporter_id: Touched(batch.causes[supporter_id], words)
            for supporter_id, words in facts.items()
            if words
        }
        memberships.refresh(unit, self._live.standing(), touched, now)
        forget(unit.connection, sorted(batch.erased))
        return {supporter_id: entry.cause for supporter_id, entry in touched.items()}

    def take(self, database: Database, partitions: AbstractSet[int]) -> None:
        """These partitions are owned from now on: see what their people were seeded with."""
        self._live.take(database, partitions)

    def lose(self, partitions: AbstractSet[int]) -> None:
        """These partitions are owned no more."""
        self._live.lose(partitions)

    def use_segments(self, segments: Sequence[Segment], as_of: datetime) -> None:
        """Want these for live segments; `seed_next` makes them so."""
        for sentence in self._live.use(segments, as_of):
            self._journal.error("people.segment_unusable", reason=sentence)

    def seed_next(self, store: Store[Unit], among: AbstractSet[int], as_of: datetime) -> bool:
        """In a unit of its own: seed the next segment that is new or edited, silently, or forget
        one that is gone, in those of the owned partitions. Nobody enters or leaves by this.

        False when there was nothing to do.
        """
        seeding = next(iter(self._live.behind(among)), None)
        if seeding is None:
            return False
        with store.unit() as unit:
            unit.check(*seeding.partitions)
            self._live.seed(unit.connection, seeding, as_of)
        self._live.seeded(seeding, as_of)
        return True

    def waiting(self, database: Database, owned: frozenset[int]) -> bool:
        """Whether `settle` has anything to do."""
        return hits.waiting(database, owned, self._clock.now())

    def settle(self, unit: Unit, owned: frozenset[int]) -> bool:
        """Judge the opens and clicks that have waited long enough, and let people move by them;
        whether there may be more. In a unit that checks these partitions.
        """
        now = self._clock.now()
        unit.check(*owned)
        touched, more = hits.settle(unit, owned, now, self._patience)
        memberships.refresh(unit, self._live.standing(), touched, now)
        return more

    def sweep(self, unit: Unit, as_of: datetime, owned: frozenset[int]) -> int:
        """Let time alone move people of the owned partitions; how many moved."""
        return memberships.sweep(unit, self._live.standing(), as_of, owned)

    def _read(self, deliveries: Sequence[Delivery], now: datetime) -> _Batch:
        batch = _Batch()
        for delivery in deliveries:
            data = delivery.envelope.data
            if isinstance(data, SupporterErased):
                self._check_place(delivery, data.supporter_id)
                batch.erased.add(data.supporter_id)
                continue
            if not isinstance(data, SupporterChanged | Event):
                continue
            self._check_place(delivery, data.supporter_id)
            if isinstance(data, SupporterChanged):
                statement = read_statement(data, self._secret, now)
                batch.statements[data.supporter_id].append(statement)
            else:
                _check_words(delivery.envelope.id, data)
                batch.events.append((delivery.envelope.id, data))
            batch.partitions[data.supporter_id] = delivery.stored.partition
            batch.causes[data.supporter_id] = delivery.envelope.id
        return batch

    def _check_place(self, delivery: Delivery, supporter_id: str) -> None:
        stored = delivery.stored
        where = f"{stored.topic}[{stored.partition}]@{stored.offset}"
        if not supporter_id or not supporter_id.isprintable():
            raise Refused(f"{where}: the supporter's id is empty or not printable")
        belongs = partition_of(supporter_id, self._partitions)
        if stored.partition != belongs:
            raise Refused(f"{where}: its supporter belongs to partition {belongs}; publish there")


def _check_words(event_id: str, event: Event) -> None:
    """A NUL cannot be kept by every database, and is no part of any name of ours."""
    words = (event_id, event.send_id, event.variant, event.edition, event.action)
    if any(word is not None and "\x00" in word for word in words):
        raise Refused(f"the {event.kind} event has a NUL character in one of its names")
