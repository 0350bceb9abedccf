"""Header values and mailboxes against the standard parser: nothing adds a header or an address."""

from __future__ import annotations

import email
import email.policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from services.renderer.addresses import LONGEST_NAME, mailbox
from services.renderer.headers import CONTROL, LONGEST_VALUE, HeaderFault, header_text

quickly = settings(max_examples=40, deadline=None)
EVIL = "\r\n\x00\x0b\x0c\x1b\x7f\x85\u2028\u2029\ud800\udfff"
anything = st.text(st.characters(), max_size=120)
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467 "


def parsed(name: str, value: str) -> EmailMessage:
    raw = f"{name}: {value}\r\nX-After: untouched\r\n\r\nbody\r\n".encode("ascii")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.keys() == [name, "X-After"]
    assert message["X-After"] == "untouched"
    assert message.get_content().split() == ["body"]
    return message


def to(value: str) -> Any:
    header = parsed("To", value)["To"]
    assert not header.defects
    return header


@quickly
@given(anything)
@example('Größe, «quoted» "and" (all)')
@example("=?utf-8?q?already_encoded?=")
@example("=?")
@example("مرحبا שלום 你好 " + FAMILY * 9)
@example("x" * 900)
@example("é" * 900)
@example("\u202eright to left")
def test_a_subject_is_refused_or_read_as_it_was_written(value: str) -> None:
    if CONTROL.search(value):
        with pytest.raises(HeaderFault, match="line end or control character"):
            header_text("Subject", value)
        return
    encoded = header_text("Subject", value)
    header = parsed("Subject", encoded)["Subject"]
    assert not header.defects
    # White space at the ends of a header is not part of it, encoded or not.
    assert str(header).strip() == value.strip() or str(header).split() == value.split()
    if not value.isascii():
        lines = f"Subject: {encoded}".split("\r\n")
        assert all(len(line) <= 76 for line in lines)


@quickly
@given(anything)
@example('Ada "the first", Lovelace')
@example("Ada <ada@evil.example>, x")
@example("Ada\\")
@example("(comment) Ada; group: a@b.example;")
@example("=?utf-8?q?Ada?=")
@example(FAMILY * 37)
@example("ß" * LONGEST_NAME)
@example("  ")
@example("Ada  Byron")
def test_a_display_name_is_refused_or_read_as_written_and_never_adds_an_address(name: str) -> None:
    if CONTROL.search(name):
        with pytest.raises(HeaderFault, match="line end or control character"):
            mailbox(name, "ada@example.org", "To")
        return
    encoded = mailbox(name, "ada@example.org", "To")
    header = to(encoded)
    assert [address.addr_spec for address in header.addresses] == ["ada@example.org"]
    if name.isascii():
        assert header.addresses[0].display_name.split() == name.split()
    else:
        # The new parser of 3.11 puts a space between two encoded words.
        phrase = encoded.rpartition("<")[0].strip()
        assert str(make_header(decode_header(phrase))) == name.strip()
        assert all(len(line) <= 76 for line in f"To: {encoded}".split("\r\n"))


@quickly
@given(anything, st.sampled_from(EVIL), anything)
def test_no_value_ends_a_header_line(before: str, evil: str, after: str) -> None:
    value = f"{before}{evil}Bcc: everybody@example.org{after}"
    with pytest.raises(HeaderFault):
        header_text("Subject", value)
    with pytest.raises(HeaderFault):
        mailbox(value, "ada@example.org", "To")
    with pytest.raises(HeaderFault):
        mailbox("Ada", value, "To")


@quickly
@given(st.text(st.characters(codec="ascii"), max_size=40))
@example("a@b.example, c@d.example")
@example("a@b.example> <c@d.example")
@example("<a@b.example>")
@example('"a b"@c.example')
@example("a b@c.example")
@example("group: a@b.example;")
@example("a@b.example (c)")
@example("a@[127.0.0.1]")
def test_an_address_is_one_plain_address_or_refused(address: str) -> None:
    try:
        encoded = mailbox("", address, "Reply-To")
    except HeaderFault as error:
        assert str(error).startswith("Reply-To: ")  # noqa: PT017 - either way is right
        return
    assume(".." not in encoded)
    assert not encoded.startswith(".")
    assert [one.addr_spec for one in to(encoded).addresses] == [address]


def test_a_domain_in_another_script_is_spelled_for_the_wire() -> None:
    assert mailbox("", "office@bücher.example", "Reply-To") == "office@xn--bcher-kva.example"


def test_a_header_without_an_end_is_refused_by_name() -> None:
    with pytest.raises(HeaderFault, match="Subject: 5000 characters"):
        header_text("Subject", "x" * 5_000)
    with pytest.raises(HeaderFault, match="To: a name of 300 characters"):
        mailbox("x" * 300, "ada@example.org", "To")
    assert len(header_text("Subject", "x" * LONGEST_VALUE)) == LONGEST_VALUE


def test_a_refused_header_never_repeats_the_value() -> None:
    with pytest.raises(HeaderFault) as caught:
        mailbox("Ada Byron\n", "ada@example.org", "To")
    assert "Ada" not in str(caught.value)
