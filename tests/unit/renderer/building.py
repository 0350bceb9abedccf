"""Builders: a campaign, a template, a send, a recipient, each with one thing changed."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

from services.renderer.book import Book
from services.renderer.preparing import Prepared, prepare
from services.renderer.rendering import Signing, render
from services.renderer.templates import CompiledTemplate
from shared.log.record import Stored
from shared.programme.definitions import (
    Campaign,
    Definition,
    Disclaimer,
    Send,
    Template,
    Variant,
    kind_of,
)
from shared.programme.versions import to_wire
from shared.wire.batches import Recipient, RenderedMessage
from shared.wire.cloudevents import encode

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
KEY = b"k" * 32
SIGNING = Signing("https://t.example.org", 3, KEY)
DATE = "Mon, 04 May 2026 09:00:00 +0000"
SUPPORTER = "0b8f0a52-5d1c-8c0e-9d5c-3f0a3a5b6c7d"
MESSAGE = "7a0d2f52-1111-5222-8333-444455556666"
HTML = (
    "<html><body><p>Hello {{ supporter.first_name }}</p>"
    "<a href=\"https://example.org/{{ area.slug }}?a=1&amp;b=2\">one</a> <a href='https://two.example.org'>two</a>"
    '<p><a href="{{ unsubscribe_url }}">no more</a></p>{{ disclaimer }}</body></html>'
)
TEXT = (
    "Hello {{ supporter.first_name }}\nhttps://two.example.org\n"
    "{{ unsubscribe_url }}\n{{ disclaimer }}"
)
OWED = "{{ unsubscribe_url }} {{ disclaimer }}"
"""What no part may go without."""


def a_campaign(**changes: Any) -> Campaign:
    values: dict[str, Any] = {
        "name": "river", "organisation": "River Town", "from_name": "River Town",
        "from_address": "hello@river.example.org", "reply_to": "office@river.example.org",
        "postal_address": "1 Quay, River Town",
        "disclaimer": Disclaimer(
            jurisdiction="uk", promoter="A. Promoter", promoter_address="2 Quay",
            on_behalf_of="River & Town", on_behalf_of_address="3 Quay",
        ),
    }  # fmt: skip
    return Campaign(**(values | changes))


def a_template(**changes: Any) -> Template:
    values = {
        "name": "ask",
        "subject": "For {{ supporter.first_name }}",
        "html": HTML,
        "text": TEXT,
    }
    return Template(**(values | changes))


def a_send(**changes: Any) -> Send:
    values: dict[str, Any] = {
        "name": "ask", "segment": "all", "variants": (Variant(name="a", template="ask"),),
    }  # fmt: skip
    return Send(**(values | changes))


def a_recipient(first_name: str = "Ada", **changes: Any) -> Recipient:
    values: dict[str, Any] = {
        "message_id": MESSAGE, "send_id": "ask", "send_version": "1", "variant": "a",
        "supporter_id": SUPPORTER, "address_key": "0" * 32, "to": "ada@example.org",
        "edition": "FK1 1",
        "merge": {
            "supporter": {"first_name": first_name, "name": f"{first_name} Byron",
                          "attributes": {}, "postcode": "FK1 1AA"},
            "area": {"slug": "fk1-1"},
        },
    }  # fmt: skip
    return Recipient(**(values | changes))


def prepared(
    template: Template | None = None,
    send: Send | None = None,
    campaign: Campaign | None = None,
    *,
    tracked: bool = True,
) -> Prepared:
    compiled = CompiledTemplate(template or a_template(), tracked=tracked)
    return prepare(send or a_send(), 0, campaign or a_campaign(), compiled)


def made(recipient: Recipient | None = None, **parts: Any) -> RenderedMessage:
    return render(recipient or a_recipient(), prepared(**parts), SIGNING, DATE)


def parsed(message: RenderedMessage) -> EmailMessage:
    assert message.mail is not None, message.refusal
    found = email.message_from_bytes(message.mail.encode("ascii"), policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content


def a_book(*definitions: Definition) -> Book:
    """A book to which these were applied, one after the other."""
    book = Book()
    for definition in definitions:
        apply(book, definition)
    return book


def apply(book: Book, definition: Definition) -> None:
    """As the console does: once under the key of the version, once under that of the newest."""
    key = f"definition/{kind_of(definition)}/{definition.name}"
    for each in (f"{key}@{definition.version()}", key):
        record = encode(
            to_wire(definition, NOW), id="1", source="t", subject="s", time=NOW,
            topic="programme", partition=0, key=each,
        )  # fmt: skip
        book.apply(Stored("programme", 0, 0, record.key, record.value, record.headers, 0))


def pinned(recipient: Recipient, send: Send, campaign: Campaign, template: Template) -> Recipient:
    """The recipient with the versions that were approved."""
    return recipient.model_copy(
        update={
            "send_version": send.version(), "campaign_version": campaign.version(),
            "template_version": template.version(),
        }
    )  # fmt: skip
