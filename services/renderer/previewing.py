"""One mail as somebody would get it, for people to look at, of which no link does anything.

Nothing in it is about the person but what the mail says: the tokens stand for nobody, are signed
with a key that is thrown away, and lead to a page of the tracker that does nothing. Links are as
they were written, and nobody counts them.
"""

from __future__ import annotations

import email
import email.policy
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Final

from services.renderer.book import Book
from services.renderer.preparing import Prepared, Preparer
from services.renderer.rendering import Signing, render
from services.renderer.template_faults import TemplateFault
from shared.programme.definitions import Send, Template
from shared.programme.template_language import compiled
from shared.wire.batches import Recipient

NOBODY: Final = str(uuid.UUID(int=0))
SOMEWHERE: Final = "somebody@example.org"
"""Where a mail for nobody in particular seems to go."""

INERT: Final = "/preview"
"""What stands between the tracker's address and a path: there it does nothing."""


_AS_WRITTEN: Final = email.policy.SMTP.clone(refold_source="none")
"""Headers are ours and stay as they are: the library would encode a long List-Unsubscribe."""


class NoPreview(Exception):
    """The mail cannot be made; says why."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A mail to look at. `mail`: the whole message (RFC 5322), ASCII; the rest is read from it."""

    mail: str
    sender: str
    subject: str
    from_: str
    to: str
    reply_to: str
    preheader: str
    text: str
    html: str
    variant: str
    edition: str

    def as_json(self) -> dict[str, str]:
        return {name.rstrip("_"): getattr(self, name) for name in self.__slots__}


def inert(signing: Signing) -> Signing:
    """A signing whose tokens act for nobody, anywhere: see the head of this module."""
    return Signing(f"{signing.tracking_url}{INERT}", 0, secrets.token_bytes(32))


def for_nobody(recipient: Recipient) -> Recipient:
    """The same mail without the ids of the person, and without links and pixel that are tracked."""
    return recipient.model_copy(
        update={
            "supporter_id": NOBODY, "message_id": NOBODY, "address_key": "0" * 32, "pixel": False,
            "tracked": False, "to": recipient.to or SOMEWHERE,
        }
    )  # fmt: skip


def sample(
    send: Send, variant: str, edition: str, area: Mapping[str, Any], supporter: Mapping[str, Any]
) -> Recipient:
    """A recipient who is made up."""
    return Recipient(
        message_id=NOBODY, send_id=send.name, send_version="", variant=variant, edition=edition,
        supporter_id=NOBODY, address_key="0" * 32, to=SOMEWHERE, topic=send.topic, pixel=False,
        merge={"supporter": dict(supporter), "area": dict(area)},
    )  # fmt: skip


def preview(book: Book, recipient: Recipient, signing: Signing, date: str) -> Preview:
    """The mail. Raises NoPreview, and RetryLater while a definition has not arrived."""
    shown, harmless = for_nobody(recipient), inert(signing)
    try:
        prepared = Preparer(book).prepared_for(shown)
    except TemplateFault as error:
        raise NoPreview(str(error)) from error
    entry = render(shown, prepared, harmless, date)
    if entry.mail is None:
        raise NoPreview(entry.refusal or "")
    template = book.template(prepared.variant.template, shown.template_version)
    message = read_mail(entry.mail)
    return Preview(
        mail=entry.mail,
        sender=entry.sender,
        subject=str(message["Subject"]),
        from_=str(message["From"]),
        to=str(message["To"]),
        reply_to=str(message["Reply-To"]),
        preheader=_preheader(template, prepared, shown),
        text=body_of(message, "plain"),
        html=body_of(message, "html"),
        variant=shown.variant,
        edition=shown.edition,
    )


def read_mail(mail: str) -> EmailMessage:
    """The message, parsed."""
    found = email.message_from_string(mail, EmailMessage, policy=_AS_WRITTEN)
    assert isinstance(found, EmailMessage)
    return found


def body_of(message: EmailMessage, subtype: str) -> str:
    """The text of one of the two bodies, lines ended by a line feed."""
    part = message.get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def _preheader(template: Template, prepared: Prepared, recipient: Recipient) -> str:
    return compiled(template.preheader).render({**prepared.common, **recipient.merge})
