"""Whether a send may be launched now, and what whoever launches it should know. Pure.

A count is only approved by somebody who has seen it: it is typed, or given beforehand and equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.console.orders import NotPossible
from services.console.screen import duration, moment, number
from shared.programme.definitions import Send
from shared.programme.moments import BadMoment, parse_moment
from shared.settings import SenderSettings

FAR: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Counted:
    """Who a rule means: all, those who may be mailed, and why the others may not."""

    matching: int
    mailable: int
    left_out: Mapping[str, int]
    unplaced: int

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Counted:
        """From the segmenter's answer to `/ask/count`."""
        return cls(
            int(answer["matching"]),
            int(answer["mailable"]),
            {str(reason): int(count) for reason, count in answer["left_out"].items() if count},
            int(answer["unplaced"]),
        )


def last_moment(send: Send, settings: SenderSettings) -> datetime | None:
    """The last moment at which a mail of it may be handed to SES: the deadline less a margin."""
    if send.deadline is None:
        return None
    margin = settings.read_timeout_seconds + settings.deadline_margin_seconds
    return send.deadline - timedelta(seconds=margin)


def check_times(send: Send, due_at: datetime, now: datetime, settings: SenderSettings) -> None:
    """Raises NotPossible when nothing of it could go out in time."""
    begin = max(due_at, now)
    if send.deadline is not None and send.deadline <= begin:
        when = "is past" if send.deadline <= now else "comes before it is due"
        raise NotPossible(
            f"{send.name}: its deadline, {moment(send.deadline)}, {when}: every mail of it would "
            f"expire. Change `deadline` in sends/{send.name}.yaml and apply"
        )
    last = last_moment(send, settings)
    if send.deadline is not None and last is not None and last <= begin:
        margin = duration((send.deadline - last).total_seconds())
        raise NotPossible(
            f"{send.name}: its deadline, {moment(send.deadline)}, is too near: "
            f"the last mail leaves {margin} before it"
        )
    if send.until is not None and send.until <= begin:
        raise NotPossible(
            f"{send.name}: its `until`, {moment(send.until)}, is past: nobody could enter any more"
        )


def warnings(
    send: Send,
    counted: Counted,
    due_at: datetime,
    now: datetime,
    settings: SenderSettings,
    rate: float | None,
) -> list[str]:
    """What should be known before a yes. `rate`: messages a second, None where nobody knows."""
    found = []
    last = last_moment(send, settings)
    begin = max(due_at, now)
    if last is not None and rate is not None:
        left = (last - begin).total_seconds()
        needed = counted.mailable / rate
        if needed > left:
            reached = int(left * rate)
            found.append(
                f"At {rate:g} a second this takes {duration(needed)}, and the deadline "
                f"leaves {duration(left)}: some {number(counted.mailable - reached)} would expire"
            )
    if send.areas and counted.unplaced:
        found.append(
            f"{number(counted.unplaced)} have no known postcode: whoever of them is in none of its "
            "areas gets the edition for everybody else"
        )
    if due_at - now > FAR:
        found.append(f"It is due in more than a year: {moment(due_at)}")
    return found


def read_due(text: str, zone: str | None, now: datetime) -> datetime:
    """When a send is to be due. Without a zone in it, the campaign's is meant.

    Raises NotPossible for what is no moment, or one in the past.
    """
    try:
        due = parse_moment(text)
    except BadMoment as wrong:
        due = _in_zone(text, zone, wrong)
    local = ZoneInfo(zone) if zone else None
    if due <= now:
        raise NotPossible(
            f"--at: {moment(due, local)} is past (it is {moment(now, local)}); "
            "to send at once, use `doorstep send launch`"
        )
    return due


def check_count(given: int, counted: int) -> None:
    """Raises NotPossible when a count that was given beforehand is not the one there is."""
    if given != counted:
        raise NotPossible(
            f"--count says {number(given)}, and {number(counted)} would get it now: "
            "look again, then give the number you approve"
        )


def read_count(text: str) -> int | None:
    """A count as people type it, `4,100` or `4100`; None when it is none."""
    plain = text.replace(",", "").replace(" ", "").replace("\u202f", "").replace(".", "")
    return int(plain) if plain.isdecimal() else None


def _in_zone(text: str, zone: str | None, wrong: BadMoment) -> datetime:
    if zone is not None:
        try:
            return parse_moment(f"{text.strip()} {zone}")
        except BadMoment as also_wrong:
            # With the zone of the campaign the fault of the text itself comes to light.
            if "has no time zone" in str(wrong):
                raise NotPossible(f"--at: {also_wrong}; {also_wrong.hint}") from also_wrong
    raise NotPossible(f"--at: {wrong}; {wrong.hint}") from wrong
