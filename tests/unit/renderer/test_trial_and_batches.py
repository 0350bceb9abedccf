"""The trial render before a launch, and batches through the handler."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.renderer.book import Book
from services.renderer.handler import Renderer, split
from services.renderer.rendering import Preparer
from services.renderer.trial import trial
from shared.clock import FixedClock
from shared.errors import RetryLater
from shared.log.record import Stored
from shared.loop.delivery import Delivery
from shared.observability.metrics import Metrics
from shared.programme.definitions import Areas, Definition, Disclaimer, kind_of
from shared.wire import programme as wire
from shared.wire.batches import AudienceBatch, MessageBatch, RenderedMessage
from shared.wire.cloudevents import decode, encode
from tests.unit.renderer.building import SIGNING, a_campaign, a_recipient, a_send, a_template

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)


def a_book(*definitions: Definition) -> Book:
    book = Book()
    for definition in definitions:
        kind = kind_of(definition)
        data = wire.Definition(
            kind=kind, name=definition.name, version=definition.version(),  # type: ignore[arg-type]
            body=definition.model_dump(mode="json"), applied_at=NOW,
        )  # fmt: skip
        for key in (f"definition/{kind}/{definition.name}",
                    f"definition/{kind}/{definition.name}@{data.version}"):  # fmt: skip
            record = encode(
                data, id="1", source="t", subject="s", time=NOW, topic="programme", partition=0,
                key=key,
            )  # fmt: skip
            book.apply(Stored("programme", 0, 0, record.key, record.value, record.headers, 0))
    return book


def test_a_sound_send_has_no_faults() -> None:
    areas = Areas(name="n", kind="k", by_code={"FK1 1": {"slug": "a"}}, default={"slug": "b"})
    book = a_book(a_campaign(), a_template(), a_send(areas="n"), areas)
    assert trial(book, "ask", SIGNING) == []


def test_an_edition_that_lacks_a_field_is_named() -> None:
    areas = Areas(name="n", kind="k", by_code={"FK1 1": {"slug": "a"}, "FK2 7": {}}, default=None)
    faults = trial(a_book(a_campaign(), a_template(html=a_template().html.replace(
        "Hello", "{{ area.slug }}")), a_send(areas="n"), areas), "ask", SIGNING)  # fmt: skip
    assert faults
    assert all("edition FK2 7" in fault for fault in faults)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"html": "<p>{{ disclaimer }}</p>"}, "no {{ unsubscribe_url }} in the HTML part"),
        ({"text": "{{ disclaimer }}"}, "no {{ unsubscribe_url }} in the text part"),
        ({"html": "<p>{{ unsubscribe_url }}</p>"}, "no {{ disclaimer }} in the HTML part"),
        ({"text": "{{ unsubscribe_url }}"}, "no {{ disclaimer }} in the text part"),
        ({"html": "{{ nonsense }}"}, "nonsense"),
    ],
)
def test_what_no_mail_may_go_without_is_looked_for(change: dict[str, str], said: str) -> None:
    faults = trial(a_book(a_campaign(), a_template(**change), a_send()), "ask", SIGNING)
    assert any(said in fault for fault in faults)


def test_a_campaign_without_a_complete_disclaimer_is_refused() -> None:
    campaign = a_campaign(disclaimer=Disclaimer(jurisdiction="uk", promoter="P"))
    (fault,) = trial(a_book(campaign, a_template(), a_send()), "ask", SIGNING)
    assert "lacks promoter_address" in fault


def test_a_definition_that_has_not_arrived_is_waited_for() -> None:
    with pytest.raises(RetryLater, match="send 'ask' has not arrived"):
        trial(a_book(a_campaign()), "ask", SIGNING)


def handled(book: Book, batch: AudienceBatch) -> list[RenderedMessage]:
    record = encode(
        batch, id="1", source="t", subject="s", time=NOW, topic="audience", partition=1,
        key="1", compress=True,
    )  # fmt: skip
    stored = Stored("audience", 1, 0, record.key, record.value, record.headers, 0)
    renderer = Renderer(Preparer(book), SIGNING, FixedClock(NOW), Metrics("t"))
    entries: list[RenderedMessage] = []
    for made in renderer.handle([Delivery(stored, decode(stored))]):
        assert made.partition == 1
        out = decode(Stored("messages", 1, 0, made.key, made.value, made.headers, 0)).data
        assert isinstance(out, MessageBatch)
        entries.extend(out.entries)
    return entries


def test_a_batch_comes_out_entry_by_entry_with_refusals_inside() -> None:
    batch = AudienceBatch(
        batch_id="b", partition=1,
        recipients=(a_recipient(), a_recipient("x\n"), a_recipient(variant="nobody")),
    )  # fmt: skip
    book = a_book(a_campaign(), a_template(), a_send())
    version = a_send().version()
    pinned = batch.model_copy(
        update={
            "recipients": tuple(
                r.model_copy(update={"send_version": version}) for r in batch.recipients
            )
        }
    )
    good, hostile, unknown = handled(book, pinned)
    assert good.mail is not None
    assert hostile.refusal is not None
    assert unknown.refusal == "send ask has no variant 'nobody'"


def test_an_older_version_that_was_approved_is_what_is_rendered() -> None:
    old, new = a_template(subject="approved"), a_template(subject="edited since")
    book = a_book(a_campaign(), a_send(), old, new)
    recipient = a_recipient(
        send_version=a_send().version(), template_version=old.version(),
        campaign_version=a_campaign().version(),
    )  # fmt: skip
    (entry,) = handled(book, AudienceBatch(batch_id="b", partition=1, recipients=(recipient,)))
    assert entry.mail is not None
    assert "Subject: approved" in entry.mail


def test_a_batch_too_large_for_the_log_is_split_with_stable_names() -> None:
    import random

    dice = random.Random(1)
    entries = [
        RenderedMessage(
            message_id=str(n), send_id="s", variant="a", supporter_id="p", address_key="k",
            to="t", mail=dice.randbytes(150_000).hex(),
        )
        for n in range(12)
    ]  # fmt: skip
    records = list(split("b", 0, entries, NOW))
    assert len(records) > 1
    assert all(len(record.value or b"") <= 900_000 for record in records)
    again = list(split("b", 0, entries, NOW))
    names = [dict(record.headers)["ce_id"] for record in records]
    assert names == [dict(record.headers)["ce_id"] for record in again]
    assert len(set(names)) == len(names)
