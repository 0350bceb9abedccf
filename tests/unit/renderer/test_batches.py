"""Batches through the handler: refusals inside, split when too large for the log."""

from __future__ import annotations

import random

import pytest

from services.renderer.batches import records_of
from services.renderer.book import Book
from services.renderer.handler import Renderer
from services.renderer.preparing import Preparer
from shared.clock import FixedClock
from shared.errors import RetryLater
from shared.log.record import Record, Stored
from shared.loop.delivery import Delivery
from shared.observability.metrics import Metrics
from shared.wire.batches import (
    MAX_BYTES,
    AudienceBatch,
    MessageBatch,
    Recipient,
    RenderedMessage,
)
from shared.wire.cloudevents import decode, encode
from tests.unit.renderer.building import (
    NOW,
    SIGNING,
    a_book,
    a_campaign,
    a_recipient,
    a_send,
    a_template,
    pinned,
)

SEND, CAMPAIGN, TEMPLATE = a_send(), a_campaign(), a_template()


def stored(record: Record) -> Stored:
    return Stored(record.topic, record.partition, 0, record.key, record.value, record.headers, 0)


def read(record: Record) -> MessageBatch:
    data = decode(stored(record)).data
    assert isinstance(data, MessageBatch)
    return data


def handled(book: Book, *recipients: Recipient) -> list[Record]:
    batch = AudienceBatch(batch_id="b", partition=1, recipients=recipients)
    source = stored(
        encode(
            batch, id="b", source="t", subject="s", time=NOW, topic="audience", partition=1,
            key="1", compress=True,
        )
    )  # fmt: skip
    renderer = Renderer(Preparer(book), lambda _: SIGNING, FixedClock(NOW), Metrics("t"))
    return renderer.handle([Delivery(source, decode(source))])


def heavy(number: int, size: int) -> RenderedMessage:
    """An entry whose mail hardly compresses: half of its size stays."""
    return RenderedMessage(
        message_id=str(number), send_id="s", variant="a", supporter_id="p", address_key="k",
        to="t", sender="x", mail=random.Random(number).randbytes(size // 2).hex(),
    )  # fmt: skip


def test_a_batch_comes_out_entry_by_entry_with_refusals_inside() -> None:
    recipients = [
        pinned(one, SEND, CAMPAIGN, TEMPLATE)
        for one in (
            a_recipient(), a_recipient("x\n"), a_recipient(variant="nobody"),
            a_recipient(supporter_id="nobody"), a_recipient("Bea"),
        )
    ]  # fmt: skip
    (record,) = handled(a_book(SEND, CAMPAIGN, TEMPLATE), *recipients)
    assert (record.topic, record.partition, record.key) == ("messages", 1, b"1")
    assert dict(record.headers)["ce_id"] == b"b"
    batch = read(record)
    assert (batch.batch_id, batch.partition) == ("b", 1)
    good, hostile, unknown, no_token, also_good = batch.entries
    assert good.mail is not None
    assert hostile.refusal is not None
    assert unknown.refusal == "send ask has no variant 'nobody'"
    assert no_token.refusal is not None
    assert also_good.mail is not None
    assert "For Bea" in also_good.mail


def test_rendering_again_gives_the_same_record() -> None:
    book, recipient = a_book(SEND, CAMPAIGN, TEMPLATE), a_recipient(send_version="")
    assert handled(book, recipient) == handled(book, recipient)


def test_an_older_version_that_was_approved_is_what_is_rendered() -> None:
    newer = a_template(subject="edited since")
    book = a_book(SEND, CAMPAIGN, TEMPLATE, newer)
    (record,) = handled(book, pinned(a_recipient(), SEND, CAMPAIGN, TEMPLATE))
    (entry,) = read(record).entries
    assert entry.mail is not None
    assert "Subject: For Ada" in entry.mail


def test_a_version_that_has_not_arrived_makes_the_batch_wait() -> None:
    book = a_book(SEND, CAMPAIGN, TEMPLATE)
    newer = a_template(subject="not here yet")
    with pytest.raises(RetryLater, match=f"version {newer.version()} of the template 'ask'"):
        handled(book, pinned(a_recipient(), SEND, CAMPAIGN, newer))


def test_a_batch_too_large_for_the_log_is_split_into_numbered_ones() -> None:
    batch = MessageBatch(
        batch_id="b", partition=3, entries=tuple(heavy(n, 300_000) for n in range(12))
    )
    records = records_of(batch, NOW)
    assert len(records) > 1
    assert all(len(record.value or b"") <= MAX_BYTES for record in records)
    parts = [read(record) for record in records]
    assert [part.batch_id for part in parts] == [f"b/{n}" for n in range(len(parts))]
    assert [dict(r.headers)["ce_id"].decode() for r in records] == [p.batch_id for p in parts]
    assert tuple(entry for part in parts for entry in part.entries) == batch.entries
    assert {record.partition for record in records} == {3}
    assert records_of(batch, NOW) == records


def test_a_mail_that_no_record_can_hold_is_a_refusal_and_its_neighbours_go() -> None:
    entries = (heavy(0, 1_000), heavy(1, 3_000_000), heavy(2, 1_000))
    records = records_of(MessageBatch(batch_id="b", partition=0, entries=entries), NOW)
    assert all(len(record.value or b"") <= MAX_BYTES for record in records)
    first, huge, last = (entry for record in records for entry in read(record).entries)
    assert (first, last) == (entries[0], entries[2])
    assert huge.mail is None
    assert huge.sender == ""
    assert huge.refusal is not None
    assert huge.refusal.startswith("the mail has 3000000 bytes")


def test_an_empty_batch_is_an_empty_batch() -> None:
    (record,) = handled(a_book())
    assert read(record).entries == ()
