"""The definitions and orders of the programme, by key, and which version a send goes by.

A send goes by the versions that its newest order pins, so that the link numbers in delivered mails
stay right; a wrong address is mended by an order that pins a mended version. Without an order, the
newest version counts. Holds what it is given; reads no log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from shared.programme.definitions import MODELS, Areas, Campaign, Send, Template, Webhook
from shared.programme.definitions import Definition as Checked
from shared.programme.links import number_template
from shared.tokens import edition_hash, send_hash
from shared.wire.programme import Definition, SendOrder


class Known:
    """One version of one definition, and what is worked out from it once."""

    def __init__(self, definition: Checked) -> None:
        self.definition = definition

    @cached_property
    def hrefs(self) -> tuple[str, ...]:
        """The addresses of a template by link number. Raises BadLinks."""
        if not isinstance(self.definition, Template):
            return ()
        return number_template(self.definition).hrefs

    @cached_property
    def editions(self) -> dict[str, str]:
        """Hash (hex) to edition, for the areas and for people without one."""
        codes = self.definition.by_code if isinstance(self.definition, Areas) else ()
        return {edition_hash(code).hex(): code for code in ("", *codes)}


@dataclass(slots=True)
class Versions:
    """Everything on the programme topic that links and events need."""

    definitions: dict[str, Known] = field(default_factory=dict)
    orders: dict[str, SendOrder] = field(default_factory=dict)
    sends: dict[str, str] = field(default_factory=dict)

    def define(self, key: str, data: Definition) -> None:
        """Take a definition. Raises pydantic.ValidationError when its body does not fit."""
        self.definitions[key] = Known(MODELS[data.kind].model_validate(data.body))
        if data.kind == "send":
            self.sends[send_hash(data.name).hex()] = data.name

    def order(self, data: SendOrder) -> None:
        """Take an order; the newest counts."""
        self.orders[data.send_id] = data
        self.sends[send_hash(data.send_id).hex()] = data.send_id

    def send(self, hashed: str) -> Send | None:
        """The send behind the hash of a token, hex."""
        name = self.sends.get(hashed)
        known = self._pinned(name, "send", name) if name is not None else None
        return known.definition if known and isinstance(known.definition, Send) else None

    def template(self, send: Send, variant: int) -> Known | None:
        """The template of a variant, by its index."""
        if not 0 <= variant < len(send.variants):
            return None
        known = self._pinned(send.name, "template", send.variants[variant].template)
        return known if known and isinstance(known.definition, Template) else None

    def areas(self, send: Send) -> Known | None:
        """The area data that the send uses, if any."""
        known = self._pinned(send.name, "areas", send.areas) if send.areas else None
        return known if known and isinstance(known.definition, Areas) else None

    def campaign(self, send: Send) -> Campaign | None:
        """The campaign that the send's order pins; without an order, the one there is."""
        order = self.orders.get(send.name)
        for key in order.pinned if order is not None else ():
            kind, _, name = key.partition("/")
            if kind == "campaign":
                known = self._pinned(send.name, kind, name)
                found = known.definition if known else None
                return found if isinstance(found, Campaign) else None
        every = (known.definition for known in self.definitions.values())
        return next((one for one in every if isinstance(one, Campaign)), None)

    def newest_campaign(self, campaign: Campaign) -> Campaign:
        """The campaign of that name as it is now."""
        known = self.definitions.get(f"definition/campaign/{campaign.name}")
        newest = known.definition if known is not None else None
        return newest if isinstance(newest, Campaign) else campaign

    def webhooks(self) -> tuple[Webhook, ...]:
        """Of the newest version of every campaign."""
        return tuple(
            webhook
            for key, known in sorted(self.definitions.items())
            if key.startswith("definition/campaign/") and "@" not in key
            if isinstance(known.definition, Campaign)
            for webhook in known.definition.webhooks
        )

    def _pinned(self, send_id: str, kind: str, name: str) -> Known | None:
        newest = f"definition/{kind}/{name}"
        order = self.orders.get(send_id)
        if order is None:
            return self.definitions.get(newest)
        version = order.pinned.get(f"{kind}/{name}", "")
        if kind == "send":
            version = version or order.definition_version
        return self.definitions.get(f"{newest}@{version}") or self.definitions.get(newest)
