"""The sends of a segmenter: launch in two steps, release in waves, books.

Step one: each partition freezes its part and reports it on `control`. Step two: the owner of the
send's key decides when all have reported, and writes the decision to the programme; partitions
release on it. `finished` goes the same way. What happens when is in `tick`, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from services.segmenter.people.audience import done_any, members_by_id
from services.segmenter.sends.audience_batches import Frozen, batches, recipient
from services.segmenter.sends.decisions import approve_held, decide_finish, decide_launch
from services.segmenter.sends.freezing import Barrier, add_members, freeze
from services.segmenter.sends.frozen_sets import FrozenSets
from services.segmenter.sends.outcome_events import emit_final, exclusion
from services.segmenter.sends.programme import Planned, ProgrammeView
from services.segmenter.sends.reports import Reports, progress_record
from shared.clock import to_ms
from shared.ids import event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import PROGRAMME
from shared.loop.delivery import Delivery
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.store.sqlite import SqliteStore, SqliteUnit
from shared.wire.cloudevents import encode
from shared.wire.control import FreezeReported, ProgressReported
from shared.wire.events import FINAL_KINDS, Event, EventKind
from shared.wire.programme import SendDecision

PAGE = 500
REPORT_MS = 1_000
TICK_MS = 200
QUALIFIED = 5_000


class Sends:
    """All sends of one store."""

    def __init__(
        self,
        store: SqliteStore,
        programme: ProgrammeView,
        partitions: int,
        wave_recipients: int,
        end_offsets: Callable[[str], dict[int, int]],
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        self._store, self._programme = store, programme
        self._partitions, self._wave = partitions, wave_recipients
        self._barrier = Barrier(store, end_offsets)
        self._fail_points, self._metrics = fail_points, metrics
        self._next_tick_ms = 0
        self._drained: set[tuple[str, int]] = set()
        self._begun: set[tuple[str, int]] = set()
        self._said_last: set[tuple[str, datetime]] = set()

    def handle(self, unit: SqliteUnit, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Books from events; reports from `control`; exclusions from actions."""
        sets, reports = FrozenSets(unit.connection), Reports(unit.connection)
        outcomes: list[Event] = []
        touched: set[tuple[str, int, int]] = set()
        actions: list[tuple[Event, int]] = []
        for delivery in deliveries:
            match delivery.envelope.data:
                case Event(kind=kind, send_id=str() as send_id) as event if kind in FINAL_KINDS:
                    outcomes.append(event)
                    touched.add((send_id, event.occurrence, delivery.stored.partition))
                case Event(kind="acted", action=str()) as event:
                    actions.append((event, delivery.stored.partition))
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
        """
        owned = sorted(self._store.owned())
        if not owned or to_ms(now) < self._next_tick_ms:
            return
        self._next_tick_ms = to_ms(now) + TICK_MS
        if not self._programme.halted:
            self._freeze_due(owned, now)
            self._decide(owned, now)
            self._qualify(owned, now)
            self._release(owned, now)
        self._close_unreleased(owned, now)
        self._say_last(owned, now)
        self._report(now)

    def forget(self) -> None:
        """Ownership has changed: what was seen of parts may not hold any more."""
        self._drained.clear()
        self._begun.clear()
        self._said_last.clear()

    def _freeze_due(self, owned: list[int], now: datetime) -> None:
        for send_id, order in list(self._programme.orders.items()):
            due = order.due_at is not None and order.due_at <= now
            if not due or (send_id, 0) in self._programme.decisions:
                continue
            planned = self._programme.planned(send_id)
            if planned is None:
                continue
            for partition in owned:
                if (send_id, partition) not in self._begun:
                    self._freeze_part(planned, partition, now)

    def _freeze_part(self, planned: Planned, partition: int, now: datetime) -> None:
        send_id = planned.send.name
        if (send_id, 0) in FrozenSets(self._store.connection).parts(partition):
            self._begun.add((send_id, partition))
            return
        if not self._barrier.passed(send_id, partition):
            return
        with self._store.unit() as unit:
            unit.check(partition)
            frozen = freeze(unit, planned, partition, self._partitions, now)
            self._fail_points.reach("segmenter.freeze.before_commit")
        self._metrics.frozen.inc(frozen)
        self._fail_points.reach("segmenter.freeze.after_commit")

    def _decide(self, owned: list[int], now: datetime) -> None:
        """For sends whose key is in an owned partition."""
        for send_id in list(self._programme.orders):
            home = partition_of(send_id, self._partitions)
            if home not in owned:
                continue
            planned = self._programme.planned(send_id)
            decision = None if planned is None else self._decision(planned, now)
            if decision is None or self._told(decision):
                continue
            with self._store.unit() as unit:
                unit.emit(home, _decision_record(decision))
                Reports(unit.connection).note_decision(decision, home)
            self._fail_points.reach("segmenter.decide.after_commit")

    def _decision(self, planned: Planned, now: datetime) -> SendDecision | None:
        """What is to be decided about a send now, if anything."""
        due_at = planned.order.due_at
        if due_at is None or due_at > now:
            return None
        made = self._programme.decisions.get((planned.send.name, 0))
        return self._first(planned, now) if made is None else self._next(planned, made, now)

    def _first(self, planned: Planned, now: datetime) -> SendDecision | None:
        order, send = planned.order, planned.send
        freezes = Reports(self._store.connection).freezes(send.name, 0)
        if order.cancelled:
            return _cancelled(send.name, freezes, self._partitions, now)
        if send.mode == "newly_qualifies":
            begun = len(freezes) == self._partitions
            return _plain(send.name, "released", "", now) if begun else None
        return decide_launch(order, 0, freezes, self._partitions, now)

    def _next(self, planned: Planned, made: SendDecision, now: datetime) -> SendDecision | None:
        order, send = planned.order, planned.send
        held = approve_held(made, order, now)
        if held is not None:
            return held
        since = _closed_at(planned, now)
        if made.state not in {"released", "held"} or since is None:
            return None
        progress = Reports(self._store.connection).progress(send.name, 0)
        return decide_finish(
            made, progress, self._partitions, now, since=since, cancelled=order.cancelled
        )

    def _told(self, decision: SendDecision) -> bool:
        """Whether this decision is in the outbox or on the log already."""
        return Reports(self._store.connection).decided(decision)

    def _qualify(self, owned: list[int], now: datetime) -> None:
        """People who entered the segment of a `newly qualifies` send since it was launched."""
        for planned in self._running():
            send, order = planned.send, planned.order
            if send.mode != "newly_qualifies" or order.cancelled or order.paused:
                continue
            if _closed_at(planned, now) is not None or order.due_at is None:
                continue
            found = FrozenSets(self._store.connection).newly_qualified(
                send.name, send.topic, send.segment, to_ms(order.due_at), QUALIFIED
            )
            for partition in sorted(found.keys() & set(owned)):
                self._take_in(planned, partition, found[partition], now)

    def _take_in(
        self, planned: Planned, partition: int, supporter_ids: Sequence[str], now: datetime
    ) -> None:
        send = planned.send
        self._drained.discard((send.name, partition))
        with self._store.unit() as unit:
            unit.check(partition)
            found = list(
                members_by_id(unit.connection, supporter_ids, topic=send.topic, send_id=send.name)
            )
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
            sets = FrozenSets(unit.connection)
            ids = [row.supporter_id for row in rows]
            mailable = {
                member.supporter_id: member
                for member in members_by_id(
                    unit.connection, ids, topic=send.topic, send_id=send.name
                )
            }
            done = done_any(unit.connection, ids, send.unless_done) if send.unless_done else set()
            going = []
            for row in rows:
                if row.supporter_id in done:
                    self._end(unit, sets, send.name, row, "excluded", "has acted since", now)
                elif row.supporter_id not in mailable:
                    self._end(unit, sets, send.name, row, "suppressed", "suppressed since", now)
                else:
                    member = mailable[row.supporter_id]
                    going.append(recipient(planned, 0, row, member))
            for record in batches(send.name, partition, going, now):
                unit.emit(partition, record)
            sets.release(send.name, 0, [one.supporter_id for one in going])
            sets.mark_dirty([(send.name, 0, partition)])
            self._fail_points.reach("segmenter.release.before_commit")
        self._metrics.recipients.inc(len(going))
        self._fail_points.reach("segmenter.release.after_commit")

    def _end(
        self,
        unit: SqliteUnit,
        sets: FrozenSets,
        send_id: str,
        row: Frozen,
        state: EventKind,
        reason: str,
        now: datetime,
    ) -> None:
        sets.finish(send_id, 0, row.supporter_id, state, reason)
        emit_final(
            unit, row.partition, state, reason, send_id=send_id, message_id=row.message_id,
            supporter_id=row.supporter_id, variant=row.variant, edition=row.edition, now=now,
        )  # fmt: skip

    def _close_unreleased(self, owned: list[int], now: datetime) -> None:
        """Cancelled or late before release: each person gets a final state."""
        for planned in self._frozen_sends():
            state: EventKind
            if planned.order.cancelled:
                state, reason = "cancelled", "the send was cancelled"
            elif planned.send.deadline is not None and planned.send.deadline <= now:
                state, reason = "expired", "its deadline came first"
            else:
                continue
            for partition in owned:
                self._end_unreleased(planned.send.name, partition, state, reason, now)

    def _end_unreleased(
        self, send_id: str, partition: int, state: EventKind, reason: str, now: datetime
    ) -> None:
        while True:
            rows = FrozenSets(self._store.connection).unreleased(send_id, 0, partition, PAGE)
            if not rows:
                return
            with self._store.unit() as unit:
                unit.check(partition)
                sets = FrozenSets(unit.connection)
                for row in rows:
                    self._end(unit, sets, send_id, row, state, reason, now)
                sets.mark_dirty([(send_id, 0, partition)])

    def _say_last(self, owned: list[int], now: datetime) -> None:
        """Every part of a send that takes in nobody more reports once again: that closes it."""
        for planned in self._frozen_sends():
            name, since = planned.send.name, _closed_at(planned, now)
            if since is None or (name, since) in self._said_last:
                continue
            with self._store.unit() as unit:
                FrozenSets(unit.connection).mark_dirty([(name, 0, number) for number in owned])
            self._said_last.add((name, since))

    def _report(self, now: datetime) -> None:
        due = FrozenSets(self._store.connection).dirty(to_ms(now) - REPORT_MS)
        due = [part for part in due if part[2] in self._store.owned()]
        if not due:
            return
        with self._store.unit() as unit:
            sets = FrozenSets(unit.connection)
            for send_id, occurrence, partition in due:
                counts = sets.counts(send_id, occurrence, partition)
                home = partition_of(send_id, self._partitions)
                unit.emit(
                    partition, progress_record(send_id, occurrence, partition, home, counts, now)
                )
                sets.reported(send_id, occurrence, partition, to_ms(now))

    def _exclude(
        self,
        unit: SqliteUnit,
        sets: FrozenSets,
        actions: Iterable[tuple[Event, int]],
        now: datetime,
    ) -> None:
        """An action that a running send names in `unless_done` stops that send's mail."""
        by_supporter: dict[str, set[str]] = {}
        for event, _ in actions:
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

    def _frozen_sends(self) -> list[Planned]:
        """Sends that may have unreleased people."""
        return [
            planned
            for send_id in self._programme.orders
            if (decision := self._programme.decisions.get((send_id, 0))) is None
            or decision.state in {"released", "held"}
            if (planned := self._programme.planned(send_id)) is not None
        ]


