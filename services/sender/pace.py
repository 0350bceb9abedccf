"""Who may call how often: the pace of one sender, or of all senders on one PostgreSQL store.

SES limits the account, not the process. Senders that share a ledger lease from one row: a grant is
for one window of calls, at most a second's worth, and may be used for two seconds; the clock is the
database's. A sender without work leases nothing, so that no part of the rate stands idle with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from services.sender import pacing
from services.sender.pacing import (
    BURST_SECONDS,
    DECREASE,
    FLOOR,
    ONE_CUT_SECONDS,
    RECOVERY_PER_SECOND,
    Bucket,
)
from shared.clock import Clock
from shared.store.database import Database

GRANT_SECONDS: Final = 1.0
EXPIRY_SECONDS: Final = 2.0


class Pace(Protocol):
    """Used by the dispatcher's thread only."""

    def take(self, wanted: int) -> int:
        """How many calls of those wanted may start now. Raises RetryLater when nobody can say."""
        ...

    def give_back(self, unused: int) -> None:
        """Calls that were granted and not made."""
        ...

    def slow_down(self) -> None:
        """SES said "too fast"."""
        ...


class OwnPace:
    """One sender has the account to itself. `rate`: what it may do now, asked each time."""

    def __init__(self, rate: Callable[[], float], clock: Clock) -> None:
        self._rate, self._clock = rate, clock
        self._made: Bucket | None = None

    def take(self, wanted: int) -> int:
        self._made, granted = pacing.take(self._bucket(), wanted, self._clock.boot_seconds())
        return granted

    def give_back(self, unused: int) -> None:
        self._made = pacing.give_back(self._bucket(), unused)

    def slow_down(self) -> None:
        self._made = pacing.slow_down(self._bucket(), self._clock.boot_seconds())

    def _bucket(self) -> Bucket:
        """Full when it is first asked for: before that nobody knew the rate."""
        rate = self._rate()
        if self._made is None:
            return Bucket.start(rate, self._clock.boot_seconds())
        return pacing.limited(self._made, rate)


_BEGIN: Final = """
    insert into pace(account, rate, tokens, at, slowed_at) values (?, ?, ?, 0, 0)
    on conflict do nothing"""
_HELD: Final = f"""
    with held as (
        select rate, tokens, at, slowed_at,
            extract(epoch from clock_timestamp())::double precision as now,
            ?::double precision as ceiling,
            -- lost in a crash of the server, a grant is only a moment's rate too much
            set_config('synchronous_commit', 'off', true)
        from pace where account = ? for update
    ), later as (
        select greatest(now, at) as at, slowed_at, tokens, greatest(now - at, 0) as passed,
            least(ceiling, rate + ceiling * {RECOVERY_PER_SECOND} * greatest(now - at, 0)) as rate
        from held
    ), filled as (
        select at, slowed_at, rate,
            least(greatest(1.0, rate * {BURST_SECONDS}), tokens + rate * passed) as tokens
        from later
    )"""
"""Locks the row and refills it as `pacing.refill` does. Asked in one statement, so that a sender
that freezes on the way holds up nobody."""

_TAKE: Final = f"""{_HELD}, granted as (
        select at, rate, tokens,
            least(?, floor(tokens), floor(greatest(1.0, rate * {GRANT_SECONDS})))::bigint as calls
        from filled
    )
    update pace set at = granted.at, rate = granted.rate, tokens = granted.tokens - granted.calls
    from granted where pace.account = ? returning granted.calls"""
_SLOW_DOWN: Final = f"""{_HELD}
    update pace set at = filled.at, tokens = 0,
        rate = case when filled.at - filled.slowed_at < {ONE_CUT_SECONDS} then filled.rate
            else greatest({FLOOR}, filled.rate * {DECREASE}) end,
        slowed_at = case when filled.at - filled.slowed_at < {ONE_CUT_SECONDS}
            then filled.slowed_at else filled.at end
    from filled where pace.account = ?"""


class SharedPace:
    """Leases from a row of a PostgreSQL store. `rate`: what all may do together now.

    `row`: 1 is the account's, others are of mailbox providers.
    """

    def __init__(
        self, database: Database, rate: Callable[[], float], clock: Clock, row: int = 1
    ) -> None:
        self._db, self._rate, self._clock, self._row = database, rate, clock, row
        self._left, self._left_until = 0, 0.0
        self._too_fast = False

    def take(self, wanted: int) -> int:
        """What is left of the last grant, while it lasts, else a new one."""
        if self._too_fast:
            self._db.execute(_SLOW_DOWN, (self._rate(), self._row, self._row))
            self._too_fast = False
        now = self._clock.boot_seconds()
        if self._left and now < self._left_until:
            granted = min(wanted, self._left)
            self._left -= granted
            return granted
        self._left, self._left_until = 0, now + EXPIRY_SECONDS
        return self._lease(wanted)

    def give_back(self, unused: int) -> None:
        """For the next window, if it comes before the grant expires."""
        self._left += unused

    def slow_down(self) -> None:
        """Said to the others with the next lease: before that, we start nothing anyway."""
        self._left, self._too_fast = 0, True

    def _lease(self, wanted: int) -> int:
        rate = self._rate()
        asked = (rate, self._row, float(wanted), self._row)
        found = self._db.execute(_TAKE, asked).fetchall()
        if not found:  # the first sender on this store
            full = Bucket.start(rate, 0.0)
            self._db.execute(_BEGIN, (self._row, full.rate, full.tokens))
            found = self._db.execute(_TAKE, asked).fetchall()
        return int(found[0][0])
