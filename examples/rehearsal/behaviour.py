"""What made-up people do with a mail: decided by hash, so that a rehearsal can be repeated.

The rates are the truth that a measurement is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of those who got the mail; `acts` is a share of those who click."""

    opens: float
    clicks: float
    acts: float
    unsubscribes: float = 0.006
    prefetched: float = 0.30
    scanned: float = 0.02


TRUTH: dict[tuple[str, str], Rates] = {
    ("volunteer-ask", "direct"): Rates(opens=0.46, clicks=0.09, acts=0.30),
    ("volunteer-ask", "neighbourly"): Rates(opens=0.49, clicks=0.15, acts=0.36),
    ("follow-up", ""): Rates(opens=0.60, clicks=0.25, acts=0.45),
    ("thank-you", ""): Rates(opens=0.70, clicks=0.05, acts=0.0),
    ("polling-day", ""): Rates(opens=0.55, clicks=0.10, acts=0.0),
}
OTHERWISE = Rates(opens=0.4, clicks=0.05, acts=0.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one mail, in this order: prefetch, scan, open, click, act, unsubscribe.

    `disguised`: a scan under the name of a browser.
    """

    prefetched: bool
    scanned: bool
    disguised: bool
    opens: bool
    clicks: bool
    acts: bool
    unsubscribes: bool


def rates_of(send: str, variant: str) -> Rates:
    """The true rates of a send's variant."""
    return TRUTH.get((send, variant)) or TRUTH.get((send, "")) or OTHERWISE


def plan(message_id: str, send: str, variant: str) -> Plan:
    """What the owner of this mail will do."""
    rates = rates_of(send, variant)
    clicks = _draw(message_id, "click") < rates.clicks
    return Plan(
        prefetched=_draw(message_id, "prefetch") < rates.prefetched,
        scanned=_draw(message_id, "scan") < rates.scanned,
        disguised=_draw(message_id, "disguise") < 0.5,
        opens=clicks or _draw(message_id, "open") < rates.opens,
        clicks=clicks,
        acts=clicks and _draw(message_id, "act") < rates.acts,
        unsubscribes=_draw(message_id, "unsubscribe") < rates.unsubscribes,
    )


def _draw(message_id: str, what: str) -> float:
    digest = blake2b(f"{message_id}\x00{what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
