"""The segmenter killed at each of its commit points: nobody twice, nobody forgotten."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.integration.segmenter.town import ASK, DOERS, THANKS, TOWN, Town, supporter

PEOPLE = 40
EVERYBODY = Counter({supporter(n): 1 for n in range(PEOPLE)})
POINTS = [
    "segmenter.freeze.before_commit:1",
    "segmenter.freeze.before_commit:3",
    "segmenter.freeze.after_commit:1",
    "segmenter.freeze.after_commit:4",
    "segmenter.decide.after_commit:1",
    "segmenter.release.before_commit:1",
    "segmenter.release.before_commit:2",
    "segmenter.release.after_commit:1",
    "segmenter.release.after_commit:3",
    "stateful.before_commit:2",
    "stateful.after_commit:2",
    "relay.before_commit:1",
    "relay.before_commit:4",
    "relay.after_commit:1",
    "relay.after_commit:4",
]


def released(town: Town, send: str) -> Counter[str]:
    return Counter(one.supporter_id for one in town.released() if one.send_id == send)


@pytest.mark.parametrize("fail_at", POINTS)
def test_after_a_crash_everybody_is_released_once_and_the_books_close(
    town: Town, fail_at: str
) -> None:
    town.people(PEOPLE)
    town.apply(TOWN, ASK)
    town.order(ASK)
    town.start(fail_at)
    assert town.killed()
    town.start()
    town.until(lambda: sum(released(town, "ask").values()) >= PEOPLE, "everybody's release")
    assert released(town, "ask") == EVERYBODY
    town.accept_all()
    town.until(
        lambda: (made := town.decision("ask")) is not None and made.state == "finished",
        "the books to close",
    )
    assert released(town, "ask") == EVERYBODY
    books = town.ask("/ask/books", send="ask")
    assert (books["frozen"], books["open"], books["states"]) == (
        PEOPLE, 0, {"accepted": PEOPLE},
    )  # fmt: skip


@pytest.mark.parametrize(
    "fail_at", ["segmenter.freeze.before_commit:5", "segmenter.freeze.after_commit:5"]
)
def test_a_crash_while_people_newly_qualify_thanks_each_once(town: Town, fail_at: str) -> None:
    """The first four freezes are the opening of the send in each partition."""
    town.people(12)
    town.apply(DOERS, THANKS)
    town.order(THANKS)
    town.start(fail_at)
    town.until(lambda: town.decision("thanks") is not None, "the launch")
    for number in range(8):
        town.tell("acted", supporter(number), action="volunteered")
    assert town.killed()
    town.start()
    town.until(lambda: sum(released(town, "thanks").values()) >= 8, "all thanks")
    assert released(town, "thanks") == Counter({supporter(n): 1 for n in range(8)})
