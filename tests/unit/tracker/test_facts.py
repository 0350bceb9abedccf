"""From a stored hit to its records: ids that repeat, the mail it came by, no addresses."""

from __future__ import annotations

import pytest

from services.tracker.facts import Mailing, records
from services.tracker.raw_hits import ActionHit, LinkHit, SesHit, UnsubscribeHit
from services.tracker.ses_events import Unreadable
from shared.classification.agents import VERSION
from shared.clock import from_ms, to_ms
from shared.log.partitioner import partition_of
from shared.wire.supporters import SupporterChanged
from tests.unit.tracker.building import (
    ADA,
    BEN,
    NOW,
    PARTITIONS,
    SEND,
    bearer,
    envelopes,
    events,
    making,
    message_of,
    suppressions,
)
from tests.unit.tracker.ses_fixtures import text

AT = to_ms(NOW)
MAILING = Mailing(SEND, "plain", "E05000001")
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/132.0.0.0 Safari/537.36"


def click(**changes: object) -> LinkHit:
    hit = LinkHit(
        kind="clicked", at_ms=AT, bearer=bearer(), link=2, method="GET", user_agent=CHROME
    )
    return hit.model_copy(update=changes)


def action(**changes: object) -> ActionHit:
    hit = ActionHit(
        at_ms=AT - 5_000, received_ms=AT, key_hash="k", action="volunteered", supporter_id=ADA,
        bearer=bearer(), properties={"hours": 2},
    )  # fmt: skip
    return hit.model_copy(update=changes)


def test_a_click_keeps_the_raw_facts_and_the_class_beside_them() -> None:
    (event,) = events(records(click(), "spool:7", making(MAILING)))
    assert (event.kind, event.link, event.method, event.user_agent) == ("clicked", 2, "GET", CHROME)
    assert (event.agent, event.agent_version) == ("person", VERSION)
    assert (event.send_id, event.message_id) == (SEND, message_of())
    assert (event.variant, event.edition, event.at) == ("plain", "E05000001", from_ms(AT))


def test_a_hit_has_one_id_and_two_hits_have_two() -> None:
    def identity(hit: LinkHit, hit_id: str) -> str:
        return envelopes(records(hit, hit_id, making(MAILING)))[0].id

    assert identity(click(), "spool:7") == identity(click(), "spool:7")
    assert identity(click(), "spool:7") != identity(click(), "spool:8")


def test_records_go_to_the_supporters_partition_under_the_supporters_key() -> None:
    for record in records(action(supporter_id=BEN, email="ben@c.example"), "s:1", making(MAILING)):
        assert record.key == BEN.encode()
        assert record.partition == partition_of(BEN, PARTITIONS)


def test_a_hit_of_a_send_nobody_knows_is_still_somebodys() -> None:
    (event,) = events(records(click(bearer=bearer(occurrence=3)), "s:1", making(None)))
    assert (event.supporter_id, event.send_id, event.message_id) == (ADA, None, None)
    assert event.occurrence == 3


def test_a_mail_address_left_in_a_user_agent_does_not_reach_the_event() -> None:
    hit = click(user_agent="Checker/1.0 (ops@scanner.example; +mailto:a@b.example)")
    (event,) = events(records(hit, "s:1", making(MAILING)))
    assert event.user_agent is not None
    assert "@" not in event.user_agent
    assert event.agent == "scanner"


def test_an_unsubscribe_is_an_event_and_a_suppression_of_everything() -> None:
    hit = UnsubscribeHit(at_ms=AT, bearer=bearer(), one_click=True)
    made = records(hit, "s:1", making(MAILING))
    (event,), (suppression,) = events(made), suppressions(made)
    assert (event.kind, event.reason, event.message_id) == (
        "unsubscribed", "one-click", message_of(),
    )  # fmt: skip
    assert (suppression.subject, suppression.scope) == (ADA, "everything")
    assert suppression.reason == "unsubscribed"
    assert made[1].key == f"{ADA}|everything".encode()


def test_an_unsubscribe_repeated_is_the_same_event_and_on_another_day_a_new_one() -> None:
    def identity(at_ms: int) -> str:
        hit = UnsubscribeHit(at_ms=at_ms, bearer=bearer(), one_click=False)
        return envelopes(records(hit, f"s:{at_ms}", making(MAILING)))[0].id

    assert identity(AT) == identity(AT + 60_000)
    assert identity(AT) != identity(AT + 86_400_000)


def test_an_action_belongs_to_the_mail_its_token_came_by() -> None:
    (event,) = events(records(action(), "s:1", making(MAILING)))
    assert (event.kind, event.action, event.properties) == ("acted", "volunteered", {"hours": 2})
    assert (event.send_id, event.message_id, event.came_by) == (SEND, message_of(), None)
    assert event.at == from_ms(AT - 5_000)


def test_an_action_with_somebody_elses_details_is_booked_to_them() -> None:
    (event,) = events(records(action(supporter_id=BEN), "s:1", making(MAILING)))
    assert (event.supporter_id, event.came_by) == (BEN, ADA)
    assert event.message_id == message_of(ADA)


def test_an_action_retried_is_the_same_event_and_another_persons_is_not() -> None:
    def identity(hit: ActionHit, hit_id: str) -> str:
        return envelopes(records(hit, hit_id, making(MAILING)))[0].id

    assert identity(action(), "s:1") == identity(action(received_ms=AT + 9), "s:2")
    assert identity(action(), "s:1") != identity(action(supporter_id=BEN), "s:1")
    assert identity(action(), "s:1") != identity(action(key_hash="other"), "s:1")


def test_an_address_that_named_the_person_goes_to_supporters_alone_and_without_consent() -> None:
    hit = action(supporter_id=BEN, email="ben@c.example", source="crm", external_id="7")
    made = records(hit, "s:1", making(MAILING))
    (stated,) = [one.data for one in envelopes(made) if isinstance(one.data, SupporterChanged)]
    assert (stated.stated_by, stated.source) == ("api", "actions-api")
    assert stated.profile == {"email": "ben@c.example"}
    assert (stated.consent, stated.subscription) == (None, None)
    assert stated.identity is not None
    assert (stated.identity.source, stated.identity.external_id) == ("crm", "7")
    (event,) = events(made)
    assert "@" not in event.model_dump_json()


def test_a_notification_of_ses_becomes_its_event_and_suppressions() -> None:
    made = records(SesHit(at_ms=AT, text=text("complaint")), "s:1", making(MAILING))
    assert [(event.kind, event.told_at) for event in events(made)] == [("complained", from_ms(AT))]
    assert {one.subject for one in suppressions(made)} > {ADA}
    assert len({one.id for one in envelopes(made)}) == 3


def test_a_notification_told_twice_is_the_same_records() -> None:
    def ids(hit_id: str) -> list[str]:
        hit = SesHit(at_ms=AT, text=text("hard bounce"))
        return [one.id for one in envelopes(records(hit, hit_id, making(MAILING)))]

    assert ids("s:1") == ids("s:2")


def test_a_notification_without_our_tags_in_the_spool_is_refused() -> None:
    with pytest.raises(Unreadable, match="without our tags"):
        records(SesHit(at_ms=AT, text="{}"), "s:1", making(MAILING))
