"""The hand-made message against `EmailMessage` and the standard parser, with all that is hard."""

from __future__ import annotations

import email
import email.policy
from email.headerregistry import Address
from email.message import EmailMessage

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.renderer.addresses import mailbox
from services.renderer.mime import assemble, skeleton
from services.renderer.quoted_printable import encoded, ended

quickly = settings(max_examples=40, deadline=None)
bodies = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=80)
SCRIPTS = "مرحبا שלום 你好 👩‍👩‍👧‍👦 é" * 10


def message_of(text: str, html: str, **changes: str) -> str:
    values = {
        "to": "ada@example.org", "reply_to": "office@example.org", "subject": "Hello",
        "date": "Mon, 04 May 2026 09:00:00 +0000", "unsubscribe_url": "https://t.example.org/u/x",
    }  # fmt: skip
    frame = skeleton("News <news@example.org>", [("List-Id", "<n.example.org>")])
    return assemble(
        frame, text=ended([encoded(text)]), html=ended([encoded(html)]), **(values | changes)
    )


def parse(raw: str) -> EmailMessage:
    message = email.message_from_bytes(raw.encode("ascii"), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@quickly
@given(bodies, bodies)
@example("=" * 200, "x" * 75 + "=")
@example("trailing \nspaces\t\n", ".\n..\nFrom me\n")
@example("\x00\x0b\x0c\x1b", SCRIPTS)
def test_both_bodies_come_back_as_they_were_written(text: str, html: str) -> None:
    raw = message_of(text, html)
    message = parse(raw)
    parts = list(message.iter_parts())
    assert not message.defects
    assert not any(part.defects for part in parts)
    for part, wrote in zip(parts, (text, html), strict=True):
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert unix(payload.decode()) == unix(wrote)


@quickly
@given(words.map(str.strip), words.map(str.strip), bodies, bodies)
@example("Zoë", "Größe, «quoted» and (all) 👋", SCRIPTS, "<p>=</p>")
def test_a_message_is_read_as_the_one_emailmessage_would_have_made(
    name: str, subject: str, text: str, html: str
) -> None:
    to = mailbox(name, "ada@example.org", "To")
    ours = parse(message_of(text, html, to=to, subject=subject))
    oracle = EmailMessage(policy=email.policy.SMTP)
    for header in ("From", "Reply-To", "Date"):
        oracle[header] = str(ours[header])
    oracle["To"] = Address(name, addr_spec="ada@example.org")
    oracle["Subject"] = subject
    oracle.set_content(unix(text), cte="quoted-printable")
    oracle.add_alternative(unix(html), subtype="html", cte="quoted-printable")
    theirs = email.message_from_bytes(oracle.as_bytes(), policy=email.policy.default)
    assert isinstance(theirs, EmailMessage)
    for header in ("From", "Reply-To", "Date", "MIME-Version"):
        assert ours[header] == theirs[header]
    assert ours.get_content_type() == theirs.get_content_type() == "multipart/alternative"
    for mine, other in zip(ours.iter_parts(), theirs.iter_parts(), strict=True):
        assert mine.get_content_type() == other.get_content_type()
        # EmailMessage ends a body with a line end of its own.
        assert unix(mine.get_content()).rstrip("\n") == unix(other.get_content()).rstrip("\n")
