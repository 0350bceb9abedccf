"""The programme topic as the console reads and writes it: definitions, orders, decisions.

The console is the one writer of definitions and orders. Two people who order at the same moment
are told so: an order is only written when what it changes is still as it was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from shared.clock import to_ms
from shared.errors import Fenced, NeverRetry, RetryLater
from shared.ids import event_id
from shared.log.port import Log
from shared.log.record import Record, Stored
from shared.log.table import Table
from shared.log.topics import PROGRAMME
from shared.programme.definitions import Areas, Campaign, Segment, Send, Template
from shared.programme.findings import Key
from shared.programme.rules import Rule
from shared.programme.versions import from_wire
from shared.wire.cloudevents import decode, encode
from shared.wire.programme import (
    RELEASE_KEY,
    Definition,
    HaltOrder,
    ReleaseOrder,
    SendDecision,
    SendOrder,
)

SOURCE: Final = "console"
HALT: Final = "order/halt/all"


@dataclass(slots=True)
class ProgrammeTable:
    """The newest of everything, and every version of a definition.

    `unreadable`: reasons of records that could not be read and are left out.
    """

    newest: dict[Key, Definition] = field(default_factory=dict)
    versions: dict[tuple[str, str, str], Definition] = field(default_factory=dict)
    orders: dict[str, SendOrder] = field(default_factory=dict)
    decisions: dict[str, SendDecision] = field(default_factory=dict)
    halt: HaltOrder | None = None
    unreadable: list[str] = field(default_factory=list)

    @property
    def halted(self) -> bool:
        return self.halt is not None and self.halt.halted

    @property
    def campaign(self) -> Campaign | None:
        """The campaign, once one is applied."""
        found = (self.newest[key] for key in sorted(self.newest) if key[0] == "campaign")
        first = next((from_wire(each) for each in found), None)
        return first if isinstance(first, Campaign) else None

    @property
    def zone(self) -> ZoneInfo | None:
        """The campaign's time zone, in which people read and write times."""
        campaign = self.campaign
        return ZoneInfo(campaign.timezone) if campaign else None

    def names(self, kind: str) -> list[str]:
        """Names of the definitions of a kind."""
        return sorted(name for each, name in self.newest if each == kind)

    def send(self, name: str) -> Send | None:
        """The send as its newest order pins it, else as it was last applied."""
        order = self.orders.get(name)
        pinned = self.versions.get(("send", name, order.definition_version)) if order else None
        found = self._model(pinned or self.newest.get(("send", name)))
        return found if isinstance(found, Send) else None

    def applied_send(self, name: str) -> Send | None:
        """The send as it was last applied, whatever an order says."""
        found = self._model(self.newest.get(("send", name)))
        return found if isinstance(found, Send) else None

    def segment(self, name: str) -> Segment | None:
        """The newest version."""
        found = self._model(self.newest.get(("segment", name)))
        return found if isinstance(found, Segment) else None

    def rule_of_send(self, name: str) -> Rule | None:
        """The rule of the send's segment, in the version that its newest order pins."""
        send, order = self.send(name), self.orders.get(name)
        if send is None:
            return None
        pinned = order.pinned.get(f"segment/{send.segment}", "") if order else ""
        found = self._model(
            self.versions.get(("segment", send.segment, pinned))
            or self.newest.get(("segment", send.segment))
        )
        return found.rule if isinstance(found, Segment) else None

    def areas(self, name: str) -> Areas | None:
        """The newest version."""
        found = self._model(self.newest.get(("areas", name)))
        return found if isinstance(found, Areas) else None

    def template(self, name: str) -> Template | None:
        """The newest version."""
        found = self._model(self.newest.get(("template", name)))
        return found if isinstance(found, Template) else None

    def apply(self, stored: Stored) -> None:
        """Fold one record in. Raises NewerVersion."""
        key = (stored.key or b"").decode("utf-8", "replace")
        if stored.value is None:
            self._removed(key)
            return
        try:
            data = decode(stored).data
        except NeverRetry as error:
            self.unreadable.append(str(error))
            return
        match data:
            case Definition():
                self.versions[data.kind, data.name, data.version] = data
                if "@" not in key:
                    self.newest[data.kind, data.name] = data
            case SendOrder():
                self.orders[data.send_id] = data
            case SendDecision():
                known = self.decisions.get(data.send_id)
                if known is None or known.occurrence <= data.occurrence:
                    self.decisions[data.send_id] = data
            case HaltOrder():
                self.halt = data
            case ReleaseOrder():
                pass  # the sender's alone
            case _:
                self.unreadable.append(f"{key}: a {data.ce_type} does not belong here")

    def _removed(self, key: str) -> None:
        parts = key.split("/", 2)
        if len(parts) == 3 and parts[0] == "definition" and "@" not in parts[2]:
            self.newest.pop((parts[1], parts[2]), None)

    @staticmethod
    def _model(
        definition: Definition | None,
    ) -> Campaign | Areas | Segment | Template | Send | None:
        return None if definition is None else from_wire(definition)


