"""What the programme says about the mails that tokens belong to, and where their links lead.

Fed by the programme topic, or what was kept of it, oldest first; asked by the routes and the
forwarder. Links are looked up when they are clicked. Answers are remembered until the programme
changes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from services.tracker.facts import Mailing
from services.tracker.raw_hits import Bearer
from services.tracker.versions import Versions
from shared.errors import DoorstepError
from shared.log.record import Stored
from shared.observability.logs import Journal
from shared.programme.definitions import Areas, Campaign, Send, Webhook
from shared.programme.links import BadDestination, BadLinks, destination
from shared.tokens import edition_hash
from shared.wire.cloudevents import decode
from shared.wire.programme import Definition, SendOrder

REMEMBERED: Final = 50_000
"""Answers: a send over a thousand areas with ten links has ten thousand."""
_NO_EDITION: Final = edition_hash("").hex()


class Programme:
    """The newest of every key. One thread feeds it, any may ask."""

    def __init__(self) -> None:
        self._versions = Versions()
        self._mailings: dict[tuple[str, int, str], Mailing | None] = {}
        self._destinations: dict[tuple[str, int, str, int], str | None] = {}
        self._lock = threading.Lock()
        self._journal = Journal("tracker.programme")

    def apply(self, stored: Stored) -> None:
        """Take one record of the topic. What cannot be read is told and skipped."""
        with self._lock:
            self._forget_answers()
            self._fold(self._versions, stored)

    def replace(self, records: Iterable[Stored]) -> None:
        """Go by these records alone from now on, oldest first. Nobody who asks waits meanwhile."""
        versions = Versions()
        for stored in records:
            self._fold(versions, stored)
        with self._lock:
            self._forget_answers()
            self._versions = versions

    def mailing_of(self, bearer: Bearer) -> Mailing | None:
        """What a token's hashes stand for; None when no such send is known."""
        key = (bearer.send_hash, bearer.variant, bearer.edition_hash)
        with self._lock:
            if key not in self._mailings:
                _make_room(self._mailings)
                self._mailings[key] = self._mailing(bearer)
            return self._mailings[key]

    def destination(self, bearer: Bearer, number: int) -> str | None:
        """Where link `number` of the bearer's mail leads now; None when there is no such link."""
        key = (bearer.send_hash, bearer.variant, bearer.edition_hash, number)
        with self._lock:
            if key not in self._destinations:
                _make_room(self._destinations)
                self._destinations[key] = self._destination(bearer, number)
            return self._destinations[key]

    def campaign(self, bearer: Bearer) -> Campaign | None:
        """Who sent the mail, as the campaign says it now, for the pages; None when it is not known.

        The newest version: what people can choose is what there is today, not what there was when
        the mail was approved.
        """
        with self._lock:
            send = self._versions.send(bearer.send_hash)
            pinned = self._versions.campaign(send) if send is not None else None
            return self._versions.newest_campaign(pinned) if pinned is not None else None

    def webhooks(self) -> tuple[Webhook, ...]:
        """Who is told of events, as the campaigns have it now."""
        with self._lock:
            return self._versions.webhooks()

    def _forget_answers(self) -> None:
        self._mailings.clear()
        self._destinations.clear()

    def _fold(self, versions: Versions, stored: Stored) -> None:
        key = (stored.key or b"").decode("utf-8", "replace")
        if stored.value is None:
            versions.definitions.pop(key, None)
            return
        try:
            data = decode(stored).data
            if isinstance(data, Definition):
                versions.define(key, data)
            elif isinstance(data, SendOrder):
                versions.order(data)
        except (DoorstepError, ValidationError) as error:
            self._journal.error("tracker.programme_unreadable", key=key, reason=str(error))

    def _mailing(self, bearer: Bearer) -> Mailing | None:
        send = self._versions.send(bearer.send_hash)
        if send is None:
            return None
        drawn = send.variants[bearer.variant : bearer.variant + 1]
        return Mailing(
            send_id=send.name,
            variant=drawn[0].name if drawn else None,
            edition=self._edition(send, bearer),
        )

    def _destination(self, bearer: Bearer, number: int) -> str | None:
        send = self._versions.send(bearer.send_hash)
        template = self._versions.template(send, bearer.variant) if send is not None else None
        if send is None or template is None:
            return None
        try:
            hrefs = template.hrefs
            if not 0 <= number < len(hrefs):
                return None
            return destination(hrefs[number], self._context(send, bearer))
        except (BadDestination, BadLinks) as error:
            self._journal.error(
                "tracker.bad_destination", send=send.name, link=number, reason=str(error)
            )
            return None

    def _context(self, send: Send, bearer: Bearer) -> Mapping[str, Any]:
        """What an address may name: the data of the area, the send and the campaign."""
        campaign = self._versions.campaign(send)
        return {
            "area": self._area(send, bearer),
            "send": {"name": send.name, "deadline": send.deadline},
            "campaign": campaign.model_dump() if campaign is not None else {},
        }

    def _area(self, send: Send, bearer: Bearer) -> Mapping[str, Any]:
        known = self._versions.areas(send)
        if known is None or not isinstance(known.definition, Areas):
            return {}
        found = known.definition.by_code.get(self._edition(send, bearer) or "")
        return found if found is not None else known.definition.default or {}

    def _edition(self, send: Send, bearer: Bearer) -> str | None:
        known = self._versions.areas(send)
        if known is not None:
            return known.editions.get(bearer.edition_hash)
        return "" if bearer.edition_hash == _NO_EDITION else None


def _make_room(answers: dict[Any, Any]) -> None:
    if len(answers) >= REMEMBERED:
        answers.clear()
