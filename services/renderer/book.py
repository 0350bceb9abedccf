"""The renderer's view of the programme table: definitions by kind, name and version.

What was approved is what is sent, so older versions stay: the topic keeps each version under a key
of its own (`definition/<kind>/<name>@<version>`), the newest also under the plain key.
"""

from __future__ import annotations

from typing import TypeVar

from shared.errors import NeverRetry, NewerVersion, RetryLater
from shared.log.record import Stored
from shared.observability.logs import Journal
from shared.programme.definitions import Areas, Campaign, Checked, Send, Template
from shared.programme.versions import from_wire
from shared.wire.cloudevents import decode
from shared.wire.programme import Definition

Kind = TypeVar("Kind", bound=Checked)


class Book:
    """Every version that the topic still holds. Lookups give checked models, cached.

    A lookup raises RetryLater for a definition that has not arrived: it is waited for. `version`
    empty means the newest.
    """

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], str] = {}
        self._bodies: dict[tuple[str, str, str], Definition] = {}
        self._models: dict[tuple[str, str, str], Checked] = {}
        self._journal = Journal("renderer.book")

    def apply(self, stored: Stored) -> None:
        """One record of the programme topic; what cannot be read is said and left out.

        A definition that is removed is not the newest any more; sends that pin it still find it.
        """
        key = (stored.key or b"").decode("utf-8", "replace")
        if stored.value is None:
            kind, _, name = key.removeprefix("definition/").partition("/")
            self._newest.pop((kind, name), None)
            return
        try:
            data = decode(stored).data
        except NeverRetry as error:
            self._journal.error("renderer.programme_unreadable", reason=str(error))
            return
        if isinstance(data, Definition):
            self._bodies[data.kind, data.name, data.version] = data
            if "@" not in key:
                self._newest[data.kind, data.name] = data.version

    def send(self, name: str, version: str = "") -> Send:
        return self._find(Send, "send", name, version)

    def template(self, name: str, version: str = "") -> Template:
        return self._find(Template, "template", name, version)

    def areas(self, name: str, version: str = "") -> Areas:
        return self._find(Areas, "areas", name, version)

    def campaign(self, version: str = "") -> Campaign:
        """The campaign; there is one, whatever its name was when this version was applied."""
        if version:
            for kind, name, known in self._bodies:
                if kind == "campaign" and known == version:
                    return self._find(Campaign, kind, name, version)
            raise RetryLater(f"version {version} of the campaign has not arrived yet")
        return self._find(Campaign, "campaign", self._campaign_name(), "")

    def campaign_version(self) -> str:
        """The newest version of the campaign."""
        return self.version("campaign", self._campaign_name())

    def version(self, kind: str, name: str) -> str:
        """The newest version."""
        try:
            return self._newest[kind, name]
        except KeyError:
            raise RetryLater(f"the {kind} {name!r} has not arrived yet") from None

    def _campaign_name(self) -> str:
        for kind, name in self._newest:
            if kind == "campaign":
                return name
        raise RetryLater("the campaign's definition has not arrived yet")

    def _find(self, model: type[Kind], kind: str, name: str, version: str) -> Kind:
        key = (kind, name, version or self.version(kind, name))
        known = self._models.get(key)
        if known is None:
            body = self._bodies.get(key)
            if body is None:
                raise RetryLater(f"version {key[2]} of the {kind} {name!r} has not arrived yet")
            known = self._models[key] = _checked(body)
        assert isinstance(known, model)
        return known


def _checked(record: Definition) -> Checked:
    try:
        return from_wire(record)
    except (NewerVersion, NeverRetry) as error:
        # Nobody is refused over it: the mails wait for a renderer that can read it.
        raise RetryLater(str(error)) from error
