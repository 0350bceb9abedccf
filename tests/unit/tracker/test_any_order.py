"""Everything SES says of one message, each twice, in any order: the same end state."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.tracker.facts import records
from services.tracker.raw_hits import SesHit
from shared.ids import address_key
from tests.unit.tracker.building import ADA, SECRET, envelopes, making
from tests.unit.tracker.ses_fixtures import ADDRESS, FIXTURES, VARIANTS, text

TELLINGS = [*FIXTURES, *VARIANTS] * 2


def end_state(names: list[str]) -> tuple[dict[str, dict[str, Any]], set[tuple[str, str]]]:
    """What readers are left with: every event once, by its id, and whom nobody mails any more.

    When we were told (`told_at`) is about the telling, and the reason of a suppression is the one
    that was told last; neither decides whether somebody is mailed.
    """
    events: dict[str, dict[str, Any]] = {}
    suppressed: set[tuple[str, str]] = set()
    for at_ms, name in enumerate(names):
        hit = SesHit(at_ms=1_780_000_000_000 + at_ms, text=text(name))
        for one in envelopes(records(hit, f"spool:{at_ms}", making())):
            said = one.data.model_dump(mode="json", exclude={"told_at"})
            if one.data.ce_type == "event":
                assert events.setdefault(one.id, said) == said
            else:
                suppressed.add((said["subject"], said["scope"]))
    return events, suppressed


EXPECTED = end_state(TELLINGS)


@settings(deadline=None)  # nothing here is about time
@given(st.permutations(TELLINGS))
def test_any_order_and_each_twice_is_the_same_end_state(names: list[str]) -> None:
    assert end_state(names) == EXPECTED


@settings(deadline=None)
@given(st.lists(st.sampled_from(TELLINGS), max_size=40))
def test_what_is_told_again_changes_nothing(names: list[str]) -> None:
    assert end_state(names) == end_state(list(dict.fromkeys(names)))


def test_the_end_state_is_the_one_that_the_events_mean() -> None:
    events, suppressed = EXPECTED
    assert sorted(event["kind"] for event in events.values()) == [
        "bounced", "bounced", "bounced", "bounced", "complained", "complained", "delayed",
        "delayed", "delivered", "rejected", "ses_sent", "soft_bounced", "soft_bounced",
        "soft_bounced", "soft_bounced",
    ]  # fmt: skip
    assert suppressed == {
        (ADA, "everything"), (address_key(ADDRESS, SECRET), "everything"),
    }  # fmt: skip
