"""Who a hit was by, from all that is known of its message. Pure, versioned, in any order the same.

Some signs are enough alone: it names itself a program, it asked without wanting the content, it
followed the link that no person sees. The others only make one suspect, since people do them too
(a click seconds after delivery, many links at once, an agent without a name): it takes two of them.
What one visitor did is told by the user agent, because no IP address is kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from shared.classification.agents import BODILESS, FIRST, VERSION
from shared.programme.links import HIDDEN_LINK
from shared.wire.events import AgentClass

MACHINES: Final[frozenset[AgentClass]] = frozenset({"prefetch", "scanner"})
"""Who is no person. A proxy fetches for one, and whoever cannot be told counts as one."""

Reason = Literal[
    "names_itself",
    "method",
    "hidden_link",
    "with_hidden_link",
    "soon_after_delivery",
    "many_links_at_once",
    "agent_says_nothing",
]
ALONE: Final[frozenset[Reason]] = frozenset(
    {"names_itself", "method", "hidden_link", "with_hidden_link"}
)
"""Enough without another."""
NEEDED: Final = 2
"""So many of the others make a machine."""

SOON_MS: Final = 10_000
"""After delivery, as SES tells it; before it, too: gateways look before they take a mail."""
MANY_LINKS: Final = ((3, 10_000), (2, 2_000))
"""So many different links of a mail within so many milliseconds: nobody reads so fast."""
WITH_HIDDEN_MS: Final = 60_000
"""What the visitor that followed the hidden link did within this time was the same visit."""

VERSIONS: Final = (FIRST, VERSION)
"""All that can be judged by. The first knows words alone."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One fetch of a pixel or a link. `at` in milliseconds.

    `words`: its class by user agent and method alone; `visitor` stands for the user agent.
    """

    hit_id: str
    kind: Literal["opened", "clicked"]
    at: int
    link: int | None
    method: str
    words: AgentClass
    visitor: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """Who it was, and the signs against a person. `open_question`: one sign more would decide, and
    may still come.
    """

    agent: AgentClass
    reasons: tuple[Reason, ...] = ()
    open_question: bool = False

    @property
    def machine(self) -> bool:
        return self.agent in MACHINES


def judge(
    hits: Iterable[Hit], delivered_at: int | None, version: int = VERSION
) -> dict[str, Judgement]:
    """A judgement for every hit of one message. `delivered_at`: milliseconds, None when SES has
    not told of it. Raises KeyError for a version that is not among VERSIONS.
    """
    if version not in VERSIONS:
        raise KeyError(version)
    known = list(hits)
    if version == FIRST:
        return {hit.hit_id: Judgement(hit.words) for hit in known}
    visits = _visits(known)
    return {hit.hit_id: _judged(hit, visits[hit.visitor], delivered_at) for hit in known}


@dataclass(slots=True)
class _Visit:
    """What one visitor did with a message: when it followed the hidden link, and the spans of time
    in which it followed many others.
    """

    hidden: Sequence[int]
    bursts: Sequence[tuple[int, int]]


def _visits(hits: Iterable[Hit]) -> Mapping[str, _Visit]:
    by_visitor: defaultdict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        by_visitor[hit.visitor].append(hit)
    return {visitor: _visit(some) for visitor, some in by_visitor.items()}


def _visit(hits: Iterable[Hit]) -> _Visit:
    clicks = sorted((hit.at, hit.link) for hit in hits if hit.link is not None)
    followed = [(at, link) for at, link in clicks if link != HIDDEN_LINK]
    return _Visit(
        hidden=[at for at, link in clicks if link == HIDDEN_LINK],
        bursts=[span for many, within in MANY_LINKS for span in _bursts(followed, many, within)],
    )


def _bursts(clicks: Sequence[tuple[int, int]], many: int, within: int) -> Iterable[tuple[int, int]]:
    """Spans that begin with a click and hold so many links. `clicks` by time."""
    counts: defaultdict[int, int] = defaultdict(int)
    end = 0
    for at, link in clicks:
        while end < len(clicks) and clicks[end][0] <= at + within:
            counts[clicks[end][1]] += 1
            end += 1
        if len(counts) >= many:
            yield at, clicks[end - 1][0]
        counts[link] -= 1
        if not counts[link]:
            del counts[link]


def _judged(hit: Hit, visit: _Visit, delivered_at: int | None) -> Judgement:
    holds = _signs(hit, visit, delivered_at)
    reasons = tuple(reason for reason in get_args(Reason) if holds[reason])
    if hit.words in MACHINES:
        return Judgement(hit.words, reasons)
    if ALONE & set(reasons) or len(reasons) >= NEEDED:
        return Judgement("scanner", reasons)
    return Judgement(hit.words, reasons, open_question=bool(reasons) or delivered_at is None)


def _signs(hit: Hit, visit: _Visit, delivered_at: int | None) -> dict[Reason, bool]:
    hidden, bodiless = hit.link == HIDDEN_LINK, hit.method in BODILESS
    return {
        "names_itself": hit.words in MACHINES and not bodiless and not hidden,
        "method": bodiless,
        "hidden_link": hidden,
        "with_hidden_link": not hidden and _near(hit.at, visit.hidden, WITH_HIDDEN_MS),
        "soon_after_delivery": delivered_at is not None and hit.at < delivered_at + SOON_MS,
        "many_links_at_once": any(first <= hit.at <= last for first, last in visit.bursts),
        "agent_says_nothing": hit.words == "unknown",
    }


def _near(at: int, moments: Sequence[int], within: int) -> bool:
    """Whether one of the moments, in order, is at most so far away."""
    place = bisect_left(moments, at - within)
    return place < len(moments) and moments[place] <= at + within
