"""May this supporter be mailed, and if not, why not: the first reason of a fixed order. Pure.

What the suppressions table says of an inbox or a topic comes on top, where an audience is chosen.
"""

from __future__ import annotations

from typing import Final, Literal

from services.segmenter.people.profiles import Profile
from services.segmenter.people.statements import address_problem

Standing = Literal[
    "mailable",
    "complained",
    "unsubscribed",
    "no_address",
    "bad_address",
    "never_mailed",
    "bounced",
    "no_consent",
]

MEANING: Final[dict[Standing, str]] = {
    "mailable": "Consent, a usable address, and nothing of their own against it.",
    "complained": "They called a mail of ours spam.",
    "unsubscribed": "They asked for no more mail.",
    "no_address": "No e-mail address is known.",
    "bad_address": "What was given as an address cannot be one.",
    "never_mailed": "The address is of a kind that is never mailed, such as abuse@ or noreply@.",
    "bounced": "Their present address does not work.",
    "no_consent": "No consent is on record: its wording, source and time.",
}

NEVER_MAILED: Final = frozenset(
    {
        "abuse",
        "bounce",
        "bounces",
        "do-not-reply",
        "donotreply",
        "hostmaster",
        "mailer-daemon",
        "no-reply",
        "nobody",
        "noreply",
        "postmaster",
        "spam",
        "unsubscribe",
    }
)
"""Names before the @ behind which nobody can have asked for mail (RFC 2142, and usage)."""

ROLES: Final = frozenset(
    {
        "accounts",
        "admin",
        "billing",
        "chair",
        "contact",
        "enquiries",
        "events",
        "hello",
        "help",
        "hr",
        "info",
        "jobs",
        "mail",
        "marketing",
        "media",
        "membership",
        "news",
        "office",
        "press",
        "reception",
        "sales",
        "secretary",
        "security",
        "support",
        "team",
        "webmaster",
    }
)
"""Names of posts rather than people: mailed, but flagged."""


def standing_of(profile: Profile) -> Standing:
    """The first reason not to mail, or `mailable`."""
    if profile.complained_at is not None:
        return "complained"
    if profile.unsubscribed_at is not None:
        return "unsubscribed"
    reason = _against_address(profile)
    if reason is not None:
        return reason
    return "mailable" if profile.consent is not None else "no_consent"


def _against_address(profile: Profile) -> Standing | None:
    email = profile.text("email")
    if email is None:
        return "no_address"
    if profile.address_key is None:
        return "bad_address"
    if _local(email) in NEVER_MAILED:
        return "never_mailed"
    return None if profile.bounced_at is None else "bounced"


def address_flags(profile: Profile) -> list[str]:
    """What a person looking after the list should know of the address."""
    email = profile.text("email")
    if email is None:
        return []
    if profile.address_key is None:
        return [f"bad address: {address_problem(email) or 'no name@domain'}"]
    if _local(email) in NEVER_MAILED:
        return ["an address that is never mailed"]
    return ["a role, not a person"] if _local(email) in ROLES else []


def _local(email: str) -> str:
    """The part before the @, without its plus-tag."""
    return email.rpartition("@")[0].partition("+")[0]
