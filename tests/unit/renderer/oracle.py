"""The simple way to make a mail, as an oracle: stock Jinja2, `EmailMessage`, an HTML parser.

`differences` parses a mail back and says in which ways it is not the one that the simple way makes.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator, Mapping
from email.message import EmailMessage, Message
from html.parser import HTMLParser
from typing import Any

import jinja2
from markupsafe import Markup

from services.renderer.disclaimers import disclaimer_html, disclaimer_text
from services.renderer.page_sources import HTML, TEXT, sources_of
from services.renderer.rendering import Signing
from shared.programme.definitions import Campaign, Template
from shared.programme.links import HIDDEN_LINK, number_template
from shared.wire.batches import Recipient

HEADERS = (
    "From", "To", "Reply-To", "Subject", "Date", "List-Id", "Feedback-ID", "List-Unsubscribe",
    "List-Unsubscribe-Post", "MIME-Version", "Content-Type",
)  # fmt: skip


def line_ends_unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def stock_page(
    sources: Mapping[str, str], given: Mapping[str, Any], *, autoescape: bool, main: str = "main"
) -> str:
    """What plain Jinja makes; the line ends of each value are its own, whatever stands after it."""

    def unix(value: object) -> object:
        return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else value

    environment = jinja2.Environment(
        autoescape=autoescape, undefined=jinja2.StrictUndefined, finalize=unix,
        loader=jinja2.DictLoader(dict(sources)),
    )  # fmt: skip
    return environment.get_template(main).render(given)


class Page(HTMLParser):
    """Links, words and tags of a page, less the pixel and the hidden link."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img" and "/o/" in (values.get("src") or ""):
            return
        if tag == "a" and (values.get("href") or "").endswith(f"/{HIDDEN_LINK}"):
            return
        self.tags.append(tag)
        if tag == "a" and "href" in values:
            self.links.append((values["href"] or "").strip())

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class Expected:
    """The mail of one recipient, made the simple way."""

    def __init__(
        self, template: Template, recipient: Recipient, campaign: Campaign, signing: Signing,
        token: str, common: Mapping[str, Any], headers: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.token, self.signing = token, signing
        url = f"{signing.tracking_url}/u/{token}"
        given = {**recipient.merge, **common, "unsubscribe_url": url}
        given["preferences_url"] = f"{signing.tracking_url}/p/{token}"
        given["preheader"] = stock_page({"main": template.preheader}, given, autoescape=False)
        of_page = {"disclaimer": disclaimer_html(campaign)}
        of_text = {"disclaimer": Markup(disclaimer_text(campaign))}
        links = f"{signing.tracking_url}/c/{token}/"
        pixel = f"{signing.tracking_url}/o/{token}.gif" if recipient.pixel else ""
        pages, texts = sources_of(template)
        added = {"tracked": links, "pixel": pixel}
        self.html = stock_page(pages, given | of_page | added, autoescape=True, main=HTML)
        self.text = stock_page(texts, given | of_text | added, autoescape=False, main=TEXT)
        written = {**template.partials, HTML: template.html}
        self.page = Page(stock_page(written, given | of_page, autoescape=True, main=HTML))
        plain = {**template.partials, TEXT: template.text}
        self.words = stock_page(plain, given | of_text, autoescape=False, main=TEXT)
        self.destinations = [
            stock_page({"main": href}, given, autoescape=False)
            for href in number_template(template).hrefs
        ]
        self.mail = EmailMessage(policy=email.policy.SMTP)
        for name, value in headers.items():
            self.mail[name] = value
        self.mail["List-Unsubscribe"] = f"<{url}>"
        self.mail.set_content(line_ends_unix(self.text), cte="quoted-printable")
        self.mail.add_alternative(line_ends_unix(self.html), subtype="html", cte="quoted-printable")

    def destination(self, link: str) -> str:
        """Where a link of the mail leads in the end."""
        found = re.fullmatch(rf"{re.escape(self.signing.tracking_url)}/c/([\w-]+)/(\d+)", link)
        if found is None or found[1] != self.token or int(found[2]) >= len(self.destinations):
            return link
        return self.destinations[int(found[2])].strip()


def differences(mail: str, expected: Expected) -> list[str]:
    """In which ways the mail is not as it should be; empty when it is."""
    ours = email.message_from_string(mail, policy=email.policy.default)
    theirs = email.message_from_bytes(expected.mail.as_bytes(), policy=email.policy.default)
    return [
        *_of_lines(mail),
        *_of_headers(ours, theirs),
        *_of_bodies(ours, theirs, expected),
        *_of_meaning(ours, expected),
    ]


def _of_lines(mail: str) -> Iterator[str]:
    if not mail.isascii():
        yield "a character that is not ASCII"
    if re.search(r"(?<!\r)\n|\r(?!\n)", mail):
        yield "a line that does not end in CRLF"
    if any(len(line) > 998 for line in mail.split("\r\n")):
        yield "a line over 998 characters"
    if any(len(line) > 76 for line in mail.partition("\r\n\r\n")[2].split("\r\n")):
        yield "a line of a body over 76 characters"


def _of_headers(ours: Message, theirs: Message) -> Iterator[str]:
    for part in ours.walk():
        yield from (f"defect: {type(defect).__name__}" for defect in part.defects)
    if sorted(ours.keys()) != sorted(HEADERS):
        yield f"headers: {sorted(ours.keys())}"
    for name, value in theirs.items():
        if name != "Content-Type" and ours[name] != value:
            yield f"{name} differs"


def _of_bodies(ours: Message, theirs: Message, expected: Expected) -> Iterator[str]:
    for subtype, simple in (("plain", expected.text), ("html", expected.html)):
        made = _content(ours, subtype)
        if made != line_ends_unix(simple):
            yield f"the {subtype} part is not what plain Jinja makes"
        if made.rstrip("\n") != _content(theirs, subtype).rstrip("\n"):
            yield f"the {subtype} part is not what EmailMessage carries"


def _of_meaning(ours: Message, expected: Expected) -> Iterator[str]:
    """Against the template as its author wrote it."""
    page = Page(_content(ours, "html"))
    if [expected.destination(link) for link in page.links] != expected.page.links:
        yield "the links of the page lead elsewhere"
    if "".join(page.words) != "".join(expected.page.words):
        yield "the page says something else"
    if page.tags != expected.page.tags:
        yield "the page has other tags"
    said = re.sub(
        rf"{re.escape(expected.signing.tracking_url)}/c/[\w-]+/\d+",
        lambda link: expected.destination(link[0]),
        _content(ours, "plain"),
    )
    if " ".join(said.split()) != " ".join(expected.words.split()):
        yield "the text part says something else, or its links lead elsewhere"


def _content(message: Any, subtype: str) -> str:
    part = message.get_body((subtype,))
    return line_ends_unix(part.get_content()) if part is not None else ""
