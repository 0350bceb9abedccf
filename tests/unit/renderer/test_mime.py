"""The hand-made message against `EmailMessage` and the standard parser, with hostile values."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.renderer.mime import (
    CONTROL,
    Envelope,
    HeaderFault,
    assemble,
    header_text,
    mailbox,
    quoted_printable,
)

bodies = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=80)


def envelope(**changes: str) -> Envelope:
    values = {
        "sender": "News <news@example.org>", "to": "ada@example.org",
        "reply_to": "office@example.org", "subject": "Hello",
        "date": "Mon, 04 May 2026 09:00:00 +0000", "boundary": "=_b",
    }  # fmt: skip
    return Envelope(**(values | changes))  # type: ignore[arg-type]


def parse(raw: str) -> EmailMessage:
    message = email.message_from_bytes(raw.encode("ascii"), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(bodies, bodies)
@example("=" * 200, "x" * 75 + "=")
@example("trailing \nspaces\t\n", ".\n..\nFrom me\n")
@example("\x00\x0b\x0c\x1b", "مرحبا שלום 你好 👩‍👩‍👧‍👦 é" * 30)
def test_both_bodies_come_back_as_they_were_written(text: str, html: str) -> None:
    raw = assemble(envelope(), text, html)
    message = parse(raw)
    parts = list(message.iter_parts())
    assert not message.defects
    assert not any(part.defects for part in parts)
    for part, wrote in zip(parts, (text, html), strict=True):
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert unix(payload.decode()) == unix(wrote)


@given(bodies)
@example("=" * 77)
def test_quoted_printable_lines_are_short_and_end_in_crlf(text: str) -> None:
    encoded = quoted_printable(text)
    assert encoded.isascii()
    assert all(len(line) <= 76 for line in encoded.split("\r\n"))
    assert "\n" not in encoded.replace("\r\n", "")
    assert "\r" not in encoded.replace("\r\n", "")


@given(names)
@example('Größe, «quoted» "and" (all)')
@example("=?utf-8?q?already_encoded?=")
def test_a_subject_means_what_emailmessage_would_have_made_of_it(subject: str) -> None:
    subject = subject.strip()
    ours = parse(assemble(envelope(subject=subject), "t", "h"))["Subject"]
    oracle = EmailMessage(policy=email.policy.SMTP)
    oracle["Subject"] = subject
    theirs = email.message_from_bytes(oracle.as_bytes(), policy=email.policy.default)["Subject"]
    assert not ours.defects
    if "=?" in subject:
        assert str(ours) == subject  # the oracle leaves such words to be decoded wrongly
    elif CONTROL.search(subject) is None and str(theirs) == subject:
        assert str(ours) == subject


@given(names)
@example('Ada "the first", Lovelace')
@example("Ada <ada@evil.example>, x")
def test_a_display_name_never_adds_an_address(name: str) -> None:
    to = mailbox(name, "ada@example.org", "To")
    header = parse(assemble(envelope(to=to), "t", "h"))["To"]
    assert [address.addr_spec for address in header.addresses] == ["ada@example.org"]


@given(st.text(max_size=30), st.sampled_from("\r\n\x00\x0b\x85\u2028"), st.text(max_size=30))
def test_no_value_ends_a_header_line(before: str, evil: str, after: str) -> None:
    value = f"{before}{evil}Bcc: everybody@example.org{after}"
    with pytest.raises(HeaderFault):
        header_text("Subject", value)
    with pytest.raises(HeaderFault):
        mailbox(value, "ada@example.org", "To")


def test_an_endless_subject_is_refused_by_name() -> None:
    with pytest.raises(HeaderFault, match="Subject: 5000 characters"):
        header_text("Subject", "x" * 5_000)
