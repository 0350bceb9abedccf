"""Where links lead and what tokens stand for, as the programme says."""

from __future__ import annotations

from services.tracker.facts import Mailing
from services.tracker.hits import with_token
from services.tracker.programme import Programme
from shared.log.record import Record
from shared.log.topics import PROGRAMME
from shared.wire.programme import SendOrder
from tests.unit.tracker.building import (
    AREAS,
    CAMPAIGN,
    MAILING,
    NOW,
    SEND,
    TEMPLATE,
    bearer,
    definition_records,
    programme_record,
    programme_records,
    stored,
)


def programme(*more: Record) -> Programme:
    made = Programme()
    for record in (*programme_records(), *more):
        made.apply(stored(record))
    return made


def test_a_link_leads_where_the_template_says() -> None:
    found = programme()
    assert found.destination(bearer(), 0) == "https://hilltop.example/volunteer?from=mail#form"
    assert found.destination(bearer(), 2) == f"https://hilltop.example/s/{SEND}"
    assert found.destination(bearer(variant=1), 0) == "https://hilltop.example/b"


def test_a_link_with_area_data_leads_to_the_editions_page() -> None:
    found = programme()
    assert found.destination(bearer(edition="E05000001"), 1) == "https://hilltop.example/north"
    assert found.destination(bearer(edition="E05000002"), 1) == (
        "https://hilltop.example/z%C3%BCrich%20stra%C3%9Fe#map"
    )
    assert found.destination(bearer(), 1) == "https://hilltop.example/"


def test_what_is_not_there_leads_nowhere() -> None:
    found = programme()
    for number in (-1, 3, 99):
        assert found.destination(bearer(), number) is None
    assert found.destination(bearer(variant=1), 1) is None
    assert found.destination(bearer(variant=2), 0) is None
    assert found.destination(bearer(send="another"), 0) is None
    assert Programme().destination(bearer(), 0) is None


def test_a_link_to_something_else_than_the_web_leads_nowhere() -> None:
    area = {"by_code": {"E05000001": {"page": "javascript:alert(1)"}}}
    found = programme(*definition_records("areas", AREAS.model_copy(update=area)))
    assert found.destination(bearer(edition="E05000001"), 1) is None


def test_a_wrong_address_is_mended_by_a_new_version() -> None:
    found = programme()
    before = found.destination(bearer(), 2)
    mended = TEMPLATE.model_copy(update={"html": TEMPLATE.html.replace("/s/", "/send/")})
    for record in definition_records("template", mended):
        found.apply(stored(record))
    assert before == f"https://hilltop.example/s/{SEND}"
    assert found.destination(bearer(), 2) == f"https://hilltop.example/send/{SEND}"


def order(**pinned: str) -> Record:
    said = SendOrder(
        send_id=SEND,
        definition_version=MAILING.version(),
        pinned={name.replace("__", "/"): version for name, version in pinned.items()},
        ordered_at=NOW,
    )
    return programme_record(f"order/send/{SEND}", said)


def test_what_was_approved_keeps_its_links_when_the_template_is_used_again() -> None:
    reused = TEMPLATE.model_copy(update={"html": '<a href="https://hilltop.example/new">N</a>'})
    found = programme(
        order(template__ask=TEMPLATE.version()), *definition_records("template", reused)
    )
    assert found.destination(bearer(), 0) == "https://hilltop.example/volunteer?from=mail#form"
    found.apply(stored(order(template__ask=reused.version())))
    assert found.destination(bearer(), 0) == "https://hilltop.example/new"


def test_a_send_changed_after_its_approval_keeps_its_variants() -> None:
    changed = MAILING.model_copy(update={"variants": MAILING.variants[:1]})
    found = programme(order(), *definition_records("send", changed))
    assert found.mailing_of(bearer(variant=1)) == Mailing(SEND, "warm", "")


def test_a_token_stands_for_its_send_variant_and_edition() -> None:
    found = programme()
    assert found.mailing_of(bearer(edition="E05000001")) == Mailing(SEND, "plain", "E05000001")
    assert found.mailing_of(bearer(variant=9, edition="gone")) == Mailing(SEND, None, None)
    assert found.mailing_of(bearer(send="another")) is None


def test_pages_name_the_organisation_that_sent_the_mail() -> None:
    other = CAMPAIGN.model_copy(update={"name": "other", "organisation": "Somebody Else"})
    found = programme(
        *definition_records("campaign", other), order(campaign__other=other.version())
    )
    campaign = found.campaign(bearer())
    assert campaign is not None
    assert campaign.organisation == "Somebody Else"
    assert found.campaign(bearer(send="another")) is None


def test_what_people_can_choose_is_what_the_campaign_offers_today() -> None:
    more = CAMPAIGN.model_copy(update={"topics": {"news": "News"}})
    pinned = order(**{f"campaign__{CAMPAIGN.name}": CAMPAIGN.version()})
    found = programme(pinned, *definition_records("campaign", more))
    campaign = found.campaign(bearer())
    assert campaign is not None
    assert campaign.topics == {"news": "News"}


def test_a_record_that_cannot_be_read_leaves_the_rest_as_it_was() -> None:
    found = programme()
    for value in (b"{", b"{}", None):
        found.apply(stored(Record(PROGRAMME, 0, b"definition/send/eve-of-poll@x", value, (), 0)))
    broken = definition_records("send", MAILING)[0]
    headers = tuple(
        (name, b"urn:doorstep:schema:programme.definition:99" if name == "ce_dataschema" else value)
        for name, value in broken.headers
    )
    found.apply(stored(Record(PROGRAMME, 0, broken.key, broken.value, headers, 0)))
    assert found.destination(bearer(), 0) is not None


def test_the_token_goes_along_and_the_fragment_stays_last() -> None:
    assert with_token("https://a.example/", "T") == "https://a.example/?d=T"
    assert with_token("https://a.example/?x=1", "T") == "https://a.example/?x=1&d=T"
    assert with_token("https://a.example/?", "T") == "https://a.example/?d=T"
    assert with_token("https://a.example/?x=1&", "T") == "https://a.example/?x=1&d=T"
    assert with_token("https://a.example/p#f?x", "T") == "https://a.example/p?d=T#f?x"
