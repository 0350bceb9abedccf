"""A mail to look at: what the person would read, and nothing in it that acts for anybody."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage

import pytest

from services.renderer.previewing import NoPreview, Preview, preview, sample
from shared.programme.definitions import Variant
from shared.tokens import BadToken, verify
from tests.unit.renderer.building import (
    DATE,
    KEY,
    SIGNING,
    SUPPORTER,
    a_book,
    a_campaign,
    a_recipient,
    a_send,
    a_template,
    body,
)

PREHEADER = "Come to {{ area.slug }}"


def made(**parts: str) -> Preview:
    book = a_book(a_campaign(), a_send(), a_template(preheader=PREHEADER, **parts))
    recipient = a_recipient("Zoë", send_version="", pixel=True)
    return preview(book, recipient, SIGNING, DATE)


def parsed(found: Preview) -> EmailMessage:
    message = email.message_from_string(found.mail, EmailMessage, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_it_says_what_the_person_would_read() -> None:
    found = made()
    assert (found.subject, found.from_) == ("For Zoë", "River Town <hello@river.example.org>")
    assert (found.to, found.reply_to) == ("Zoë Byron <ada@example.org>", "office@river.example.org")
    assert found.preheader == "Come to fk1-1"
    assert "Hello Zoë" in found.text
    assert "Hello Zoë" in found.html
    message = parsed(found)
    assert message.defects == []
    assert f"\r\nList-Unsubscribe: <{SIGNING.tracking_url}/preview/u/" in found.mail
    assert body(message, "html").split() == found.html.split()
    assert body(message, "plain").split() == found.text.split()
    assert found.mail.isascii()


def test_links_lead_straight_to_where_they_lead() -> None:
    found = made()
    assert 'href="https://example.org/fk1-1?a=1&amp;b=2"' in found.html
    assert "https://two.example.org" in found.text
    for part in (found.html, found.text):
        assert "/c/" not in part
        assert "/o/" not in part, "a look at a preview is no open"


def test_the_way_out_acts_for_nobody() -> None:
    found = made()
    headers = str(parsed(found)["List-Unsubscribe"])
    whole = f"{headers}\n{found.html}\n{found.text}"
    tokens = set(re.findall(r"https://t\.example\.org/(\S*?)/([A-Za-z0-9_-]{59})", whole))
    assert len(tokens) == 1, "the header and both parts have the same"
    assert {path for path, _ in tokens} == {"preview/u"}, "where the tracker does nothing"
    for _, token in tokens:
        for key_id in (0, SIGNING.key_id):
            with pytest.raises(BadToken):
                verify(token, {key_id: KEY})
    assert SUPPORTER not in found.mail + whole


def test_two_previews_do_not_share_a_token() -> None:
    assert made().text != made().text


def test_a_made_up_person_in_another_variant() -> None:
    send = a_send(variants=(Variant(name="a", template="ask"), Variant(name="b", template="ask")))
    recipient = sample(send, "b", "", {"slug": "x"}, {"first_name": "Ailsa", "name": ""})
    found = preview(a_book(a_campaign(), send, a_template()), recipient, SIGNING, DATE)
    assert (found.subject, found.variant, found.to) == ("For Ailsa", "b", "somebody@example.org")
    with pytest.raises(NoPreview, match="has no variant 'c'"):
        preview(
            a_book(a_campaign(), send, a_template()), recipient.model_copy(update={"variant": "c"}),
            SIGNING, DATE,
        )  # fmt: skip


def test_what_cannot_be_made_is_said() -> None:
    with pytest.raises(NoPreview, match="there is no field 'nickname'"):
        made(subject="{{ supporter.nickname }}")
