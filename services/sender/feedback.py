"""What SES tells of a send's mails, counted, so that its breakers can open.

Counted in the ledger by slots of a minute and by partition, so that the senders on it add up and
write no row of each other's. A resume begins a new count. Bounces and complaints count once
however often they are told; deliveries as often as they are told, which is rarely twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from services.sender.breakers import Fates, Rules, Trip, newest, trip
from services.sender.holding import Holding
from shared.clock import to_ms
from shared.store.database import Database, insert_new
from shared.store.port import Unit
from shared.wire.events import EventKind

SLOT_MS: Final = 60_000
MOST_SLOTS: Final = 3_000
FATES: Final = frozenset[EventKind]({"delivered", "bounced", "soft_bounced"})
TROUBLES: Final = frozenset[EventKind]({"bounced", "complained"})


class Told(NamedTuple):
    """One event of SES about a mail of ours."""

    partition: int
    send_id: str
    message_id: str
    kind: EventKind


class Feedback:
    """Used by the loop's thread, inside its units."""

    def __init__(
        self, rules: Rules, holding: Holding, resumed_ms: Callable[[], Mapping[str, int]]
    ) -> None:
        """`resumed_ms`: when each send was last ordered to go on, as far as is known."""
        self._rules, self._holding, self._resumed_ms = rules, holding, resumed_ms

    def take_in(self, unit: Unit, told: Sequence[Told], now: datetime) -> None:
        """Count these, and hold the sends whose breakers open."""
        if not told:
            return
        database, resumed_ms = unit.connection, self._resumed_ms()
        troubles = _new_troubles(database, told, to_ms(now))
        _count(database, told, troubles, resumed_ms, to_ms(now))
        trips = {
            send_id: tripped
            for send_id in sorted({one.send_id for one in troubles})
            if (tripped := self._tripped(database, send_id, resumed_ms.get(send_id, 0)))
        }
        self._holding.hold(unit, told[0].partition, trips, resumed_ms, now)

    def _tripped(self, database: Database, send_id: str, since_ms: int) -> Trip | None:
        slots = database.execute(
            "select told, bounced, complained from send_fate where send_id = ? and since_ms = ?"
            " order by slot_ms desc limit ?",
            (send_id, since_ms, MOST_SLOTS),
        ).fetchall()
        return trip(newest((Fates(*slot) for slot in slots), self._rules.window), self._rules)


def forget_feedback(database: Database, before_ms: int) -> None:
    """Drop what was counted long ago. Inside a unit."""
    database.execute("delete from send_fate where slot_ms < ?", (before_ms,))
    database.execute("delete from send_trouble where told_ms < ?", (before_ms,))


def _new_troubles(database: Database, told: Iterable[Told], now_ms: int) -> list[Told]:
    """Bounces and complaints that were not told before."""
    found = {(one.message_id, one.kind): one for one in told if one.kind in TROUBLES}
    rows = [(f"{message_id}/{kind}", now_ms) for message_id, kind in sorted(found)]
    new = set(insert_new(database, "send_trouble", ("trouble", "told_ms"), rows, "trouble"))
    return [one for (m, kind), one in sorted(found.items()) if f"{m}/{kind}" in new]


def _count(
    database: Database,
    told: Iterable[Told],
    troubles: Iterable[Told],
    resumed_ms: Mapping[str, int],
    now_ms: int,
) -> None:
    fates = Counter((one.send_id, one.partition) for one in told if one.kind in FATES)
    bounced = Counter((one.send_id, one.partition) for one in troubles if one.kind == "bounced")
    complained = Counter(
        (one.send_id, one.partition) for one in troubles if one.kind == "complained"
    )
    slot_ms = now_ms // SLOT_MS * SLOT_MS
    database.executemany(
        "insert into send_fate(send_id, since_ms, slot_ms, partition, told, bounced, complained)"
        " values (?, ?, ?, ?, ?, ?, ?) on conflict (send_id, since_ms, slot_ms, partition)"
        " do update set told = send_fate.told + excluded.told,"
        " bounced = send_fate.bounced + excluded.bounced,"
        " complained = send_fate.complained + excluded.complained",
        [
            (send, resumed_ms.get(send, 0), slot_ms, number, fates[send, number],
             bounced[send, number], complained[send, number])
            for send, number in sorted(fates | bounced | complained)
        ],
    )  # fmt: skip
