"""How long the sends that wait will take, and whether their deadlines hold. Pure.

A forecast at the permitted rate, as the sender picks: most urgent first, then the nearest deadline.
Of the quota it assumes that nothing is let go before 24 hours from now: it errs to the late side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from math import ceil, inf
from typing import Final

DAY: Final = timedelta(hours=24)
HORIZON: Final = timedelta(days=400)
"""What is not sent by then is not foreseen."""
RANKS: Final[Mapping[str, int]] = {"urgent": 0, "normal": 1, "low": 2}
MOST_TIMES: Final = 1_000
"""So much more than there is is not looked for."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A send that will go by itself. `people`: still to be mailed. `last`: the last moment for it,
    the deadline less its margin.
    """

    name: str
    people: int
    due: datetime
    last: datetime | None = None
    priority: str = "normal"


@dataclass(frozen=True, slots=True)
class Capacity:
    """What may go. `rate`: messages a second. `quota_left`: until 24 hours from now.

    `days`: the most on a day of the domain's warm-up, days in `zone`; `sent_today` of it has gone.
    """

    rate: float
    quota_left: float = inf
    daily_quota: float = inf
    days: Mapping[date, int] = field(default_factory=dict)
    sent_today: int = 0
    zone: tzinfo = UTC

    def room(self, day: date, today: date) -> float:
        """What the warm-up leaves of a day."""
        most = self.days.get(day, inf)
        return max(0.0, most - self.sent_today) if day == today else most


@dataclass(frozen=True, slots=True)
class Forecast:
    """`begins`, `ends`: first and last mail, None where none goes or no end is in sight.

    `late`: people who would not be mailed by the last moment.
    """

    name: str
    people: int
    begins: datetime | None
    ends: datetime | None
    late: int

    @property
    def holds(self) -> bool:
        """Whether everybody is mailed in time."""
        return not self.late and (self.ends is not None or not self.people)


@dataclass(slots=True)
class _Going:
    """A send under way in the forecast."""

    send: Queued
    left: float
    begins: datetime | None = None
    ends: datetime | None = None


def in_order(queue: Sequence[Queued]) -> list[Queued]:
    """As the sender picks them."""
    far = datetime.max.replace(tzinfo=UTC)
    return sorted(
        queue, key=lambda one: (RANKS.get(one.priority, 1), one.last or far, one.due, one.name)
    )


def forecast(queue: Sequence[Queued], capacity: Capacity, now: datetime) -> list[Forecast]:
    """One for each send, in the order in which the sender picks them."""
    going = [_Going(one, float(one.people)) for one in in_order(queue)]
    today = now.astimezone(capacity.zone).date()
    window_ends, quota = now + DAY, capacity.quota_left
    day, room = today, capacity.room(today, today)
    at = now
    while at < now + HORIZON and (waiting := [one for one in going if _may_still_go(one, at)]):
        while at >= window_ends:
            window_ends, quota = window_ends + DAY, capacity.daily_quota
        if at.astimezone(capacity.zone).date() != day:
            day = at.astimezone(capacity.zone).date()
            room = capacity.room(day, today)
        ahead = [one.send.due for one in waiting if one.send.due > at]
        ahead += [one.send.last for one in waiting if one.send.last is not None]
        changes = min([*ahead, window_ends, _midnight(day, capacity.zone)])
        first = next((one for one in waiting if one.send.due <= at), None)
        if first is None or min(quota, room) < 1:
            at = changes
            continue
        most = min(first.left, quota, room, capacity.rate * (changes - at).total_seconds())
        first.begins = first.begins or at
        at = changes if most < 1e-6 else at + timedelta(seconds=most / capacity.rate)
        first.left, quota, room = first.left - most, quota - most, room - most
        if first.left < 0.5:
            first.left, first.ends = 0.0, at
    return [
        Forecast(
            one.send.name, one.send.people, one.begins, one.ends,
            ceil(one.left - 1e-6) if one.send.last is not None else 0,
        )
        for one in going
    ]  # fmt: skip


def _may_still_go(one: _Going, at: datetime) -> bool:
    return one.left > 0 and (one.send.last is None or at < one.send.last)


def _midnight(day: date, zone: tzinfo) -> datetime:
    """The end of a day."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), tzinfo=zone)


@dataclass(frozen=True, slots=True)
class Remedies:
    """What, each alone, would make a send hold; None where it would not. `rate`: messages a second,
    `daily_quota`: messages; `first`: sending it before all others; `later`: its last mail, with no
    deadline; `warm_up`: going on without one.
    """

    rate: float | None
    daily_quota: int | None
    first: bool
    warm_up: bool
    later: datetime | None


def remedies(queue: Sequence[Queued], capacity: Capacity, now: datetime, name: str) -> Remedies:
    """For a send that does not hold as things are."""

    def holds(queued: Sequence[Queued], with_: Capacity) -> bool:
        return next(f.holds for f in forecast(queued, with_, now) if f.name == name)

    def faster(times: float) -> bool:
        return holds(queue, replace(capacity, rate=capacity.rate * times))

    def more(times: float) -> bool:
        extra = capacity.daily_quota * (times - 1)
        quota_left = capacity.quota_left + extra
        return holds(
            queue,
            replace(capacity, daily_quota=capacity.daily_quota + extra, quota_left=quota_left),
        )

    fast = _least(faster)
    much = None if capacity.daily_quota == inf else _least(more)
    urgent = [replace(one, priority="urgent") if one.name == name else
              replace(one, priority="low") for one in queue]  # fmt: skip
    endless = [replace(one, last=None) if one.name == name else one for one in queue]
    later = next(f.ends for f in forecast(endless, capacity, now) if f.name == name)
    return Remedies(
        rate=None if fast is None else capacity.rate * fast,
        daily_quota=None if much is None else ceil(capacity.daily_quota * much),
        first=len(queue) > 1 and holds(urgent, capacity),
        warm_up=bool(capacity.days) and holds(queue, replace(capacity, days={})),
        later=later,
    )


def _least(enough: Callable[[float], bool]) -> float | None:
    """The least factor that is enough, to a hundredth, upwards."""
    low, high = 1.0, float(MOST_TIMES)
    if not enough(high):
        return None
    while high / low > 1.005:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
