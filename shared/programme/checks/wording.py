"""Checks of single words: names, addresses, languages, zones, actions.

Each gives message and hint, or None when nothing is wrong.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from shared.ids import BadAddress, normalise_address
from shared.programme.moments import BadMoment, zone_of
from shared.programme.problems import did_you_mean, nearest_word

Wrong = tuple[str, str] | None

ACTIONS: Final = frozenset(
    {"volunteered", "pledged", "donated", "rsvped", "attended", "signed", "canvassed", "voted"}
)
"""Actions Doorstep names itself; a campaign may name others."""

_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_NO_REPLY: Final = re.compile(r"(no|do-?not|dont|never)[._-]?reply")


def bad_slug(name: str) -> Wrong:
    """Names of definitions: lower-case letters, digits and hyphens."""
    if _SLUG.fullmatch(name):
        return None
    nearest = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:64]
    hint = "names are lower-case letters, digits and hyphens, at most 64"
    if _SLUG.fullmatch(nearest):
        hint += f'; did you mean "{nearest}"?'
    return f'"{name}" cannot be a name', hint


def bad_word(word: str) -> Wrong:
    """Names of actions, topics and kinds of area."""
    if _WORD.fullmatch(word):
        return None
    return f'"{word}" cannot be a name', "use lower-case letters, digits, _ and -"


def bad_address(address: str) -> Wrong:
    """An e-mail address alone, without a display name."""
    try:
        normalise_address(address)
    except BadAddress as error:
        return f'"{address}" is no e-mail address: {error}', "write it like team@example.org"
    return None


def refuses_replies(address: str) -> bool:
    """Whether the address tells people not to answer."""
    return bool(_NO_REPLY.match(address.strip().casefold()))


def bad_language(code: str) -> Wrong:
    """The form of a BCP 47 code; whether the language exists is not checked."""
    if _LANGUAGE.fullmatch(code):
        return None
    return f'"{code}" is no language code', 'write it like "en", "gd" or "en-GB"'


def bad_webhook_url(url: str) -> Wrong:
    """Where somebody is told of events: over TLS, unless it is this machine."""
    wrong = f'"{url}" cannot be told of events', "write it like https://crm.example.org/doorstep"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return wrong
    if not host or "@" in parts.netloc or not url.isascii() or not url.isprintable():
        return wrong
    here = parts.scheme == "http" and host in _THIS_MACHINE
    return None if here or parts.scheme == "https" else wrong


def bad_zone(name: str) -> Wrong:
    """A name of the time zone database."""
    try:
        zone_of(name)
    except BadMoment as error:
        return str(error), error.hint
    return None


def strange_action(action: str) -> Wrong:
    """An action that looks like a misspelling of one of Doorstep's own."""
    if action in ACTIONS or nearest_word(action, ACTIONS) is None:
        return None
    return f'"{action}" is an action of your own making', did_you_mean(action, ACTIONS)
