"""The renderer's view of the programme table: definitions by kind, name and version."""

from __future__ import annotations

from typing import TypeVar

from shared.errors import NeverRetry, RetryLater
from shared.log.record import Stored
from shared.observability.logs import Journal
from shared.programme.definitions import Areas, Campaign, Checked, Send, Template
from shared.wire.cloudevents import decode
from shared.wire.programme import Definition

Kind = TypeVar("Kind", bound=Checked)


class Book:
    """Every version that the topic still holds; lookups give checked models, cached."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], str] = {}
        self._bodies: dict[tuple[str, str, str], Definition] = {}
        self._models: dict[tuple[str, str, str], Checked] = {}
        self._journal = Journal("renderer.book")

    def apply(self, stored: Stored) -> None:
        """One record of the programme topic; what cannot be read is said and left out."""
        if stored.value is None:
            return
        try:
            data = decode(stored).data
        except NeverRetry as error:
            self._journal.error("renderer.programme_unreadable", reason=str(error))
            return
        if isinstance(data, Definition):
            self._bodies[data.kind, data.name, data.version] = data
            if b"@" not in (stored.key or b""):
                self._newest[data.kind, data.name] = data.version

    def send(self, name: str, version: str = "") -> Send:
        return self._find(Send, "send", name, version)

    def template(self, name: str, version: str = "") -> Template:
        return self._find(Template, "template", name, version)

    def areas(self, name: str, version: str = "") -> Areas:
        return self._find(Areas, "areas", name, version)

    def campaign(self, version: str = "") -> Campaign:
        """The campaign; there is one."""
        for kind, name in self._newest:
            if kind == "campaign":
                return self._find(Campaign, "campaign", name, version)
        raise RetryLater("the campaign's definition has not arrived yet")

    def version(self, kind: str, name: str) -> str:
        """The newest version. Raises RetryLater."""
        try:
            return self._newest[kind, name]
        except KeyError:
            raise RetryLater(f"the {kind} {name!r} has not arrived yet") from None

    def _find(self, model: type[Kind], kind: str, name: str, version: str) -> Kind:
        key = (kind, name, version or self.version(kind, name))
        known = self._models.get(key)
        if known is None:
            body = self._bodies.get(key)
            if body is None:
                raise RetryLater(f"version {key[2]} of the {kind} {name!r} has not arrived yet")
            known = self._models[key] = model.model_validate(body.body)
        assert isinstance(known, model)
        return known
