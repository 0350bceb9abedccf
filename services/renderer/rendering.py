"""One recipient, one message: token, context, headers. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.renderer.addresses import mailbox
from services.renderer.headers import HeaderFault
from services.renderer.limits import MOST_BYTES
from services.renderer.mime import assemble
from services.renderer.preparing import Prepared
from services.renderer.quoted_printable import shows
from services.renderer.template_faults import TemplateFault
from services.renderer.templates import Printed, Rendered
from shared.tokens import Token, edition_hash, sign
from shared.wire.batches import Recipient, RenderedMessage


class NotMailable(Exception):
    """This recipient's data cannot become a mail. Says why, and never repeats the data."""


@dataclass(frozen=True, slots=True)
class Signing:
    """Where links point, and the key that signs tokens."""

    tracking_url: str
    key_id: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Bodies:
    """Both bodies of one mail, its subject, and the address that unsubscribes."""

    rendered: Rendered
    unsubscribe_url: Printed
    supporter: Mapping[str, Any]
    area: Mapping[str, Any]


def render(
    recipient: Recipient, prepared: Prepared, signing: Signing, date: str
) -> RenderedMessage:
    """The message, or a refusal with a plain sentence when it cannot be made for this recipient.

    `date` is the Date header (RFC 5322); SES puts its own in its place.
    """
    try:
        bodies = bodies_for(recipient, prepared, signing)
        lacking = what_is_lacking(bodies, prepared)
        if lacking:
            raise NotMailable(f"template {prepared.template.name}: {lacking}")
        mail = _assembled(recipient, prepared, bodies, date)
    except (TemplateFault, HeaderFault, NotMailable) as error:
        return refused(recipient, str(error))
    if len(mail) > MOST_BYTES:
        return refused(recipient, f"the mail has {len(mail)} bytes, {MOST_BYTES} at most")
    return _entry(recipient, mail=mail, sender=prepared.skeleton.sender.replace("\r\n", ""))


def refused(recipient: Recipient, reason: str) -> RenderedMessage:
    """The entry of a recipient who gets no mail; the ledger and `events` repeat the reason."""
    return _entry(recipient, refusal=reason[:500])


def bodies_for(recipient: Recipient, prepared: Prepared, signing: Signing) -> Bodies:
    """What the template makes of this recipient. Raises TemplateFault or NotMailable."""
    token = _token(recipient, prepared, signing)
    supporter, area = _mapping(recipient, "supporter"), _mapping(recipient, "area")
    tracked = prepared.template.tracked
    unsubscribe_url = Printed(f"{signing.tracking_url}/u/{token}")
    rendered = prepared.template.render(
        {
            **prepared.common, "supporter": supporter, "area": area,
            "preferences_url": f"{signing.tracking_url}/p/{token}",
        },
        subject=prepared.variant.subject,
        disclaimer=prepared.disclaimer,
        unsubscribe_url=unsubscribe_url,
        links=Printed(f"{signing.tracking_url}/c/{token}/" if tracked else ""),
        pixel=f"{signing.tracking_url}/o/{token}.gif" if tracked and recipient.pixel else "",
    )  # fmt: skip
    return Bodies(rendered, unsubscribe_url, supporter, area)


def what_is_lacking(bodies: Bodies, prepared: Prepared) -> str:
    """What no mail may go without (PECR regulation 23, Elections Act 2022 Part 6), or ""."""
    html, text = bodies.rendered.html, bodies.rendered.text
    url, disclaimer = bodies.unsubscribe_url, prepared.disclaimer
    wanted = {
        "{{ unsubscribe_url }} in the HTML part": shows(html, url.html),
        "{{ unsubscribe_url }} in the text part": shows(text, url.text),
        "{{ disclaimer }} in the HTML part": shows(html, disclaimer.html),
        "{{ disclaimer }} in the text part": shows(text, disclaimer.text),
    }
    missing = [what for what, there in wanted.items() if not there]
    return f"there is no {' and no '.join(missing)}" if missing else ""


def _token(recipient: Recipient, prepared: Prepared, signing: Signing) -> str:
    """One signature a mail: all its links, its pixel and its way out carry the same token."""
    token = Token(
        recipient.supporter_id,
        prepared.send_hash,
        recipient.occurrence,
        prepared.variant_number,
        edition_hash(recipient.edition),
    )
    try:
        return sign(token, signing.key_id, signing.key)
    except (ValueError, struct.error) as error:
        raise NotMailable(
            "supporter_id, occurrence or variant do not fit a tracking token"
        ) from error


def _mapping(recipient: Recipient, name: str) -> Mapping[str, Any]:
    data = recipient.merge.get(name, {})
    if not isinstance(data, dict):
        raise NotMailable(f"the merge data called {name} are not fields with values")
    return data


def _assembled(recipient: Recipient, prepared: Prepared, bodies: Bodies, date: str) -> str:
    """The nearest Reply-To wins: the send's, the area's, the campaign's. Raises HeaderFault."""
    reply_to = prepared.send.reply_to or bodies.area.get("reply_to") or prepared.campaign.reply_to
    return assemble(
        prepared.skeleton,
        to=mailbox(str(bodies.supporter.get("name") or ""), recipient.to, "To"),
        reply_to=mailbox("", str(reply_to), "Reply-To"),
        subject=bodies.rendered.subject,
        date=date,
        unsubscribe_url=bodies.unsubscribe_url.text,
        text=bodies.rendered.text,
        html=bodies.rendered.html,
    )


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