def _closed_at(planned: Planned, now: datetime) -> datetime | None:
    """Since when nobody more can come into the audience; None while somebody still may."""
    send, order = planned.send, planned.order
    if order.cancelled:
        return order.ordered_at
    if send.mode == "once":
        return order.due_at
    return send.until if send.until is not None and send.until <= now else None


def _cancelled(
    send_id: str, freezes: Mapping[int, FreezeReported], partitions: int, now: datetime
) -> SendDecision | None:
    """Cancelled before it was released; held until the people of parts frozen by then are closed.

    Parts that see the order before they freeze begin empty, so that every partition reports.
    """
    if len(freezes) < partitions:
        return None
    frozen = sum(report.frozen for report in freezes.values())
    if not frozen:
        return _plain(send_id, "cancelled", "cancelled before it was due", now)
    held = _plain(send_id, "held", "cancelled while it was being frozen", now)
    return held.model_copy(update={"frozen": frozen})


def _plain(send_id: str, state: str, reason: str, now: datetime) -> SendDecision:
    return SendDecision.model_validate(
        {"send_id": send_id, "occurrence": 0, "state": state, "reason": reason, "decided_at": now}
    )


def _decision_record(decision: SendDecision) -> Record:
    key = f"decision/send/{decision.send_id}/{decision.occurrence}"
    return encode(
        decision,
        id=event_id("decision", key, decision.state, decision.decided_at.isoformat()),
        source="segmenter",
        subject=decision.send_id,
        time=decision.decided_at,
        topic=PROGRAMME,
        partition=0,
        key=key,
    )
