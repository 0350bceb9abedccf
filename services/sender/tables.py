"""The sender's view of the two tables: what must stop a mail, and what people have ordered.

Owned by the dispatcher's thread. Both know their age; see `shared.log.table`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from services.sender.last_look import ERASED, Orders, SettleOrder
from services.sender.ledger import EVERYTHING
from shared.errors import NeverRetry
from shared.ids import BadAddress, normalise_address
from shared.log.port import Log
from shared.log.record import Stored
from shared.log.table import Table
from shared.log.topics import PROGRAMME, SUPPRESSIONS
from shared.observability.logs import Journal
from shared.programme.providers import Providers
from shared.programme.warm_ups import WarmUps
from shared.wire.cloudevents import decode
from shared.wire.programme import (
    HALT_KEY,
    SEND_ORDER_KEY,
    Definition,
    HaltOrder,
    ReleaseOrder,
    SendOrder,
)
from shared.wire.suppressions import Suppression


class SenderTables:
    """`suppressions` and `programme`, folded into what the last look needs.

    `orders` and `erased` (subjects) are snapshots that other threads may read; they are replaced,
    never changed.
    """

    def __init__(self, log: Log) -> None:
        self.suppressions: dict[str, dict[str, str]] = {}
        self.orders = Orders()
        self._orders = Orders()
        self.erased: frozenset[str] = frozenset()
        self._erased: set[str] = set()
        self.resumed_ms: dict[str, int] = {}
        self._journal = Journal("sender.tables")
        self._tables = {
            "suppressions": Table(log.follow(SUPPRESSIONS), self._suppression),
            "programme": Table(log.follow(PROGRAMME), self._programme),
        }

    def refresh(self) -> None:
        """Read both to their high watermarks."""
        self._tables["suppressions"].refresh()
        if self._erased != self.erased:
            self.erased = frozenset(self._erased)
        self._tables["programme"].refresh()
        if self._orders != self.orders:  # perhaps since a reading before, which failed on its way
            self.orders = copy.deepcopy(self._orders)

    def ages(self) -> dict[str, float]:
        """Seconds since each was known to be current."""
        return {name: table.age_seconds for name, table in self._tables.items()}

    def close(self) -> None:
        for table in self._tables.values():
            table.close()

    def _suppression(self, stored: Stored) -> None:
        if stored.key is None:
            return
        subject, _, scope = stored.key.decode("utf-8", "replace").rpartition("|")
        if stored.value is None:
            if scope == "everything":
                self._erased.discard(subject)
            scopes = self.suppressions.get(subject, {})
            scopes.pop(scope, None)
            if not scopes:
                self.suppressions.pop(subject, None)
            return
        try:
            data = decode(stored).data
            reason = data.reason if isinstance(data, Suppression) else "unsubscribed"
        except NeverRetry as error:
            # A suppression that cannot be read still names its subject: it stops the mail.
            self._journal.error("sender.suppression_unreadable", reason=str(error))
            reason = "unsubscribed"
        if reason == ERASED:
            # Stands when another reason takes its place: only who comes back is known again.
            self._erased.add(subject)
        self.suppressions.setdefault(subject, {})[scope] = reason

    def _programme(self, stored: Stored) -> None:
        if stored.value is None:
            return
        try:
            data = decode(stored).data
        except NeverRetry as error:
            self._journal.error("sender.programme_unreadable", reason=str(error))
            self._stop_unread((stored.key or b"").decode("utf-8", "replace"))
            return
        match data:
            case HaltOrder():
                self._orders.halted = data.halted
            case ReleaseOrder():
                self.resumed_ms[EVERYTHING] = int(data.ordered_at.timestamp() * 1000)
            case SendOrder():
                self._order(data)
            case Definition(kind="campaign"):
                self._campaign(data.body)
                if b"@" not in (stored.key or b""):
                    self._orders.seeds = _seeds(data.body.get("seeds"))
            case _:
                pass

    def _campaign(self, body: Mapping[str, Any]) -> None:
        self._orders.configuration_set = str(body.get("configuration_set", "doorstep"))
        try:
            self._orders.warm_ups = WarmUps.of_campaign(body)
            self._orders.providers = Providers.of_campaign(body)
        except ValueError as error:
            # Of a newer release, say: what was known of it stands.
            self._journal.error("sender.campaign_unreadable", reason=str(error))

    def _stop_unread(self, key: str) -> None:
        """An order that cannot be read may have said stop: so it does, until one can be read."""
        if key == HALT_KEY:
            self._orders.halted = True
        elif key.startswith(SEND_ORDER_KEY):
            self._orders.paused.add(key.removeprefix(SEND_ORDER_KEY))

    def _order(self, order: SendOrder) -> None:
        ordered_ms = int(order.ordered_at.timestamp() * 1000)
        _keep(self._orders.paused, order.send_id, wanted=order.paused)
        _keep(self._orders.cancelled, order.send_id, wanted=order.cancelled)
        if not order.paused and order.settle is None:
            self.resumed_ms[order.send_id] = ordered_ms
        self._orders.retry.pop(order.send_id, None)
        if order.retry:
            self._orders.retry[order.send_id] = ordered_ms
        if order.settle is None:
            self._orders.settle.pop(order.send_id, None)
        else:
            self._orders.settle[order.send_id] = SettleOrder(order.settle, ordered_ms)


def _seeds(said: object) -> frozenset[str]:
    """What a campaign names as seeds; nobody by what cannot be an address."""
    found = set()
    for address in said if isinstance(said, list) else []:
        with suppress(BadAddress):
            found.add(normalise_address(str(address)))
    return frozenset(found)


def _keep(names: set[str], name: str, *, wanted: bool) -> None:
    if wanted:
        names.add(name)
    else:
        names.discard(name)
