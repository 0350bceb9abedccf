"""What SES says of a message, as events and suppressions."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.ses_events import (
    Happening,
    Unreadable,
    happening,
    kind_of,
    read_notification,
    read_tags,
)
from shared.ids import address_key
from tests.unit.tracker.building import ADA, SECRET, SEND, message_of
from tests.unit.tracker.ses_fixtures import (
    ADDRESS,
    IDENTITY_FEEDBACK,
    SES_ID,
    TAGS,
    notification,
    text,
)

KEY = address_key(ADDRESS, SECRET)
KINDS = {
    "send": "ses_sent",
    "delivery": "delivered",
    "hard bounce": "bounced",
    "account suppression list": "bounced",
    "soft bounce": "soft_bounced",
    "complaint": "complained",
    "reject": "rejected",
    "delay": "delayed",
}


def read(found: dict[str, Any]) -> Happening | None:
    tags = read_tags(found)
    assert tags is not None
    return happening(found, tags, SECRET)


def told(name: str) -> Happening:
    found = read(notification(name))
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_each_kind_becomes_its_event_about_our_message(name: str, kind: str) -> None:
    event = told(name).event
    assert event.kind == kind
    assert event.message_id == message_of()
    assert (event.supporter_id, event.send_id, event.variant) == (ADA, SEND, "plain")
    assert (event.edition, event.occurrence, event.attempt) == ("E05000001", 0, 1)
    assert event.ses_message_id == SES_ID
    assert event.at.tzinfo is not None


@pytest.mark.parametrize("name", ["open", "click", "rendering failure", "subscription"])
def test_kinds_that_say_nothing_we_use_become_nothing(name: str) -> None:
    assert read(notification(name)) is None


def test_a_hard_bounce_suppresses_the_address_and_not_the_person() -> None:
    bounced = told("hard bounce")
    assert [(s.subject, s.scope, s.reason) for s in bounced.suppressions] == [
        (KEY, "everything", "hard_bounce")
    ]
    assert bounced.event.reason == "General"
    assert bounced.event.properties == {
        "bounce_type": "Permanent", "bounce_subtype": "General", "status": "5.1.1",
    }  # fmt: skip


def test_a_soft_bounce_suppresses_nobody_even_with_a_status_that_begins_with_5() -> None:
    soft = notification("soft bounce")
    soft["bounce"]["bouncedRecipients"][0]["status"] = "5.2.2"
    found = read(soft)
    assert found is not None
    assert (found.event.kind, found.suppressions) == ("soft_bounced", ())


def test_a_refused_content_is_not_the_addresss_fault() -> None:
    refused = notification("hard bounce")
    refused["bounce"]["bounceSubType"] = "ContentRejected"
    found = read(refused)
    assert found is not None
    assert (found.event.kind, found.suppressions) == ("soft_bounced", ())


def test_a_complaint_suppresses_the_address_and_the_person() -> None:
    assert [(s.subject, s.reason) for s in told("complaint").suppressions] == [
        (KEY, "complained"),
        (ADA, "complained"),
    ]


def test_a_complaint_taken_back_is_none() -> None:
    taken_back = notification("complaint")
    taken_back["complaint"]["complaintFeedbackType"] = "not-spam"
    assert read(taken_back) is None


def test_an_address_written_with_a_name_is_the_same_address() -> None:
    named = notification("hard bounce")
    named["bounce"]["bouncedRecipients"][0]["emailAddress"] = f"Ada <{ADDRESS.upper()}>"
    found = read(named)
    assert found is not None
    assert [s.subject for s in found.suppressions] == [KEY]


def test_no_event_holds_an_address() -> None:
    for name in KINDS:
        assert "@" not in told(name).event.model_dump_json(), name


def test_told_again_in_any_order_everything_has_the_same_id() -> None:
    names = ["send", "delivery", "hard bounce", "complaint"]
    first = {name: told(name).event_id for name in names}
    assert len(set(first.values())) == len(names)
    for order in itertools.permutations(names * 2, 4):
        assert {name: told(name).event_id for name in order}.items() <= first.items()


def test_two_bounces_of_one_message_are_two_events() -> None:
    again = notification("hard bounce")
    again["bounce"]["feedbackId"] = "another"
    found = read(again)
    assert found is not None
    assert found.event_id != told("hard bounce").event_id


def test_a_time_in_the_other_spelling_is_read() -> None:
    other = notification("send")
    other["mail"]["timestamp"] = "2026-05-07T18:00:05 +0000"
    found = read(other)
    assert found is not None
    assert found.event.at.isoformat() == "2026-05-07T18:00:05+00:00"


def test_a_mail_without_an_edition_has_no_edition_tag() -> None:
    tags = read_tags(notification("send", {k: v for k, v in TAGS.items() if k not in "eva"}))
    assert tags is not None
    assert (tags.edition, tags.variant, tags.attempt) == ("", None, None)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"m": TAGS["m"]},
        {**TAGS, "m": "not-a-uuid"},
        {**TAGS, "p": "ada"},
        {**TAGS, "e": "zz"},
        {**TAGS, "o": "one"},
        {**TAGS, "s": "a b"},
    ],
)
def test_a_mail_without_our_tags_is_not_ours(tags: dict[str, str]) -> None:
    assert read_tags(notification("send", tags)) is None


def test_an_identity_level_notice_knows_no_tags() -> None:
    assert read_tags(IDENTITY_FEEDBACK) is None


def test_the_greeting_of_a_new_destination_is_no_notification() -> None:
    greeting = "Successfully validated SNS topic for Amazon SES event publishing."
    assert read_notification(greeting) is None
    found = read_notification(text("send"))
    assert found is not None
    assert kind_of(found) == "Send"


@pytest.mark.parametrize("name", KINDS)
@given(st.data())
def test_a_notification_with_a_part_missing_is_unreadable_or_read(
    name: str, data: st.DataObject
) -> None:
    """Whatever is gone, nothing else than Unreadable is raised."""
    broken = json.loads(text(name))
    part = next((key for key in broken if key not in ("eventType", "mail")), "mail")
    inner = broken[part] or broken["mail"]
    gone = data.draw(st.sampled_from(sorted(inner)))
    inner[gone] = data.draw(st.sampled_from([None, 7, "", [], {}, [{}]]))
    tags = read_tags(broken)
    if tags is None:
        return
    with contextlib.suppress(Unreadable):
        happening(broken, tags, SECRET)
