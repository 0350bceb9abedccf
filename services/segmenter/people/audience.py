"""Who a rule means, among those who may be mailed: counting, listing, and looking up by id.

Consent and suppression are implied here and nowhere else. Nothing is written, and every question
states its `as_of`. Connections are read through; any connection to the store will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import apsw

from shared.programme.rules import Rule
from shared.wire.supporters import AttributeValue


@dataclass(frozen=True, slots=True)
class Member:
    """A supporter who may be mailed, with everything a mail needs. `areas`: kind to code."""

    supporter_id: str
    address_key: str
    email: str
    first_name: str | None
    last_name: str | None
    language: str | None
    postcode: str | None
    latitude: float | None
    longitude: float | None
    attributes: Mapping[str, AttributeValue]
    areas: Mapping[str, str]

    @property
    def pixel(self) -> bool:
        """Whether they consented to the pixel (attribute `pixel_consent` is true)."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Counted:
    """`matching` = `mailable` + the sum of `left_out` (each person under their first reason).

    `unplaced`: of the mailable, those whose postcode is absent or not known: they get the edition
    for people without an area.
    """

    matching: int
    mailable: int
    left_out: Mapping[str, int]
    unplaced: int


def count(
    connection: apsw.Connection,
    rule: Rule,
    as_of: datetime,
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> Counted:
    """How many match, how many of them may be mailed, and why the others may not.

    `topic` and `send_id` add the suppressions of those scopes. Raises RuleUnusable.
    """
    raise NotImplementedError


def members(
    connection: apsw.Connection,
    rule: Rule,
    as_of: datetime,
    partition: int,
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> Iterator[Member]:
    """The mailable members of one partition, by supporter_id. One cursor: use it up or close it.

    Raises RuleUnusable.
    """
    raise NotImplementedError


def members_by_id(
    connection: apsw.Connection,
    supporter_ids: Iterable[str],
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> Iterator[Member]:
    """Those of the given who may be mailed now, by supporter_id; the others are absent."""
    raise NotImplementedError


def holding(
    connection: apsw.Connection, rule: Rule, as_of: datetime, supporter_ids: Iterable[str]
) -> set[str]:
    """Those of the given for whom the rule holds, mailable or not. Raises RuleUnusable."""
    raise NotImplementedError


def done_any(
    connection: apsw.Connection, supporter_ids: Iterable[str], actions: Iterable[str]
) -> set[str]:
    """Those of the given who ever did one of the actions (what `unless_done` asks)."""
    raise NotImplementedError
