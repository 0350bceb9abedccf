"""What people choose for themselves: topics, frequency, what we may see; and what follows."""

from __future__ import annotations

from typing import Any

from shared.wire.supporters import FREQUENCY, SupporterChanged, TrackingChoice
from tests.integration.people.world import CONSENT, World, at, change, key, person

ADA, BEN = person(1), person(2)
EMAIL = {"email": "ada@example.org"}
INBOX = key("ada@example.org")


def mailable(who: str, **stated: Any) -> SupporterChanged:
    return change(who, profile=EMAIL, consent=CONSENT, **stated)


def chose(who: str, minutes: float, **stated: Any) -> SupporterChanged:
    return change(who, minutes, stated_by="supporter", source="preference-page", **stated)


def tracking(allows: str, minutes: float = 1) -> TrackingChoice:
    return TrackingChoice.model_validate(
        {"allows": allows, "wording": "Yes, see", "source": "preference-page", "at": at(minutes)}
    )


def test_who_left_a_topic_gets_no_mail_about_it_at_that_inbox(world: World) -> None:
    world.hear(mailable(ADA), mailable(BEN))
    world.hear(chose(ADA, 1, topics={"events": False}))
    world.hear_ourselves()
    assert world.suppressed() == {
        f"{ADA}|topic:events": "unsubscribed", f"{INBOX}|topic:events": "unsubscribed",
    }  # fmt: skip
    assert world.mailable(topic="events") == set()
    assert world.mailable(topic="news") == {ADA, BEN}


def test_who_joins_again_gets_it_unless_somebody_else_of_the_inbox_left(world: World) -> None:
    world.hear(mailable(ADA), mailable(BEN))
    world.hear(chose(ADA, 1, topics={"events": False}), chose(BEN, 1, topics={"events": False}))
    world.hear_ourselves()
    world.hear(chose(ADA, 2, topics={"events": True}))
    assert world.suppressed()[f"{ADA}|topic:events"] is None
    assert world.suppressed()[f"{INBOX}|topic:events"] == "unsubscribed"
    world.hear_ourselves()
    world.hear(chose(BEN, 3, topics={"events": True}))
    assert set(world.suppressed().values()) == {None}


def test_their_choice_of_tracking_wins_over_what_was_imported(world: World) -> None:
    world.hear(mailable(ADA, attributes={"pixel_consent": True}))
    (member,) = world.members()
    assert member.pixel(needs_consent=True)
    assert member.links
    world.hear(chose(ADA, 1, tracking=tracking("links")))
    (member,) = world.members()
    assert not member.pixel(needs_consent=False)
    assert member.links
    world.hear(chose(ADA, 2, tracking=tracking("none", 2)))
    (member,) = world.members()
    assert not member.links
    assert world.column("tracking_wording", ADA) == "Yes, see"
    assert world.column("tracking_source", ADA) == "preference-page"


def test_an_older_choice_never_replaces_a_newer_one(world: World) -> None:
    world.hear(mailable(ADA))
    world.hear(chose(ADA, 3, tracking=tracking("none", 3)))
    world.hear(chose(ADA, 4, tracking=tracking("all", 2)))
    assert world.column("tracking", ADA) == "none"


def test_who_said_nothing_has_the_pixel_only_where_no_consent_is_asked(world: World) -> None:
    world.hear(mailable(ADA), change(BEN, profile={"email": "b@example.org"}, consent=CONSENT))
    world.hear(change(BEN, 1, attributes={"pixel_consent": False}))
    ada, ben = world.members()
    assert not ada.pixel(needs_consent=True)
    assert ada.pixel(needs_consent=False)
    assert not ben.pixel(needs_consent=False)


def test_a_frequency_that_is_none_is_everything(world: World) -> None:
    world.hear(mailable(ADA, attributes={FREQUENCY: "hourly"}))
    (member,) = world.members()
    assert member.frequency == "everything"
    world.hear(chose(ADA, 1, attributes={FREQUENCY: "weekly"}))
    (member,) = world.members()
    assert member.frequency == "weekly"
