"""Addresses that belong to a role and not to a person, by the part before the @.

The technical ones follow RFC 2142 and common practice; mail to those that must not be mailed goes
to people who did not ask for it, or to nobody at all.
"""

from __future__ import annotations

from typing import Final, Literal

NEVER: Final = frozenset(
    {
        "abuse", "bounce", "bounces", "do-not-reply", "donotreply", "ftp", "hostmaster",
        "mailer-daemon", "no-reply", "no_reply", "nobody", "noc", "noreply", "postmaster", "root",
        "spam", "unsubscribe", "usenet", "uucp", "www",
    }
)  # fmt: skip
"""Nobody there has asked for mail: such a row is refused."""

ROLES: Final = frozenset(
    {
        "accounts", "admin", "all", "billing", "campaigns", "committee", "contact", "editor",
        "enquiries", "everyone", "feedback", "finance", "hello", "help", "hr", "info", "inquiries",
        "it", "jobs", "mail", "marketing", "media", "members", "membership", "news", "newsletter",
        "office", "orders", "press", "reception", "recruitment", "sales", "secretary",
        "security", "staff", "subscribe", "support", "team", "treasurer", "volunteers", "webmaster",
    }
)  # fmt: skip
"""Read by several people or by whoever is in office: kept, and reported."""


def role_of(address: str) -> Literal["never", "role"] | None:
    """What kind of mailbox a normalised address is; a label after `+` does not matter."""
    local = address.partition("@")[0].partition("+")[0]
    if local in NEVER:
        return "never"
    return "role" if local in ROLES else None
