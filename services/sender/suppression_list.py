"""SES's own suppression list, read slowly into `suppressions`: the ones the tracker never heard of.

SES puts whoever bounced or complained on a list of the account, whoever sent the mail, and takes
mail for them without sending it. One sender of those on a ledger reads it, page by page, from where
it was read to. Whoever is taken off there stays suppressed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from shared.clock import Clock, from_ms, to_ms
from shared.errors import Fenced
from shared.ids import BadAddress, address_key, event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import SUPPRESSIONS
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.store.database import Database
from shared.store.port import Store, Unit
from shared.wire.cloudevents import encode
from shared.wire.suppressions import Suppression, SuppressionReason

PAGE_SECONDS: Final = 2.0
"""Between pages: SES takes one question a second, whoever asks."""
REASONS: Final[Mapping[str, SuppressionReason]] = {
    "BOUNCE": "hard_bounce", "COMPLAINT": "complained",
}  # fmt: skip


class Listed(NamedTuple):
    """An entry of the list; `reason` in SES's words."""

    address: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """`next_token` None: the last one."""

    listed: Sequence[Listed]
    next_token: str | None


class WrongToken(Exception):
    """SES does not know the token of the next page any more."""


AskPage = Callable[[datetime | None, str | None], Page]
"""Of (entries since, token of the page). Raises RetryLater when SES does not say, WrongToken."""
Known = Mapping[str, Mapping[str, str]]


class SuppressionListReading:
    """Used by one thread."""

    def __init__(
        self,
        store: Store[Unit],
        ask: AskPage,
        known: Callable[[], Known | None],
        secret: bytes,
        partitions: int,
        every_seconds: float,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """`known`: suppressions by subject and scope, None before they were read. `secret` keys the
        hashes of addresses. `every_seconds`: 0 is never. `partitions`: P, of the log.
        """
        self._store, self._ask, self._known = store, ask, known
        self._secret, self._partitions = secret, partitions
        self._every_ms = int(every_seconds * 1000)
        self._clock, self._metrics = clock, metrics
        self._journal = Journal("sender.suppression_list")

    def step(self) -> None:
        """Read one page when it is time and nobody else does. Raises RetryLater."""
        known, owned = self._known(), sorted(self._store.owned())
        if not self._every_ms or known is None or not owned:
            return
        now_ms = to_ms(self._clock.now())
        with self._store.unit() as unit:
            mine = _claim(unit.connection, now_ms, self._every_ms)
        if mine is None:
            return
        since_ms, token = mine
        try:
            page = self._ask(from_ms(since_ms) if since_ms else None, token)
        except WrongToken:
            with self._store.unit() as unit:
                _note(unit.connection, newest_ms=0, token=None, ended=False)
            return
        try:
            with self._store.unit() as unit:
                self._take_in(unit, owned[0], page, known)
        except Fenced as error:
            # It was another's while we asked; the page is read again.
            self._journal.warning("sender.fenced", reason=str(error))

    def _take_in(self, unit: Unit, own: int, page: Page, known: Known) -> None:
        number = 0
        for one in page.listed:
            record = self._record(one, known)
            if record is not None:
                unit.emit(own, record)
                number += 1
        newest_ms = max((to_ms(one.at) for one in page.listed), default=0)
        ended = page.next_token is None
        _note(unit.connection, newest_ms=newest_ms, token=page.next_token, ended=ended)
        self._metrics.suppressions_from_ses.inc(number)
        if number:
            self._journal.info("sender.suppression_list", taken=number)

    def _record(self, one: Listed, known: Known) -> Record | None:
        """The suppression; None for an inbox that is suppressed already, for whatever reason."""
        reason = REASONS.get(one.reason)
        try:
            key = address_key(one.address, self._secret)
        except BadAddress:
            return None
        if reason is None or "everything" in known.get(key, {}):
            return None
        data = Suppression(subject=key, scope="everything", reason=reason, at=one.at)
        return encode(
            data, id=event_id("suppression", data.key, reason, str(to_ms(one.at))),
            source="sender", subject=key, time=one.at, topic=SUPPRESSIONS,
            partition=partition_of(data.key, self._partitions), key=data.key,
        )  # fmt: skip


def _claim(database: Database, now_ms: int, every_ms: int) -> tuple[int, str | None] | None:
    """(since when, token of the page), when it is for us to ask. Inside a unit."""
    page_ms = int(PAGE_SECONDS * 1000)
    database.execute(
        "insert into suppression_list(one, asked_ms, since_ms, newest_ms, token)"
        " values (1, 0, 0, 0, null) on conflict do nothing"
    )
    found = database.execute(
        "update suppression_list set asked_ms = ? where one = 1"
        " and asked_ms <= case when token is null then ? else ? end returning since_ms, token",
        (now_ms, now_ms - every_ms, now_ms - page_ms),
    ).fetchall()
    return (int(found[0][0]), found[0][1]) if found else None


def _note(database: Database, *, newest_ms: int, token: str | None, ended: bool) -> None:
    """How far the list is read. At its end the next reading begins with the newest entry."""
    database.execute(
        "update suppression_list set token = ?,"
        " newest_ms = case when newest_ms > ? then newest_ms else ? end where one = 1",
        (token, newest_ms, newest_ms),
    )
    if ended:
        database.execute("update suppression_list set since_ms = newest_ms where one = 1")
