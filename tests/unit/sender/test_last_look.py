"""May this message still go? Case by case, at the last moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.sender.last_look import Candidate, Orders, look

NOW, MARGIN = 1_000_000, 40_000
CANDIDATE = Candidate(
    entry_no=1, message_id="m", send_id="ask", occurrence=0, partition=3, supporter_id="ada",
    address_key="inbox", variant="a", edition="", topic="news", deadline_ms=None, sender="f@x",
    to_address="a@x", batch_id="b", entry=0, attempt=0,
)  # fmt: skip


def test_with_nothing_against_it_it_goes() -> None:
    assert look(CANDIDATE, {}, Orders(), NOW, MARGIN) is None


@pytest.mark.parametrize("subject", ["ada", "inbox"])
@pytest.mark.parametrize("scope", ["everything", "topic:news", "send:ask"])
def test_a_suppression_of_person_or_inbox_stops_it(subject: str, scope: str) -> None:
    found = look(CANDIDATE, {subject: {scope: "unsubscribed"}}, Orders(), NOW, MARGIN)
    assert found == ("suppressed", "unsubscribed")


def test_without_an_address_it_goes_nowhere() -> None:
    """Its person was erased; should the suppression be lifted, it is known no more where to."""
    found = look(replace(CANDIDATE, to_address=""), {}, Orders(), NOW, MARGIN)
    assert found == ("suppressed", "erased")


def test_other_people_topics_and_sends_do_not() -> None:
    others = {
        "bob": {"everything": "unsubscribed"},
        "ada": {"topic:events": "unsubscribed", "send:other": "unsubscribed"},
    }
    assert look(CANDIDATE, others, Orders(), NOW, MARGIN) is None


def test_who_has_acted_is_excluded() -> None:
    found = look(CANDIDATE, {"ada": {"send:ask": "excluded"}}, Orders(), NOW, MARGIN)
    assert found is not None
    assert found[0] == "excluded"


def test_a_cancelled_send_goes_nowhere() -> None:
    found = look(CANDIDATE, {}, Orders(cancelled={"ask"}), NOW, MARGIN)
    assert found is not None
    assert found[0] == "cancelled"


def test_the_effective_deadline_comes_a_margin_earlier() -> None:
    on_time = replace(CANDIDATE, deadline_ms=NOW + MARGIN + 1)
    late = replace(CANDIDATE, deadline_ms=NOW + MARGIN)
    assert look(on_time, {}, Orders(), NOW, MARGIN) is None
    found = look(late, {}, Orders(), NOW, MARGIN)
    assert found is not None
    assert found[0] == "expired"
