"""The sends of a segmenter: launch in two steps, release in waves, books.

Step one: each partition freezes its part and reports it on `control`. Step two: the owner of the
send's key decides when all have reported (see `deciding`), and writes the decision to the
programme; partitions release on it. `finished` goes the same way. What happens when is in `tick`,
in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from services.segmenter.people.audience import Chosen, done_any, members_by_id
from services.segmenter.people.ownership import Owned
from services.segmenter.sends.audience_batches import Frozen, batches, recipient
from services.segmenter.sends.deciding import Deciding
from services.segmenter.sends.decisions import closed_at
from services.segmenter.sends.freezing import Barrier, add_members, freeze
from services.segmenter.sends.frequency import held_back
from services.segmenter.sends.frozen_sets import FrozenSets
from services.segmenter.sends.outcome_events import emit_final, exclusion
from services.segmenter.sends.programme import Planned, ProgrammeView
from services.segmenter.sends.reports import Reports, progress_record
from shared.clock import to_ms
from shared.log.partitioner import partition_of
from shared.log.record import TopicPartition
from shared.loop.delivery import Delivery
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.store.port import Store, Unit
from shared.wire.control import FreezeReported, ProgressReported
from shared.wire.events import FINAL_KINDS, Event, EventKind

PAGE = 500
REPORT_MS = 1_000
TICK_MS = 200
QUALIFIED = 5_000
LONGEST_TICK_SECONDS = 2.0
"""Then the loop is let to turn, so that the partitions stay ours; the rest is done next time."""


class Sends:
    """All sends of one store."""

    def __init__(
        self,
        store: Store[Unit],
        programme: ProgrammeView,
        partitions: int,
        wave_recipients: int,
        end_offsets: Callable[[str], dict[int, int]],
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        self._store, self._programme = store, programme
        self._partitions, self._wave = partitions, wave_recipients
        self._barrier = Barrier(end_offsets)
        self._deciding = Deciding(store, programme, partitions, fail_points)
        self._fail_points, self._metrics = fail_points, metrics
        self._next_tick_ms = 0
        self._until = 0.0
        self._drained: set[tuple[str, int]] = set()
        self._begun: set[tuple[str, int]] | None = None
        self._said_last: set[tuple[str, datetime]] = set()

    def handle(self, unit: Unit, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Books from events; reports from `control`; exclusions from actions."""
        sets, reports = FrozenSets(unit.connection), Reports(unit.connection)
        outcomes: list[Event] = []
        touched: set[tuple[str, int, int]] = set()
        actions: list[Event] = []
        for delivery in deliveries:
            match delivery.envelope.data:
                case Event(kind=kind, send_id=str() as send_id) as event if kind in FINAL_KINDS:
                    outcomes.append(_keepable(event))
                    touched.add((send_id, event.occurrence, delivery.stored.partition))
                case Event(kind="acted", action=str()) as event:
                    actions.append(event)
                case FreezeReported() | ProgressReported() as report:
                    reports.keep(report)
                case _:
                    pass
        sets.outcomes(outcomes)
        sets.mark_dirty(touched)
        self._exclude(unit, sets, actions, now)

    def tick(self, now: datetime) -> None:
        """1. Freeze what is due. 2. Decide. 3. Take in who newly qualifies. 4. Release.
        5. Close what was cancelled or is late before release. 6. Report progress.

        All of it for the owned partitions alone, in units that check that they are owned still.
        """
        owned = sorted(self._store.owned())
        if not owned or to_ms(now) < self._next_tick_ms:
            return
        self._next_tick_ms = to_ms(now) + TICK_MS
        self._until = time.monotonic() + LONGEST_TICK_SECONDS
        if not self._programme.halted:
            self._freeze_due(owned, now)
            self._deciding.decide(owned, now)
            self._qualify(owned, now)
            self._release(owned, now)
        self._close_unreleased(owned, now)
        self._say_last(owned, now)
        self._report(owned, now)

    def forget(self) -> None:
        """Ownership has changed: what was seen of parts may not hold any more."""
        self._drained.clear()
        self._begun = None
        self._said_last.clear()

    def _freeze_due(self, owned: list[int], now: datetime) -> None:
        sets = FrozenSets(self._store.connection)
        begun = self._begun = sets.begun(owned) if self._begun is None else self._begun
        read: dict[int, dict[TopicPartition, int]] = {}
        for send_id, order in list(self._programme.orders.items()):
            due = order.due_at is not None and order.due_at <= now
            if not due or (send_id, 0) in self._programme.decisions:
                continue
            missing = [partition for partition in owned if (send_id, partition) not in begun]
            planned = self._programme.planned(send_id) if missing else None
            if planned is None:
                continue
            for partition in missing:
                if self._late():
                    return
                if partition not in read:
                    read[partition] = self._store.positions(partition)
                if self._barrier.passed(send_id, partition, read[partition]):
                    self._freeze_part(planned, partition, now)
                    begun.add((send_id, partition))

    def _freeze_part(self, planned: Planned, partition: int, now: datetime) -> None:
        with self._store.unit() as unit:
            lately = self._programme.lately() if self._programme.warming(now) else ()
            frozen = freeze(unit, planned, partition, self._partitions, now, lately)
            self._fail_points.reach("segmenter.freeze.before_commit")
        self._drained.discard((planned.send.name, partition))
        self._metrics.frozen.inc(frozen)
        self._fail_points.reach("segmenter.freeze.after_commit")

    def _late(self) -> bool:
        return time.monotonic() > self._until

    def _qualify(self, owned: list[int], now: datetime) -> None:
        """People who entered the segment of a `newly qualifies` send since it was launched."""
        for planned in self._running():
            send, order = planned.send, planned.order
            if send.mode != "newly_qualifies" or order.cancelled or order.paused:
                continue
            if closed_at(planned, now) is not None or order.due_at is None:
                continue
            found = FrozenSets(self._store.connection).newly_qualified(
                send.name, send.topic, send.segment, to_ms(order.due_at),
                Owned(frozenset(owned), self._partitions), QUALIFIED,
            )  # fmt: skip
            for partition, supporter_ids in sorted(found.items()):
                self._take_in(planned, partition, supporter_ids, now)

    def _take_in(
        self, planned: Planned, partition: int, supporter_ids: Sequence[str], now: datetime
    ) -> None:
        send = planned.send
        self._drained.discard((send.name, partition))
        with self._store.unit() as unit:
            unit.check(partition)
            found = [
                Chosen(member.supporter_id, member.address_key, member.areas)
                for member in members_by_id(
                    unit.connection, supporter_ids, topic=send.topic, send_id=send.name
                )
            ]
            add_members(unit, planned, found, partition, now)
            if found:
                FrozenSets(unit.connection).mark_dirty([(send.name, 0, partition)])
            self._fail_points.reach("segmenter.freeze.before_commit")
        self._metrics.frozen.inc(len(found))
        self._fail_points.reach("segmenter.freeze.after_commit")

    def _release(self, owned: list[int], now: datetime) -> None:
        for planned in self._running():
            if planned.order.paused or planned.order.cancelled:
                continue
            for partition in owned:
                if self._late():
                    return
                if (planned.send.name, partition) not in self._drained:
                    self._release_part(planned, partition, now)

    def _release_part(self, planned: Planned, partition: int, now: datetime) -> None:
        """The next page of a part, unless enough of it is out already."""
        sets = FrozenSets(self._store.connection)
        rows = sets.unreleased(planned.send.name, 0, partition, PAGE)
        if not rows:
            self._drained.add((planned.send.name, partition))
            return
        room = self._wave - sets.outstanding(planned.send.name, 0, partition)
        if room > 0:
            self._release_rows(planned, partition, rows[:room], now)

    def _release_rows(
        self, planned: Planned, partition: int, rows: Sequence[Frozen], now: datetime
    ) -> None:
        """One page: consent and suppression are looked at once more, then it goes out."""
        send = planned.send
        with self._store.unit() as unit:
            unit.check(partition)
            ids = [row.supporter_id for row in rows]
            mailable = {
                member.supporter_id: member
                for member in members_by_id(
                    unit.connection, ids, topic=send.topic, send_id=send.name
                )
            }
            done = done_any(unit.connection, ids, send.unless_done) if send.unless_done else set()
            left = [row for row in rows if row.supporter_id not in done]
            self._end(
                unit, send.name, [row for row in rows if row.supporter_id in done],
                "excluded", "has acted since", now,
            )  # fmt: skip
            self._end(
                unit, send.name, [row for row in left if row.supporter_id not in mailable],
                "suppressed", "suppressed since", now,
            )  # fmt: skip
            held = held_back(unit.connection, send, mailable.values(), now)
            for reason in sorted(set(held.values())):
                rest = [row for row in left if held.get(row.supporter_id) == reason]
                self._end(unit, send.name, rest, "capped", reason, now)
            going = [
                recipient(planned, 0, row, mailable[row.supporter_id])
                for row in left
                if row.supporter_id in mailable and row.supporter_id not in held
            ]
            for record in batches(send.name, partition, going, now):
                unit.emit(partition, record)
            sets = FrozenSets(unit.connection)
            sets.release(send.name, 0, [one.supporter_id for one in going], to_ms(now))
            sets.mark_dirty([(send.name, 0, partition)])
            self._fail_points.reach("segmenter.release.before_commit")
        self._metrics.recipients.inc(len(going))
        self._fail_points.reach("segmenter.release.after_commit")

    def _end(
        self,
        unit: Unit,
        send_id: str,
        rows: Sequence[Frozen],
        state: EventKind,
        reason: str,
        now: datetime,
    ) -> None:
        if not rows:
            return
        ids = [row.supporter_id for row in rows]
        FrozenSets(unit.connection).finish(send_id, 0, ids, state, reason)
        for row in rows:
            emit_final(
                unit, row.partition, state, reason, send_id=send_id, message_id=row.message_id,
                supporter_id=row.supporter_id, variant=row.variant, edition=row.edition, now=now,
            )  # fmt: skip

    def _close_unreleased(self, owned: list[int], now: datetime) -> None:
        """Cancelled or late before release: each person gets a final state."""
        for planned in self._frozen_sends("released", "held", "cancelled"):
            state: EventKind
            if planned.order.cancelled:
                state, reason = "cancelled", "the send was cancelled"
            elif planned.send.deadline is not None and planned.send.deadline <= now:
                state, reason = "expired", "its deadline came first"
            else:
                continue
            for partition in owned:
                if (planned.send.name, partition) not in self._drained:
                    self._end_unreleased(planned.send.name, partition, state, reason, now)

    def _end_unreleased(
        self, send_id: str, partition: int, state: EventKind, reason: str, now: datetime
    ) -> None:
        while not self._late():
            rows = FrozenSets(self._store.connection).unreleased(send_id, 0, partition, PAGE)
            if not rows:
                self._drained.add((send_id, partition))
                return
            with self._store.unit() as unit:
                unit.check(partition)
                self._end(unit, send_id, rows, state, reason, now)
                FrozenSets(unit.connection).mark_dirty([(send_id, 0, partition)])

    def _say_last(self, owned: list[int], now: datetime) -> None:
        """Every part of a send that takes in nobody more reports once again: that closes it."""
        for planned in self._frozen_sends("released", "held"):
            name, since = planned.send.name, closed_at(planned, now)
            if since is None or (name, since) in self._said_last:
                continue
            with self._store.unit() as unit:
                unit.check(*owned)
                FrozenSets(unit.connection).mark_dirty([(name, 0, number) for number in owned])
            self._said_last.add((name, since))

    def _report(self, owned: list[int], now: datetime) -> None:
        due = FrozenSets(self._store.connection).dirty(owned, to_ms(now) - REPORT_MS)
        if not due:
            return
        with self._store.unit() as unit:
            unit.check(*{partition for partitions in due.values() for partition in partitions})
            sets = FrozenSets(unit.connection)
            for (send_id, occurrence), partitions in due.items():
                home = partition_of(send_id, self._partitions)
                for partition, counts in sets.counts(send_id, occurrence, partitions).items():
                    record = progress_record(send_id, occurrence, partition, home, counts, now)
                    unit.emit(partition, record)
                sets.reported(send_id, occurrence, partitions, to_ms(now))

    def _exclude(
        self,
        unit: Unit,
        sets: FrozenSets,
        actions: Iterable[Event],
        now: datetime,
    ) -> None:
        """An action that a running send names in `unless_done` stops that send's mail."""
        by_supporter: dict[str, set[str]] = {}
        for event in actions:
            by_supporter.setdefault(event.supporter_id, set()).add(event.action or "")
        if not by_supporter:
            return
        for send_id, supporter_id, partition in sets.open_sends_of(list(by_supporter)):
            planned = self._programme.planned(send_id)
            if planned is not None and by_supporter[supporter_id] & set(planned.send.unless_done):
                unit.emit(partition, exclusion(send_id, supporter_id, self._partitions, now))

    def _running(self) -> list[Planned]:
        """Sends whose release is decided and that are not finished; most urgent first."""
        found = [
            planned
            for (send_id, _), decision in self._programme.decisions.items()
            if decision.state == "released"
            and (planned := self._programme.planned(send_id)) is not None
        ]
        order = {"urgent": 0, "normal": 1, "low": 2}
        return sorted(found, key=lambda planned: order[planned.send.priority])

    def _frozen_sends(self, *states: str) -> list[Planned]:
        """Sends that are not decided yet, or decided so. A part that another instance froze, or we
        did, may stand when `cancelled` is decided already.
        """
        return [
            planned
            for send_id in self._programme.orders
            if (decision := self._programme.decisions.get((send_id, 0))) is None
            or decision.state in states
            if (planned := self._programme.planned(send_id)) is not None
        ]


def _keepable(event: Event) -> Event:
    """A reason may be somebody else's words; PostgreSQL keeps no NUL."""
    if event.reason is None or "\x00" not in event.reason:
        return event
    return event.model_copy(update={"reason": event.reason.replace("\x00", "\ufffd")})
