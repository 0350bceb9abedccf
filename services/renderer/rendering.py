"""One recipient, one message: token, context, headers. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import escape

from services.renderer.addresses import mailbox
from services.renderer.headers import HeaderFault
from services.renderer.mime import Envelope, assemble
from services.renderer.preparing import Prepared
from services.renderer.template_faults import TemplateFault
from services.renderer.templates import Rendered
from shared.tokens import Token, edition_hash, sign
from shared.wire.batches import Recipient, RenderedMessage

MOST_BYTES: Final = 10 * 1024 * 1024
"""SES slows down for larger ones; it takes 40 MB."""


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
    unsubscribe_url: str
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
        sender = mailbox(
            prepared.variant.from_name or prepared.campaign.from_name,
            prepared.campaign.from_address,
            "From",
        )
        envelope = _envelope(recipient, prepared, bodies, sender, date)
        mail = assemble(envelope, bodies.rendered.text, bodies.rendered.html)
    except (TemplateFault, HeaderFault, NotMailable) as error:
        return refused(recipient, str(error))
    except UnicodeEncodeError:
        return refused(recipient, "characters that cannot be mailed (lone surrogates)")
    if len(mail) > MOST_BYTES:
        return refused(recipient, f"the mail has {len(mail)} bytes, {MOST_BYTES} at most")
    return _entry(recipient, mail=mail, sender=sender.replace("\r\n", ""))


def refused(recipient: Recipient, reason: str) -> RenderedMessage:
    """The entry of a recipient who gets no mail; the ledger and `events` repeat the reason."""
    return _entry(recipient, refusal=reason[:500])


def bodies_for(recipient: Recipient, prepared: Prepared, signing: Signing) -> Bodies:
    """What the template makes of this recipient. Raises TemplateFault or NotMailable."""
    token = _token(recipient, prepared, signing)
    supporter, area = _mapping(recipient, "supporter"), _mapping(recipient, "area")
    tracked = prepared.template.tracked
    unsubscribe_url = f"{signing.tracking_url}/u/{token}"
    rendered = prepared.template.render(
        {
            **prepared.common, "supporter": supporter, "area": area,
            "unsubscribe_url": unsubscribe_url,
            "preferences_url": f"{signing.tracking_url}/p/{token}",
        },
        subject=prepared.variant.subject,
        disclaimer=prepared.disclaimer,
        links=f"{signing.tracking_url}/c/{token}/" if tracked else "",
        pixel=f"{signing.tracking_url}/o/{token}.gif" if tracked and recipient.pixel else "",
    )  # fmt: skip
    return Bodies(rendered, unsubscribe_url, supporter, area)


def what_is_lacking(bodies: Bodies, prepared: Prepared) -> str:
    """What no mail may go without (PECR regulation 23, Elections Act 2022 Part 6), or ""."""
    rendered = bodies.rendered
    html, text = prepared.disclaimer
    wanted = {
        "{{ unsubscribe_url }} in the HTML part": (escape(bodies.unsubscribe_url), rendered.html),
        "{{ unsubscribe_url }} in the text part": (bodies.unsubscribe_url, rendered.text),
        "{{ disclaimer }} in the HTML part": (html, rendered.html),
        "{{ disclaimer }} in the text part": (text, rendered.text),
    }
    missing = [what for what, (words, part) in wanted.items() if words not in part]
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
    if not isinstance(data, Mapping):
        raise NotMailable(f"the merge data called {name} are not fields with values")
    return data


def _envelope(
    recipient: Recipient, prepared: Prepared, bodies: Bodies, sender: str, date: str
) -> Envelope:
    """The nearest Reply-To wins: the send's, the area's, the campaign's."""
    send, campaign = prepared.send, prepared.campaign
    reply_to = send.reply_to or bodies.area.get("reply_to") or campaign.reply_to
    domain = campaign.from_address.rpartition("@")[2]
    return Envelope(
        sender=sender,
        to=mailbox(str(bodies.supporter.get("name") or ""), recipient.to, "To"),
        reply_to=mailbox("", str(reply_to), "Reply-To"),
        subject=bodies.rendered.subject,
        date=date,
        boundary=f"=_{recipient.message_id}",
        extra=(
            ("List-Id", f"<{send.topic}.{campaign.name}.{domain}>"),
            ("List-Unsubscribe", f"<{bodies.unsubscribe_url}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("Feedback-ID", f"{send.name}:{send.topic}:doorstep:{campaign.name}"),
        ),
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
