"""Did this person get it, and if not, why? The verdict in one line and the story below it. Pure.

Four things are known of a person and a send: what became of their message (the sender), whether
they were in the frozen audience and whether they belong to the segment now (the segmenter), and
what was ordered (the log). The verdict rests on the first of them that decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from services.console.orders import Standing
from services.console.phrases import Answered, Branch, culprit, in_words
from services.console.screen import moment
from services.console.send_states import MEANING
from shared.programme.rules import Rule

Word = Literal["Yes", "No", "Not yet", "In doubt"]

NOT_MAILABLE: Final[Mapping[str, str]] = {
    "complained": "called a mail spam",
    "unsubscribed": "unsubscribed",
    "no_address": "no e-mail address is known",
    "bad_address": "what was given as an address cannot be one",
    "never_mailed": "a technical mailbox, as abuse@ or noreply@, is never mailed",
    "bounced": "their address does not work",
    "no_consent": "no consent is on record",
}

REFUSED: Final[Mapping[str, str]] = {
    "suppressed": "withheld, since they withdrew after the audience was frozen",
    "excluded": "left out, since they no longer belonged",
    "capped": "held back",
    "expired": "its deadline came first",
    "cancelled": "the send was cancelled",
    "failed": "refused for good",
}

REASONS: Final[Mapping[str, str]] = {
    "same inbox": "the same inbox gets it already, under another name",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What the services said. `outcome` is the newest row of the ledger, `frozen` the row of the
    frozen set, `delivery` the times of what followed.
    """

    found: bool
    standing: str
    standing_at: str | None
    reasons: tuple[str, ...]
    segment: str
    in_segment: bool
    tree: tuple[Branch, ...]
    frozen: Mapping[str, Any] | None
    delivery: Mapping[str, Any]
    outcome: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer: a word, and a sentence that goes on from it."""

    word: Word
    sentence: str

    def __str__(self) -> str:
        return f"{self.word}: {self.sentence}"


@dataclass(slots=True)
class _Times:
    zone: ZoneInfo | None = field(default=None)

    def of(self, at: object) -> str:
        return moment(str(at), self.zone) if at else "an unknown time"


def read_known(
    explained: Mapping[str, Any], outcomes: Mapping[str, Any], rule: Rule | None = None
) -> Known:
    """From the segmenter's `/ask/explain` and the sender's `/ask/outcome`; `rule` gives words."""
    supporter = explained["supporter"]
    profile = supporter.get("profile") or {}
    segment = explained["segment"]
    rows = outcomes.get("outcomes") or []
    standing = str(profile.get("standing") or "")
    answered = [
        Answered(str(each["text"]), bool(each["holds"]), str(each["fact"]), int(each["depth"]))
        for each in segment["tree"]
    ]
    return Known(
        found=bool(supporter["found"]),
        standing=standing,
        standing_at=profile.get(f"{standing}_at"),
        reasons=tuple(str(each["meaning"]) for each in supporter.get("reasons") or ()),
        segment=str(segment["name"]),
        in_segment=bool(segment["holds"]),
        tree=tuple(in_words(rule, answered)),
        frozen=explained.get("frozen"),
        delivery=explained.get("delivery") or {},
        outcome=rows[-1] if rows else None,
    )


def verdict(
    known: Known, standing: Standing, zone: ZoneInfo | None = None, *, goes_on: bool = False
) -> Verdict:
    """The one line on top. `goes_on`: the send mails whoever enters its segment from now on."""
    times = _Times(zone)
    if known.outcome is not None:
        return _by_outcome(known.outcome, known.delivery, standing, times)
    if known.frozen is not None:
        return _by_frozen(known.frozen, standing, times)
    if not known.found:
        return Verdict("No", "Doorstep does not know this supporter")
    if standing.decision is None and standing.state in ("draft", "scheduled", "paused", "freezing"):
        return _before_launch(known, standing, times)
    return _outside(known, standing, times, goes_on=goes_on)


def story(known: Known, standing: Standing, zone: ZoneInfo | None = None) -> list[tuple[str, str]]:
    """What happened, in the order of time: (when, what)."""
    times = _Times(zone)
    told: list[tuple[str, str]] = []
    order, frozen, outcome = standing.order, known.frozen, known.outcome
    if order is not None and order.due_at is not None:
        told.append((times.of(order.due_at.isoformat()), "the send was due"))
    if frozen is not None:
        parts = [f"variant {frozen['variant']}" if frozen.get("variant") else ""]
        parts.append(f"edition {frozen['edition']}" if frozen.get("edition") else "")
        said = ", ".join(part for part in parts if part)
        told.append(
            (
                times.of(frozen.get("frozen_at")),
                f"in the frozen audience{': ' if said else ''}{said}",
            )
        )
    if outcome is not None:
        if outcome.get("attempted_at"):
            attempt = int(outcome.get("attempt") or 1)
            again = f" (call {attempt})" if attempt > 1 else ""
            told.append((times.of(outcome["attempted_at"]), f"handed to SES{again}"))
        told.append((times.of(outcome.get("updated_at")), _outcome_words(outcome)))
    elif frozen is not None and frozen.get("state"):
        told.append(("", f"{frozen['state']}: {frozen.get('reason') or 'no reason is recorded'}"))
    marks = [(mark, known.delivery.get(f"{mark}_at")) for mark in _MARKS]
    told += [(times.of(at), _MARKS[mark]) for mark, at in sorted(marks, key=_by_time) if at]
    return told


_MARKS: Final[Mapping[str, str]] = {
    "delivered": "delivered: their mail server took it",
    "bounced": "bounced: the address does not work",
    "opened": "opened",
    "clicked": "clicked",
    "acted": "acted",
}


def _by_time(mark: tuple[str, Any]) -> str:
    return str(mark[1] or "")


def _by_outcome(
    outcome: Mapping[str, Any], delivery: Mapping[str, Any], standing: Standing, times: _Times
) -> Verdict:
    state = str(outcome.get("state"))
    reason = str(outcome.get("reason") or "")
    if state == "accepted":
        return _accepted(outcome, delivery, times)
    if state == "unconfirmed":
        when = times.of(outcome.get("attempted_at"))
        if outcome.get("settled"):
            more = f" ({reason})" if reason else ""
            return Verdict("In doubt", f"handed to SES at {when}, and SES never said more{more}")
        until = times.of(outcome.get("settle_after_at"))
        return Verdict(
            "In doubt", f"handed to SES at {when} without an answer; its word is awaited to {until}"
        )
    if state == "attempting":
        return Verdict("In doubt", "it is being handed to SES at this moment")
    if state == "ready":
        return Verdict("Not yet", f"it waits in the sender{_held_up(standing)}")
    said = REFUSED.get(state, state)
    reason = REASONS.get(reason, reason)
    more = f": {reason}" if reason and reason not in said else ""
    return Verdict("No", f"{said}{more}, at {times.of(outcome.get('updated_at'))}")


def _accepted(outcome: Mapping[str, Any], delivery: Mapping[str, Any], times: _Times) -> Verdict:
    took = f"SES accepted it at {times.of(delivery.get('accepted_at') or outcome['updated_at'])}"
    if delivery.get("bounced_at"):
        bounced = times.of(delivery["bounced_at"])
        return Verdict("No", f"{took}, but it bounced at {bounced}: the address does not work")
    if delivery.get("delivered_at"):
        return Verdict("Yes", f"{took}; delivered {times.of(delivery['delivered_at'])}")
    return Verdict("Yes", f"{took}; no word of its delivery yet")


def _by_frozen(frozen: Mapping[str, Any], standing: Standing, times: _Times) -> Verdict:
    """In the audience, and the sender has no message of theirs."""
    state = frozen.get("state")
    if state is None:
        if frozen.get("released"):
            return Verdict("Not yet", "released, and on its way through renderer and sender")
        held_up = _held_up(standing) or ": its wave has not been released yet"
        return Verdict("Not yet", f"in the audience frozen at {times.of(frozen.get('frozen_at'))}"
                       f"{held_up}")  # fmt: skip
    if state == "accepted":
        return Verdict("Yes", "SES accepted it; the sender that could say when does not answer")
    if state == "unconfirmed":
        return Verdict("In doubt", f"SES may have taken it: {frozen.get('reason') or 'no answer'}")
    reason = frozen.get("reason")
    said = REFUSED.get(str(state), str(state))
    return Verdict("No", said + (f": {reason}" if reason and reason not in said else ""))


def _before_launch(known: Known, standing: Standing, times: _Times) -> Verdict:
    when = f"the send is {'a draft' if standing.state == 'draft' else standing.state}"
    if standing.order is not None and standing.order.due_at is not None:
        when += f", due {times.of(standing.order.due_at.isoformat())}"
    obstacles = _obstacles(known, times)
    if obstacles:
        return Verdict("Not yet", f"{when}, and they would not get it as things stand: {obstacles}")
    return Verdict("Not yet", f"{when}; they would get it as things stand")


def _outside(known: Known, standing: Standing, times: _Times, *, goes_on: bool) -> Verdict:
    """Not in the frozen audience of a send that has one."""
    obstacles = _obstacles(known, times)
    if obstacles:
        return Verdict("No", obstacles)
    if standing.state == "empty":
        return Verdict("No", "nobody was in its audience when it was due")
    if standing.state == "cancelled":
        return Verdict("No", "the send was cancelled before its audience was frozen")
    if goes_on:
        return Verdict(
            "No", "they are in the segment, and did not enter it while the send was open"
        )
    return Verdict(
        "No", "they were not in the audience when it was frozen, though they would be in it now"
    )


def _obstacles(known: Known, times: _Times) -> str:
    """Why they are not in the audience, as things stand now."""
    found = []
    if not known.in_segment:
        because = culprit(known.tree)
        found.append(f"outside the segment{': ' if because else ''}{because}")
    if known.standing and known.standing != "mailable":
        said = NOT_MAILABLE.get(known.standing, known.standing.replace("_", " "))
        at = f" at {times.of(known.standing_at)}" if known.standing_at else ""
        found.append(said + at)
    elif known.reasons:
        found.append(known.reasons[0].rstrip("."))
    return "; and ".join(found)


def _held_up(standing: Standing) -> str:
    if standing.halted:
        return ": everything is halted"
    if standing.state in ("paused", "held"):
        return f": the send is {standing.state}. {MEANING[standing.state]}"
    return ""


def _outcome_words(outcome: Mapping[str, Any]) -> str:
    state = str(outcome.get("state"))
    reason = outcome.get("reason")
    words = {
        "accepted": "accepted by SES",
        "unconfirmed": "in doubt" if not outcome.get("settled") else "left in doubt",
        "ready": "waits to be handed to SES",
        "attempting": "being handed to SES",
    }.get(state, f"{state}")
    return f"{words}: {reason}" if reason else words
