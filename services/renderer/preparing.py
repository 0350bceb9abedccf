"""What is the same for every recipient of a variant, prepared once and kept.

Keyed by the versions that were approved: another version is another entry, never a change of one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from services.renderer.addresses import mailbox
from services.renderer.book import Book
from services.renderer.disclaimers import disclaimer_html, disclaimer_text
from services.renderer.headers import HeaderFault
from services.renderer.mime import Skeleton, skeleton
from services.renderer.template_faults import TemplateFault
from services.renderer.templates import CompiledTemplate, Printed
from shared.programme.definitions import Campaign, Send, Template, Variant
from shared.programme.template_language import CAMPAIGN_FIELDS
from shared.tokens import send_hash
from shared.wire.batches import Recipient

TEMPLATES_IN_MEMORY: Final = 256
VARIANTS_IN_MEMORY: Final = 4_096

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Prepared:
    """All of a message that does not depend on the recipient."""

    send: Send
    variant: Variant
    variant_number: int
    campaign: Campaign
    template: CompiledTemplate
    disclaimer: Printed
    skeleton: Skeleton
    common: Mapping[str, Any]
    send_hash: bytes


def prepare(send: Send, number: int, campaign: Campaign, template: CompiledTemplate) -> Prepared:
    """For the variant of that number, from 0. Raises TemplateFault for a sender or a name that
    cannot stand in a header.
    """
    fields = campaign.model_dump(include=set(CAMPAIGN_FIELDS))
    variant = send.variants[number]
    try:
        frame = _skeleton(send, variant, campaign)
    except HeaderFault as error:
        raise TemplateFault(str(error)) from error
    return Prepared(
        send=send,
        variant=variant,
        variant_number=number,
        campaign=campaign,
        template=template,
        disclaimer=Printed(disclaimer_text(campaign), disclaimer_html(campaign)),
        skeleton=frame,
        common={"campaign": fields, "send": {"name": send.name, "deadline": send.deadline}},
        send_hash=send_hash(send.name),
    )


def _skeleton(send: Send, variant: Variant, campaign: Campaign) -> Skeleton:
    sender = mailbox(variant.from_name or campaign.from_name, campaign.from_address, "From")
    domain = campaign.from_address.rpartition("@")[2]
    return skeleton(
        sender,
        (
            ("List-Id", f"<{send.topic}.{campaign.name}.{domain}>"),
            ("Feedback-ID", f"{send.name}:{send.topic}:doorstep:{campaign.name}"),
        ),
    )


class Preparer:
    """Prepares each pinned variant once, and compiles each template version once."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._prepared: _Latest[Prepared] = _Latest(VARIANTS_IN_MEMORY)
        self._compiled: _Latest[CompiledTemplate] = _Latest(TEMPLATES_IN_MEMORY)

    def prepared_for(self, recipient: Recipient) -> Prepared:
        """Raises RetryLater while a definition has not arrived, TemplateFault when it is broken."""
        pins = _Pins(
            recipient.send_id,
            recipient.send_version or self._book.version("send", recipient.send_id),
            recipient.campaign_version or self._book.campaign_version(),
            recipient.template_version,
            recipient.variant,
            recipient.tracked,
        )
        if not pins.template_version:
            pins = self._with_newest_template(pins)
        return self._prepared.get(pins, lambda: self._prepare(pins))

    def _with_newest_template(self, pins: _Pins) -> _Pins:
        send = self._book.send(pins.send_id, pins.send_version)
        template = send.variants[_number(send, pins.variant)].template
        return pins._replace(template_version=self._book.version("template", template))

    def _prepare(self, pins: _Pins) -> Prepared:
        send = self._book.send(pins.send_id, pins.send_version)
        campaign = self._book.campaign(pins.campaign_version)
        number = _number(send, pins.variant)
        template = self._book.template(send.variants[number].template, pins.template_version)
        return prepare(send, number, campaign, self._compile(template, pins))

    def _compile(self, template: Template, pins: _Pins) -> CompiledTemplate:
        key = (template.name, pins.template_version, pins.tracked)
        return self._compiled.get(key, lambda: CompiledTemplate(template, tracked=pins.tracked))


class _Pins(NamedTuple):
    """One variant exactly as it was approved; its links tracked or not."""

    send_id: str
    send_version: str
    campaign_version: str
    template_version: str
    variant: str
    tracked: bool


def _number(send: Send, variant: str) -> int:
    for number, one in enumerate(send.variants):
        if one.name == variant:
            return number
    raise TemplateFault(f"send {send.name} has no variant {variant!r}")


class _Latest(Generic[Kept]):
    """The entries used last. A fault is kept too: it would cost the same again per recipient."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[Hashable, Kept | TemplateFault] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """The entry, made if need be. Raises what `make` raises, a TemplateFault every time."""
        entry = self._entries.get(key)
        if entry is None:
            try:
                entry = make()
            except TemplateFault as error:
                entry = error
            self._entries[key] = entry
            if len(self._entries) > self._most:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(key)
        if isinstance(entry, TemplateFault):
            raise TemplateFault(str(entry))
        return entry
