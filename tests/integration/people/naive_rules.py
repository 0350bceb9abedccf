"""The oracle: rules as their docstrings say, on plain Python people, one supporter at a time.

Shares no code with the compiler. Also strategies for random rules and random people.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from hypothesis import strategies as st

from shared.programme.rules import (
    ActedOn,
    AllOf,
    AnyOf,
    Attribute,
    Clicked,
    Did,
    Got,
    HasTag,
    InArea,
    NoneOf,
    Opened,
    Rule,
    Sample,
    Speaks,
)
from shared.wire.events import Event
from shared.wire.supporters import SupporterChanged
from tests.integration.people.world import at, change, event, person

ORDERINGS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass
class Act:
    action: str
    at: datetime
    send: str | None


@dataclass
class Mail:
    """What happened to one message."""

    send: str
    variant: str
    accepted: bool = False
    opened: bool = False
    clicked: bool = False


@dataclass
class Someone:
    """A supporter as the naive evaluator sees them."""

    supporter_id: str
    language: str | None = None
    tags: set[str] = field(default_factory=set)
    attributes: dict[str, Any] = field(default_factory=dict)
    areas: dict[str, str] = field(default_factory=dict)
    actions: list[Act] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)

    def told(self) -> list[SupporterChanged | Event]:
        """What has to be said for a store to know this person."""
        said: list[SupporterChanged | Event] = [
            change(
                self.supporter_id,
                profile={"language": self.language},
                attributes=self.attributes,
                tags_added=tuple(self.tags),
                given_areas=self.areas,
            )
        ]
        for act in self.actions:
            acted = event("acted", self.supporter_id, action=act.action, send_id=act.send)
            said.append(acted.model_copy(update={"at": act.at}))
        for occurrence, mail in enumerate(self.mails):
            message: dict[str, Any] = {
                "send_id": mail.send, "variant": mail.variant, "occurrence": occurrence
            }  # fmt: skip
            kind = "accepted" if mail.accepted else "expired"
            said.append(event(kind, self.supporter_id, 1, **message))
            opener = "person" if mail.opened else "prefetch"
            said.append(event("opened", self.supporter_id, 2, agent=opener, **message))
            clicker = "unknown" if mail.clicked else "scanner"
            said.append(event("clicked", self.supporter_id, 3, agent=clicker, **message))
        return said


def holds(rule: Rule, who: Someone, as_of: datetime) -> bool:
    """Whether the rule holds for one supporter."""
    match rule:
        case AllOf(parts=parts):
            return all(holds(part, who, as_of) for part in parts)
        case AnyOf(parts=parts):
            return any(holds(part, who, as_of) for part in parts)
        case NoneOf(parts=parts):
            return not any(holds(part, who, as_of) for part in parts)
        case InArea() | HasTag() | Attribute() | Speaks() | Sample():
            return is_so(rule, who)
        case _:
            return happened(rule, who, as_of)


def is_so(rule: InArea | HasTag | Attribute | Speaks | Sample, who: Someone) -> bool:
    match rule:
        case InArea(kind=kind, codes=codes):
            return who.areas.get(kind) in codes
        case HasTag(tag=tag):
            return tag in who.tags
        case Attribute():
            return compares(rule, who.attributes.get(rule.name))
        case Speaks(languages=languages):
            return who.language is not None and who.language.lower() in {
                language.lower() for language in languages
            }
        case Sample(percent=percent, seed=seed):
            digest = sha256(f"{seed}\x00{who.supporter_id}".encode()).digest()
            return int.from_bytes(digest[:8], "big") / 2**64 < percent / 100


def happened(rule: Did | Got | Opened | Clicked | ActedOn, who: Someone, as_of: datetime) -> bool:
    match rule:
        case Did(action=action, at_least=at_least, within_days=days):
            done = [act.at for act in who.actions if act.action == action]
            if days is not None:
                done = [moment for moment in done if as_of - timedelta(days) < moment <= as_of]
            return len(done) >= at_least
        case Got(send=send, variant=variant):
            return any(
                mail.accepted and mail.send == send and variant in (None, mail.variant)
                for mail in who.mails
            )
        case Opened(send=send):
            return any(mail.opened and mail.send == send for mail in who.mails)
        case Clicked(send=send):
            return any(mail.clicked and mail.send == send for mail in who.mails)
        case ActedOn(send=send, action=action):
            return any(act.send == send and action in (None, act.action) for act in who.actions)


def compares(rule: Attribute, known: Any) -> bool:
    """`known` is None when absent."""
    match rule.comparison:
        case "exists":
            return known is not None
        case "is":
            return known is not None and same(known, rule.values[0])
        case "is not":
            return known is None or not same(known, rule.values[0])
        case "in":
            return known is not None and any(same(known, value) for value in rule.values)
        case ordering:
            wanted = rule.values[0]
            both = kind(known) == kind(wanted) and kind(known) in ("number", "text")
            return both and bool(ORDERINGS[ordering](known, wanted))


def same(one: Any, other: Any) -> bool:
    return kind(one) == kind(other) and bool(one == other)


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "nothing"


SENDS, ACTIONS, TAGS = ("s1", "s2"), ("pledged", "voted"), ("a", "b")
KINDS, CODES, NAMES = ("ward", "precinct"), ("W1", "W2", "W3"), ("age", "note")
DAYS = (1.0, 2.5, 30.0)
AS_OF = at(1_000)
VALUES: tuple[Any, ...] = (
    0, 1, 2, -1, 1.0, 1.5, 2**53 + 1, float(2**53), True, False, "1", "", "a", "B", "b", "é", "😀",
)  # fmt: skip

sends, actions = st.sampled_from(SENDS), st.sampled_from(ACTIONS)
moments = st.sampled_from(
    [
        AS_OF - timedelta(days=days) + timedelta(milliseconds=off)
        for days in (*DAYS, 0)
        for off in (-1, 0, 1)
    ]
)

comparisons: st.SearchStrategy[Attribute] = st.one_of(
    st.builds(
        Attribute,
        name=st.sampled_from(NAMES),
        comparison=st.sampled_from(("is", "is not", "<", "<=", ">", ">=")),
        values=st.tuples(st.sampled_from(VALUES)),
    ),
    st.builds(
        Attribute,
        name=st.sampled_from(NAMES),
        comparison=st.just("in"),
        values=st.lists(st.sampled_from(VALUES), max_size=3).map(tuple),
    ),
    st.builds(Attribute, name=st.sampled_from(NAMES), comparison=st.just("exists")),
)

leaves: st.SearchStrategy[Rule] = st.one_of(
    comparisons,
    st.builds(
        InArea,
        kind=st.sampled_from(KINDS),
        codes=st.lists(st.sampled_from(CODES), max_size=3).map(tuple),
    ),
    st.builds(HasTag, tag=st.sampled_from(TAGS)),
    st.builds(
        Speaks, languages=st.lists(st.sampled_from(("en", "GD", "cy-gb")), max_size=2).map(tuple)
    ),
    st.builds(
        Did,
        action=actions,
        at_least=st.integers(1, 3),
        within_days=st.none() | st.sampled_from(DAYS),
    ),
    st.builds(Got, send=sends, variant=st.sampled_from((None, "v", "w"))),
    st.builds(Opened, send=sends),
    st.builds(Clicked, send=sends),
    st.builds(ActedOn, send=sends, action=st.none() | actions),
    st.builds(Sample, percent=st.sampled_from((0, 30, 50, 100)), seed=st.sampled_from(("", "x"))),
)


def _combined(parts: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
    several = st.lists(parts, max_size=3).map(tuple)
    return st.one_of(
        st.builds(AllOf, parts=several),
        st.builds(AnyOf, parts=several),
        st.builds(NoneOf, parts=several),
    )


rules: st.SearchStrategy[Rule] = st.recursive(leaves, _combined, max_leaves=6)

_mails = st.builds(
    Mail,
    send=sends,
    variant=st.sampled_from(("v", "w")),
    accepted=st.booleans(),
    opened=st.booleans(),
    clicked=st.booleans(),
)
_acts = st.builds(Act, action=actions, at=moments, send=st.none() | sends)


@st.composite
def peoples(draw: st.DrawFn, most: int = 5) -> list[Someone]:
    """A few people, numbered."""
    return [
        Someone(
            person(number),
            language=draw(st.sampled_from((None, "en", "EN", "gd", "cy-GB"))),
            tags=draw(st.sets(st.sampled_from(TAGS))),
            attributes=draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES))),
            areas=draw(st.dictionaries(st.sampled_from(KINDS), st.sampled_from(CODES))),
            actions=draw(st.lists(_acts, max_size=4)),
            mails=draw(st.lists(_mails, max_size=3)),
        )
        for number in range(draw(st.integers(1, most)))
    ]
