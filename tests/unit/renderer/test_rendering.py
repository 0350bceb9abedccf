"""A recipient and a template become one message: links, pixel, disclaimer, refusals."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.renderer.rendering import render
from shared.programme.definitions import Disclaimer, Variant
from shared.programme.links import HIDDEN_LINK
from shared.tokens import edition_hash, send_hash, verify
from tests.unit.renderer.building import (
    DATE,
    HTML,
    KEY,
    OWED,
    SIGNING,
    SUPPORTER,
    a_campaign,
    a_recipient,
    a_send,
    a_template,
    body,
    made,
    parsed,
    prepared,
)

IN_ATTRIBUTE = prepared(
    a_template(subject="Hello", html=HTML.replace("<p>", '<p title="{{ supporter.first_name }}">'))
)


class Page(HTMLParser):
    """The links, images and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "a":
            self.links.append(values.get("href") or "")
        if tag == "img":
            self.images.append(values.get("src") or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_headers_say_who_and_how_to_stop() -> None:
    message = parsed(made())
    assert message["From"] == "River Town <hello@river.example.org>"
    assert message["To"] == "Ada Byron <ada@example.org>"
    assert message["Subject"] == "For Ada"
    assert message["Reply-To"] == "office@river.example.org"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert re.fullmatch(r"<https://t\.example\.org/u/[\w-]{59}>", message["List-Unsubscribe"])
    assert message["List-Id"] == "<campaign.river.river.example.org>"
    for once in ("From", "To", "Subject", "Date", "List-Unsubscribe", "MIME-Version"):
        assert len(message.get_all(once, [])) == 1


def test_every_link_goes_through_the_tracker_with_a_token_that_verifies() -> None:
    message = parsed(made())
    page = Page(body(message, "html"))
    tracked = [re.fullmatch(r"https://t\.example\.org/c/([\w-]{59})/(\d+)", x) for x in page.links]
    numbers = [match.group(2) if match else None for match in tracked]
    assert numbers == ["0", "1", None, str(HIDDEN_LINK)]
    assert tracked[0] is not None
    token = verify(tracked[0].group(1), {3: KEY})
    assert token.supporter_id == SUPPORTER
    assert token.send_hash == send_hash("ask")
    assert token.edition_hash == edition_hash("FK1 1")
    assert token.variant == 0
    assert page.links[2].startswith("https://t.example.org/u/")
    assert "https://two.example.org" not in body(message, "plain")
    assert f"/c/{tracked[0].group(1)}/1" in body(message, "plain")


def test_the_pixel_is_there_only_when_it_may_be() -> None:
    assert len(Page(body(parsed(made()), "html")).images) == 1
    assert Page(body(parsed(made(a_recipient(pixel=False))), "html")).images == []


@pytest.mark.parametrize(
    ("disclaimer", "words"),
    [
        (
            Disclaimer(jurisdiction="uk", promoter="P. Rom", promoter_address="1 Lane"),
            "Promoted by P. Rom, 1 Lane.",
        ),
        (Disclaimer(jurisdiction="us"), "Paid for by River Town\n1 Quay, River Town"),
        (Disclaimer(jurisdiction="none", reason="a club"), "River Town, 1 Quay, River Town"),
    ],
)
def test_the_disclaimer_stands_in_both_parts(disclaimer: Disclaimer, words: str) -> None:
    message = parsed(made(campaign=a_campaign(disclaimer=disclaimer)))
    assert words in body(message, "plain").replace("\r\n", "\n")
    assert words.replace("\n", "<br>") in body(message, "html")


def test_a_disclaimer_is_escaped_in_html_and_not_in_text() -> None:
    message = parsed(made())
    assert "on behalf of River &amp; Town, 3 Quay." in body(message, "html")
    assert "on behalf of River & Town, 3 Quay." in body(message, "plain")


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@example("</p></body><script>alert(1)</script>")
@example('" onmouseover="x" <!-- ')
@example("{{ campaign }} {% raw %} &amp; &lt;")
def test_a_name_is_text_in_html_whatever_it_contains(name: str) -> None:
    recipient = a_recipient(merge={"supporter": {"first_name": name}, "area": {"slug": "s"}})
    page = Page(body(parsed(render(recipient, IN_ATTRIBUTE, SIGNING, DATE)), "html"))
    plain = Page(body(parsed(render(a_recipient(), IN_ATTRIBUTE, SIGNING, DATE)), "html"))
    assert page.tags == plain.tags
    assert page.links == plain.links
    assert page.images == plain.images
    words = "".join(page.words).replace("\r\n", "\n").replace("\r", "\n")
    assert f"Hello {name}".replace("\r\n", "\n").replace("\r", "\n") in words


@pytest.mark.parametrize("evil", ["Ada\r\nBcc: all@example.org", "Ada\nX: y", "Ada\x00"])
def test_a_name_that_would_end_a_header_is_a_refusal_for_that_recipient(evil: str) -> None:
    message = made(a_recipient(evil))
    assert message.mail is None
    assert message.refusal is not None
    assert "line end or control character" in message.refusal


def test_lone_surrogates_are_a_refusal_not_a_crash() -> None:
    recipient = a_recipient(merge={"supporter": {"first_name": "\ud800"}, "area": {"slug": "s"}})
    message = made(recipient, template=a_template(subject="x"))
    assert message.refusal == (
        "template ask: mail.html.j2, line 1: characters that cannot be mailed (lone surrogates)"
    )


@pytest.mark.parametrize("part", ["html", "text"])
@pytest.mark.parametrize("thing", ["disclaimer", "unsubscribe_url"])
def test_a_mail_that_lacks_what_it_owes_this_recipient_is_a_refusal(part: str, thing: str) -> None:
    source = OWED.replace(
        f"{{{{ {thing} }}}}",
        f"{{% if supporter.first_name == 'Bea' %}}{{{{ {thing} }}}}{{% endif %}}",
    )
    template = a_template(**{part: source})
    assert made(a_recipient("Bea"), template=template).mail is not None
    message = made(a_recipient("Ada"), template=template)
    assert message.mail is None
    assert message.refusal is not None
    assert f"there is no {{{{ {thing} }}}} in the {'HTML' if part == 'html' else part} part" in (
        message.refusal
    )


@pytest.mark.parametrize(
    "merge", [{"supporter": "Ada"}, {"area": ["x"]}, {"supporter": None}], ids=str
)
def test_merge_data_that_are_no_fields_are_a_refusal(merge: dict[str, object]) -> None:
    message = made(a_recipient(merge=merge))
    assert message.refusal is not None
    assert "are not fields with values" in message.refusal
    assert "Ada" not in message.refusal


@pytest.mark.parametrize("change", [{"supporter_id": "nobody"}, {"occurrence": -1}], ids=str)
def test_ids_that_fit_no_token_are_a_refusal(change: dict[str, Any]) -> None:
    message = made(a_recipient(**change))
    assert message.refusal is not None
    assert "do not fit a tracking token" in message.refusal


def test_a_variant_may_bring_its_own_subject_and_sender() -> None:
    variant = Variant(
        name="a", template="ask", subject="{{ area.slug }}!", from_name="Zoë, organiser"
    )
    message = parsed(made(send=a_send(variants=(variant,))))
    assert message["Subject"] == "fk1-1!"
    assert message["From"].addresses[0].display_name == "Zoë, organiser"


def test_an_areas_own_reply_to_wins_over_the_campaigns_and_the_sends_over_both() -> None:
    area = {"slug": "s", "reply_to": "morag@example.org"}
    recipient = a_recipient(merge={"supporter": {"first_name": "A"}, "area": area})
    assert parsed(made(recipient))["Reply-To"] == "morag@example.org"
    send = a_send(reply_to="send@example.org")
    assert parsed(made(recipient, send=send))["Reply-To"] == "send@example.org"


def test_a_refusal_keeps_what_the_ledger_needs() -> None:
    recipient = a_recipient("bad\n", deadline="2026-05-04T20:00:00+00:00")
    message = made(recipient)
    for field in ("message_id", "send_id", "supporter_id", "address_key", "to", "edition"):
        assert getattr(message, field) == getattr(recipient, field)
    assert message.deadline == recipient.deadline


def test_the_size_of_a_mail_has_a_limit() -> None:
    fits = "é" * 800_000
    too_large = "é" * 1_800_000  # six characters each in quoted-printable
    recipient = a_recipient(merge={"supporter": {"first_name": "A"}, "area": {"x": fits}})
    template = a_template(html=f"<p>{OWED}{{{{ area.x }}}}</p>")
    assert made(recipient, template=template).mail is not None
    recipient = a_recipient(merge={"supporter": {"first_name": "A"}, "area": {"x": too_large}})
    message = made(recipient, template=template)
    assert message.refusal is not None
    assert "it makes more than 10485760 bytes" in message.refusal
    both = a_template(html=f"{OWED}{{{{ area.x }}}}", text=f"{OWED}{{{{ area.x }}}}")
    almost = "é" * 1_000_000
    recipient = a_recipient(merge={"supporter": {"first_name": "A"}, "area": {"x": almost}})
    message = made(recipient, template=both)
    assert message.refusal is not None
    assert "bytes, 10485760 at most" in message.refusal


def test_an_address_that_is_two_is_a_refusal_for_that_recipient() -> None:
    area = {"slug": "s", "reply_to": "a@b.example, c@d.example"}
    message = made(a_recipient(merge={"supporter": {"first_name": "A"}, "area": area}))
    assert message.refusal == "Reply-To: not one plain mail address (name@domain)"


def test_the_sender_of_the_envelope_is_one_line_however_long_the_name() -> None:
    variant = Variant(name="a", template="ask", from_name="Für den Fluss " * 12)
    message = made(send=a_send(variants=(variant,)))
    assert message.mail is not None
    assert "\r" not in message.sender
    assert message.sender.endswith("<hello@river.example.org>")
    assert f"From: {message.sender}" in message.mail.replace("\r\n ", " ")


def test_campaign_settings_that_are_no_words_stay_out_of_templates() -> None:
    message = made(template=a_template(html=f"{OWED}{{{{ campaign.configuration_set }}}}"))
    assert message.refusal is not None
    assert "no field 'configuration_set'" in message.refusal


def test_without_tracking_links_are_plain_and_nothing_tells_who_read() -> None:
    message = parsed(made(a_recipient(tracked=False, pixel=True), tracked=False))
    page = Page(body(message, "html"))
    assert page.images == []
    assert not [link for link in page.links if "/c/" in link]
    assert [link for link in page.links if link.startswith("https://two.example.org")]
    assert "/c/" not in body(message, "plain")
    assert [link for link in page.links if "/u/" in link]  # the way out is always there


def test_the_preference_page_stands_beside_the_way_out_and_is_not_tracked() -> None:
    html = HTML.replace("</body>", '<a href="{{ preferences_url }}">Choose</a></body>')
    page = Page(body(parsed(made(template=a_template(html=html))), "html"))
    (link,) = [each for each in page.links if "/p/" in each]
    assert verify(link.rpartition("/")[2], {3: KEY}).supporter_id == SUPPORTER
