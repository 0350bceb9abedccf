"""What was approved stays, what has not arrived is waited for, templates are compiled once."""

from __future__ import annotations

import pytest

from services.renderer.book import Book
from services.renderer.preparing import Preparer
from services.renderer.template_faults import TemplateFault
from shared.errors import RetryLater
from shared.log.record import Stored
from shared.programme.versions import to_wire
from shared.wire.cloudevents import encode
from tests.unit.renderer.building import (
    NOW,
    a_book,
    a_campaign,
    a_recipient,
    a_send,
    a_template,
    apply,
    pinned,
)

SEND, CAMPAIGN, TEMPLATE = a_send(), a_campaign(), a_template()


def remove(book: Book, key: str) -> None:
    book.apply(Stored("programme", 0, 0, key.encode(), None, (), 0))


def test_the_newest_is_found_by_name_and_the_older_by_version() -> None:
    newer = a_template(subject="edited since")
    book = a_book(TEMPLATE, newer)
    assert book.template("ask") == newer
    assert book.template("ask", TEMPLATE.version()) == TEMPLATE
    assert book.version("template", "ask") == newer.version()


def test_versions_may_arrive_in_any_order_without_becoming_the_newest() -> None:
    book = a_book(TEMPLATE)
    old = a_template(subject="older")
    record = encode(
        to_wire(old, NOW), id="1", source="t", subject="s", time=NOW, topic="programme",
        partition=0, key=f"definition/template/ask@{old.version()}",
    )  # fmt: skip
    book.apply(Stored("programme", 0, 0, record.key, record.value, record.headers, 0))
    assert book.template("ask") == TEMPLATE
    assert book.template("ask", old.version()) == old


def test_a_removed_definition_is_still_there_for_those_who_pinned_it() -> None:
    book = a_book(SEND)
    remove(book, "definition/send/ask")
    with pytest.raises(RetryLater, match="the send 'ask' has not arrived yet"):
        book.send("ask")
    assert book.send("ask", SEND.version()) == SEND


def test_a_campaign_that_changed_its_name_is_found_under_both() -> None:
    renamed = a_campaign(name="sea")
    book = a_book(CAMPAIGN, renamed)
    remove(book, "definition/campaign/river")
    assert book.campaign() == renamed
    assert book.campaign_version() == renamed.version()
    assert book.campaign(CAMPAIGN.version()) == CAMPAIGN


@pytest.mark.parametrize("version", ["", "012345678901"])
def test_what_has_not_arrived_is_waited_for(version: str) -> None:
    book = Book()
    for look_up in (book.campaign, lambda v: book.send("ask", v), lambda v: book.areas("n", v)):
        with pytest.raises(RetryLater, match="has not arrived yet"):
            look_up(version)


def test_a_definition_of_a_later_release_makes_mails_wait_and_never_refuses_them() -> None:
    book = Book()
    wire = to_wire(TEMPLATE, NOW).model_copy(
        update={"body": {**TEMPLATE.model_dump(mode="json"), "sparkle": True}}
    )
    record = encode(
        wire, id="1", source="t", subject="s", time=NOW, topic="programme", partition=0,
        key="definition/template/ask",
    )  # fmt: skip
    book.apply(Stored("programme", 0, 0, record.key, record.value, record.headers, 0))
    with pytest.raises(RetryLater, match="sparkle, which this release does not know: upgrade"):
        book.template("ask")


def test_a_record_that_cannot_be_read_is_left_out() -> None:
    book = a_book(TEMPLATE)
    book.apply(Stored("programme", 0, 0, b"definition/template/ask", b"{", (), 0))
    assert book.template("ask") == TEMPLATE


def test_a_template_version_is_compiled_once_for_all_sends() -> None:
    other = a_send(name="other")
    preparer = Preparer(a_book(SEND, other, CAMPAIGN, TEMPLATE))
    first = preparer.prepared_for(pinned(a_recipient(), SEND, CAMPAIGN, TEMPLATE))
    again = preparer.prepared_for(pinned(a_recipient("Bea"), SEND, CAMPAIGN, TEMPLATE))
    elsewhere = preparer.prepared_for(
        pinned(a_recipient(send_id="other"), other, CAMPAIGN, TEMPLATE)
    )
    assert again is first
    assert elsewhere is not first
    assert elsewhere.template is first.template


def test_without_pins_the_newest_is_prepared_and_a_newer_one_when_it_arrives() -> None:
    book = a_book(SEND, CAMPAIGN, TEMPLATE)
    preparer = Preparer(book)
    recipient = a_recipient(send_version="")
    before = preparer.prepared_for(recipient)
    assert preparer.prepared_for(recipient) is before
    apply(book, a_template(subject="edited since"))
    after = preparer.prepared_for(recipient)
    assert after.template is not before.template
    approved = preparer.prepared_for(pinned(recipient, SEND, CAMPAIGN, TEMPLATE))
    assert approved.template is before.template


def test_a_broken_template_is_a_fault_every_time_and_a_variant_nobody_knows_is_one() -> None:
    broken = a_template(html="{% if %}")
    preparer = Preparer(a_book(SEND, CAMPAIGN, broken))
    recipient = pinned(a_recipient(), SEND, CAMPAIGN, broken)
    for _ in range(2):
        with pytest.raises(TemplateFault, match="line 1"):
            preparer.prepared_for(recipient)
    with pytest.raises(TemplateFault, match="send ask has no variant 'z'"):
        preparer.prepared_for(recipient.model_copy(update={"variant": "z"}))
