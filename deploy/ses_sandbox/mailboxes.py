"""What becomes of a mail in the mailbox it is sent to, read off the address. Pure.

Local parts follow SES's mailbox simulator, bare or as a plus label (`ada+bounce@example.org`);
any other address has a fate drawn from a hash of it, so that the same people bounce every time.
"""

from __future__ import annotations

from typing import Final, Literal

from deploy.ses_sandbox.chance import draw

Fate = Literal["delivered", "hard_bounce", "soft_bounce", "suppressed", "complaint"]

_SPOKEN: Final[tuple[tuple[str, Fate], ...]] = (
    ("bounce", "hard_bounce"),
    ("softbounce", "soft_bounce"),
    ("complaint", "complaint"),
    ("suppressionlist", "suppressed"),
)


def fate_of(address: str, *, seed: str, bounce_rate: float, complaint_rate: float) -> Fate:
    """The fate of every mail to `address`; a complaint is delivered first."""
    local_part = address.rpartition("@")[0].lower()
    label = local_part.partition("+")[2]
    for word, fate in _SPOKEN:
        if local_part.startswith(word) or label.startswith(word):
            return fate
    if bounce_rate or complaint_rate:
        drawn = draw(seed, "fate", address.lower())
        if drawn < bounce_rate:
            return "hard_bounce"
        if drawn < bounce_rate + complaint_rate:
            return "complaint"
    return "delivered"
