"""Who a row is about: the id a person has already, or the one derived from how they are named.

The segmenter is asked first, so that a person keeps their id through a change of address. Only an
empty log may do without it: there nobody has an id yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.console.asking import NotRunning, Services
from shared.errors import Misconfigured
from shared.ids import (
    AddressKey,
    SupporterId,
    supporter_id_from_address,
    supporter_id_from_external,
)
from shared.log.port import Log
from shared.log.topics import SUPPORTERS

ASKED_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Person:
    """How somebody is named: by (source, external id), or by address key, or by both."""

    source: str | None = None
    external_id: str | None = None
    key: AddressKey | None = None

    def derived(self, secret: bytes) -> SupporterId:
        """The id of somebody who is seen for the first time."""
        if self.source is not None and self.external_id is not None:
            return supporter_id_from_external(self.source, self.external_id, secret)
        if self.key is not None:
            return supporter_id_from_address(self.key, secret)
        raise ValueError("nobody is named")


@dataclass(frozen=True, slots=True)
class Known:
    """What the segmenter knows of a person, to compare a statement with.

    `suppressed`: why the address they were named by is suppressed, if it is.
    """

    supporter_id: SupporterId
    standing: str | None = None
    unsubscribed: bool = False
    suppressed: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    areas: Mapping[str, str] = field(default_factory=dict)


class Identities:
    """Finds ids in bulk. Raises NotRunning when the segmenter is needed and not there."""

    def __init__(self, services: Services, log: Log, secret: bytes) -> None:
        self._services, self._secret = services, secret
        # Somebody whom no instance speaks for would get a second id: `ask_known` wants all.
        self._asks = services.answers("segmenter")
        if not self._asks and any(log.end_offsets(SUPPORTERS).values()):
            raise NotRunning(
                "the segmenter is not running, and only it knows the ids of supporters who are "
                "there already: start the services with `doorstep up`, then import"
            )

    @property
    def asks(self) -> bool:
        """Whether somebody is asked; if not, everybody is new."""
        return self._asks

    def known(self, people: Sequence[Person]) -> list[Known | None]:
        """What is known of each, in the same order."""
        if not self._asks:
            return [None] * len(people)
        return ask_known(self._services, people)

    def id_of(self, person: Person, known: Known | None) -> SupporterId:
        """The id to write."""
        return known.supporter_id if known is not None else person.derived(self._secret)


def ask_known(services: Services, people: Sequence[Person]) -> list[Known | None]:
    """The segmenter's answer for each person, in the same order; None for somebody new."""
    found: list[Known | None] = []
    for start in range(0, len(people), ASKED_AT_ONCE):
        part = people[start : start + ASKED_AT_ONCE]
        keys = [
            {"source": each.source, "external_id": each.external_id, "address_key": each.key}
            for each in part
        ]
        answer = services.post("segmenter", "/ask/known", {"people": keys}, whole=True).get(
            "people"
        )
        if not isinstance(answer, list) or len(answer) != len(part):
            raise Misconfigured("the segmenter's answer to /ask/known is not of this release")
        found += [_read(each) for each in answer]
    return found


def same_person(external_id: str | None, first_name: str | None, known: Known) -> bool:
    """Whether somebody found by their address alone is meant by a row.

    Without an external id the address is all there is. With one, a person of another first name at
    the same address is somebody else in the household.
    """
    theirs = known.fields.get("first_name")
    if external_id is None or not first_name or not theirs:
        return True
    return first_name.casefold() == str(theirs).casefold()


def _read(answer: Mapping[str, Any] | None) -> Known | None:
    if answer is None:
        return None
    return Known(
        SupporterId(str(answer["supporter_id"])),
        answer.get("standing"),
        bool(answer.get("unsubscribed")),
        answer.get("suppressed"),
        answer.get("fields") or {},
        answer.get("attributes") or {},
        frozenset(answer.get("tags") or ()),
        answer.get("given_areas") or {},
    )
