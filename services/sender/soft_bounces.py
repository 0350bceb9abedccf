"""Soft bounces: an inbox that bounced softly again and again gets no mail for a while.

Counted in the ledger by address key, whoever of the inbox a mail was to. The suppression has a
scope of its own, which only the sender writes and lifts, so that nothing else is lifted with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.sender.ledger import LISTED, NUMBERS_LISTED
from shared.clock import to_ms
from shared.ids import event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import SUPPRESSIONS
from shared.observability.logs import Journal
from shared.store.database import Database, insert_new
from shared.store.port import Unit
from shared.wire.cloudevents import encode
from shared.wire.suppressions import FOR_NOW, Suppression

LIFTED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class SoftRule:
    """So many soft bounces `within` a time suppress an inbox `lasting` a time; 0: never."""

    number: int
    within: timedelta
    lasting: timedelta


class SoftBounces:
    """Used by the loop's thread, inside its units."""

    def __init__(self, rule: SoftRule, partitions: int) -> None:
        """`partitions`: P, of the log."""
        self._rule, self._partitions = rule, partitions
        self._journal = Journal("sender.soft_bounces")

    def take_in(self, unit: Unit, message_ids: Sequence[str], now: datetime) -> None:
        """These mails bounced softly, each told for the first time perhaps."""
        if not self._rule.number or not message_ids:
            return
        database, now_ms = unit.connection, to_ms(now)
        found = list(
            database.execute(
                f"select address_key, message_id, partition from message where message_id {LISTED}",
                (json.dumps(list(message_ids)),),
            )
        )
        rows = sorted((key, message_id, now_ms) for key, message_id, _ in found)
        insert_new(
            database, "soft_bounce", ("address_key", "message_id", "at_ms"), rows, "message_id"
        )
        own = {key: int(partition) for key, _, partition in found}
        since_ms = to_ms(now - self._rule.within)
        until_ms = to_ms(now + self._rule.lasting)
        for key in _too_often(database, own, since_ms, self._rule.number):
            database.execute(
                "insert into soft_suppression(address_key, partition, until_ms) values (?, ?, ?)"
                " on conflict (address_key) do update set until_ms = excluded.until_ms",
                (key, own[key], until_ms),
            )
            unit.emit(own[key], self._suppression(key, now))

    def any_due(self, database: Database, now: datetime) -> bool:
        """Whether there is anything to lift."""
        return bool(
            database.execute(
                "select 1 from soft_suppression where until_ms <= ? limit 1", (to_ms(now),)
            ).fetchall()
        )

    def lift(self, unit: Unit, owned: Sequence[int], now: datetime) -> None:
        """Lift what has lasted long enough, of owned partitions; forget what was long ago."""
        database = unit.connection
        due = database.execute(
            "select address_key, partition from soft_suppression where until_ms <= ?"
            f" and partition {NUMBERS_LISTED} order by address_key limit ?",
            (to_ms(now), json.dumps(owned), LIFTED_AT_ONCE),
        ).fetchall()
        for key, partition in due:
            unit.emit(int(partition), self._tombstone(key, now))
        keys = [(key,) for key, _ in due]
        database.executemany("delete from soft_suppression where address_key = ?", keys)
        database.executemany("delete from soft_bounce where address_key = ?", keys)
        if due:
            self._journal.info("sender.soft_suppressions_lifted", number=len(due))

    def _suppression(self, address_key: str, now: datetime) -> Record:
        data = Suppression(subject=address_key, scope=FOR_NOW, reason="soft_bounces", at=now)
        return encode(
            data, id=event_id("suppression", data.key, str(to_ms(now))), source="sender",
            subject=address_key, time=now, topic=SUPPRESSIONS,
            partition=partition_of(data.key, self._partitions), key=data.key,
        )  # fmt: skip

    def _tombstone(self, address_key: str, now: datetime) -> Record:
        key = f"{address_key}|{FOR_NOW}"
        where = partition_of(key, self._partitions)
        return Record(SUPPRESSIONS, where, key.encode(), None, (), to_ms(now))


def forget_soft_bounces(database: Database, before: datetime) -> None:
    """Drop those of long ago. Inside a unit."""
    database.execute("delete from soft_bounce where at_ms < ?", (to_ms(before),))


def _too_often(database: Database, keys: Iterable[str], since_ms: int, number: int) -> list[str]:
    """Those of these inboxes that bounced so often since then."""
    return [
        key
        for (key,) in database.execute(
            f"select address_key from soft_bounce where address_key {LISTED} and at_ms >= ?"
            " group by address_key having count(*) >= ? order by address_key",
            (json.dumps(sorted(keys)), since_ms, number),
        )
    ]
