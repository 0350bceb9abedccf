"""One recipient, one message: context, token, headers. Pure but for the caches it is given."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from services.renderer.book import Book
from services.renderer.disclaimers import disclaimer_html, disclaimer_text
from services.renderer.mime import Envelope, HeaderFault, assemble, mailbox
from services.renderer.templates import CompiledTemplate, TemplateFault
from shared.programme.definitions import Campaign, Send, Variant
from shared.tokens import Token, edition_hash, send_hash, sign
from shared.wire.batches import Recipient, RenderedMessage

MOST_BYTES = 10 * 1024 * 1024
VERSIONS_IN_MEMORY = 64


@dataclass(frozen=True, slots=True)
class Signing:
    """Where links point, and the key that signs tokens."""

    tracking_url: str
    key_id: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Prepared:
    """All of a message that does not depend on the recipient."""

    send: Send
    variant: Variant
    variant_number: int
    campaign: Campaign
    template: CompiledTemplate
    disclaimer: tuple[Markup, str]
    common: Mapping[str, Any]
    send_hash: bytes


class Preparer:
    """Prepares each (send, campaign, template, variant) once, and keeps the latest."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._prepared: OrderedDict[tuple[str, ...], Prepared] = OrderedDict()

    def prepared_for(self, recipient: Recipient) -> Prepared:
        """Raises RetryLater while a definition has not arrived, TemplateFault when it is broken."""
        key = (
            recipient.send_id, recipient.send_version, recipient.campaign_version,
            recipient.template_version, recipient.variant,
        )  # fmt: skip
        known = self._prepared.get(key)
        if known is None:
            known = self._prepare(recipient)
            if recipient.template_version and recipient.campaign_version:
                self._prepared[key] = known
                if len(self._prepared) > VERSIONS_IN_MEMORY:
                    self._prepared.popitem(last=False)
        return known

    def _prepare(self, recipient: Recipient) -> Prepared:
        send = self._book.send(recipient.send_id, recipient.send_version)
        campaign = self._book.campaign(recipient.campaign_version)
        number = next(
            (n for n, one in enumerate(send.variants) if one.name == recipient.variant), None
        )
        if number is None:
            raise TemplateFault(f"send {send.name} has no variant {recipient.variant!r}")
        variant = send.variants[number]
        template = self._book.template(variant.template, recipient.template_version)
        return prepare(send, number, campaign, CompiledTemplate(template))


def prepare(send: Send, number: int, campaign: Campaign, template: CompiledTemplate) -> Prepared:
    """What is the same for every recipient of a variant."""
    fields = campaign.model_dump(exclude={"configuration_set", "disclaimer"})
    return Prepared(
        send=send,
        variant=send.variants[number],
        variant_number=number,
        campaign=campaign,
        template=template,
        disclaimer=(disclaimer_html(campaign), disclaimer_text(campaign)),
        common={"campaign": fields, "send": {"name": send.name, "deadline": send.deadline}},
        send_hash=send_hash(send.name),
    )


def render(
    recipient: Recipient, prepared: Prepared, signing: Signing, date: str
) -> RenderedMessage:
    """The message, or a refusal with a plain sentence when it cannot be made for this recipient.

    `date` is the Date header (RFC 5322); SES puts its own in its place.
    """
    try:
        mail, sender = _mail(recipient, prepared, signing, date)
    except (TemplateFault, HeaderFault) as error:
        return _entry(recipient, refusal=str(error)[:500])
    except UnicodeEncodeError:
        return _entry(recipient, refusal="characters that cannot be mailed (lone surrogates)")
    if len(mail) > MOST_BYTES:
        return _entry(recipient, refusal=f"the mail has {len(mail)} bytes, {MOST_BYTES} at most")
    return _entry(recipient, mail=mail, sender=sender)


def _mail(
    recipient: Recipient, prepared: Prepared, signing: Signing, date: str
) -> tuple[str, str]:
    send, campaign, variant = prepared.send, prepared.campaign, prepared.variant
    token = sign(
        Token(
            recipient.supporter_id, prepared.send_hash, recipient.occurrence,
            prepared.variant_number, edition_hash(recipient.edition),
        ),
        signing.key_id,
        signing.key,
    )  # fmt: skip
    links = f"{signing.tracking_url}/c/{token}/"
    unsubscribe = f"{signing.tracking_url}/u/{token}"
    pixel = f"{signing.tracking_url}/o/{token}.gif" if recipient.pixel else ""
    area = recipient.merge.get("area", {})
    supporter = recipient.merge.get("supporter", {})
    rendered = prepared.template.render(
        {
            **prepared.common, "supporter": supporter, "area": area,
            "unsubscribe_url": unsubscribe,
        },
        variant.subject or None,
        prepared.disclaimer,
        lambda number: f"{links}{number}",
        pixel,
    )  # fmt: skip
    sender = mailbox(variant.from_name or campaign.from_name, campaign.from_address, "From")
    reply_to = send.reply_to or area.get("reply_to") or campaign.reply_to
    envelope = Envelope(
        sender=sender,
        to=mailbox(str(supporter.get("name") or ""), recipient.to, "To"),
        reply_to=mailbox("", str(reply_to), "Reply-To"),
        subject=rendered.subject,
        date=date,
        boundary=f"=_{recipient.message_id}",
        extra=(
            ("List-Id", f"<{send.topic}.{campaign.name}.{campaign.from_address.partition('@')[2]}>"),
            ("List-Unsubscribe", f"<{unsubscribe}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("Feedback-ID", f"{send.name}:{send.topic}:doorstep:{campaign.name}"),
        ),
    )
    return assemble(envelope, rendered.text, rendered.html), sender


def _entry(
    recipient: Recipient, *, mail: str | None = None, sender: str = "", refusal: str | None = None
) -> RenderedMessage:
    return RenderedMessage(
        message_id=recipient.message_id,
        send_id=recipient.send_id,
        occurrence=recipient.occurrence,
        variant=recipient.variant,
        edition=recipient.edition,
        supporter_id=recipient.supporter_id,
        address_key=recipient.address_key,
        to=recipient.to,
        sender=sender,
        topic=recipient.topic,
        priority=recipient.priority,
        deadline=recipient.deadline,
        per_inbox=recipient.per_inbox,
        resend_unconfirmed=recipient.resend_unconfirmed,
        mail=mail,
        refusal=refusal,
    )