@contextmanager
def followed_table(log: Log) -> Iterator[tuple[ProgrammeTable, Callable[[], int]]]:
    """The table, and how to bring it up to date; it is when given.

    Raises NewerVersion when this release is too old for what is on the topic.
    """
    found = ProgrammeTable()
    table = Table(log.follow(PROGRAMME), found.apply)
    try:
        table.refresh()
        yield found, table.refresh
    finally:
        table.close()


def read_table(log: Log) -> ProgrammeTable:
    """The whole topic, to its end. Raises NewerVersion."""
    with followed_table(log) as (found, _):
        return found


def order(log: Log, decide: Callable[[ProgrammeTable], Iterable[Record]]) -> Sequence[Record]:
    """Write what `decide` makes of the table as it is now, all at once; what was written.

    Raises RetryLater when somebody else ordered in between.
    """
    publisher = log.publisher(SOURCE)
    try:
        records = tuple(decide(read_table(log)))
        if records:
            publisher.commit(records, "")
    except Fenced as error:
        raise RetryLater(
            "somebody else gave an order at the same moment: look again, then repeat yours"
        ) from error
    finally:
        publisher.close()
    return records


def definition_records(definition: Definition, *, newest: bool = True) -> list[Record]:
    """The version that stays, and the key that always holds the newest."""
    key = f"definition/{definition.kind}/{definition.name}"
    keys = [f"{key}@{definition.version}"] + ([key] if newest else [])
    return [
        encode(
            definition,
            id=event_id("definition", each, definition.version, str(definition.applied_at)),
            source=SOURCE,
            subject=f"{definition.kind}/{definition.name}",
            time=definition.applied_at,
            topic=PROGRAMME,
            partition=0,
            key=each,
        )
        for each in keys
    ]


def removal_record(kind: str, name: str, at: datetime) -> Record:
    """The tombstone of a definition. Its versions stay, for the sends that pin them."""
    return Record(PROGRAMME, 0, f"definition/{kind}/{name}".encode(), None, (), to_ms(at))


def send_order_record(wanted: SendOrder) -> Record:
    """The record of an order about one send."""
    return _order_record(wanted, f"order/send/{wanted.send_id}", wanted.send_id, wanted.ordered_at)


def halt_record(wanted: HaltOrder) -> Record:
    """The record of an order about everything."""
    return _order_record(wanted, HALT, "everything", wanted.ordered_at)


def release_record(wanted: ReleaseOrder) -> Record:
    """The record of the order that ends the hold of a restored ledger."""
    return _order_record(wanted, RELEASE_KEY, "everything", wanted.ordered_at)


def _order_record(
    wanted: SendOrder | HaltOrder | ReleaseOrder, key: str, subject: str, at: datetime
) -> Record:
    return encode(
        wanted,
        id=event_id("order", key, at.isoformat()),
        source=SOURCE,
        subject=subject,
        time=at,
        topic=PROGRAMME,
        partition=0,
        key=key,
    )
