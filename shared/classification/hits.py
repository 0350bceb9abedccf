"""From an event to the hit that is judged, by the raw facts that the event carries. Pure.

What the tracker said of the agent is not asked: it may have known an older version of the words.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Literal

from shared.classification.agents import VERSION, classify
from shared.classification.signals import Hit
from shared.clock import to_ms
from shared.programme.links import HIDDEN_LINK
from shared.wire.events import AgentClass, Event

HIT_KINDS: Final = ("opened", "clicked")


def hit_of(hit_id: str, event: Event, version: int = VERSION) -> Hit | None:
    """The hit of an `opened` or `clicked` event; None for any other. Without a method there are no
    raw facts, and the event is taken at its word.
    """
    match event.kind:
        case "opened" | "clicked" as kind:
            return _hit(hit_id, kind, event, version)
        case _:
            return None


def _hit(hit_id: str, kind: Literal["opened", "clicked"], event: Event, version: int) -> Hit:
    words: AgentClass
    if event.link == HIDDEN_LINK:
        words = "scanner"
    elif event.method is None:
        words = event.agent or "unknown"
    else:
        click = kind == "clicked"
        words = classify(event.user_agent, event.method, click=click, version=version)
    return Hit(
        hit_id=hit_id,
        kind=kind,
        at=to_ms(event.at),
        link=event.link,
        method=event.method or "",
        words=words,
        visitor=blake2b((event.user_agent or "").encode(), digest_size=8).hexdigest(),
    )
