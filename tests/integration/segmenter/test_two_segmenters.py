"""Two segmenters on one PostgreSQL: they share the work, and whatever befalls one of them, nobody
is mailed twice and nobody is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from services.segmenter.people.audience import holding
from shared.programme.definitions import Segment, Send, Variant
from shared.programme.rules import AllOf, Did, HasTag, NoneOf, Rule
from shared.store.postgres.connection import PostgresDatabase
from tests.integration.segmenter.town import ASK, DOERS, PARTITIONS, THANKS, TOWN, Town, supporter

pytestmark = pytest.mark.real("postgres")

PEOPLE = 240
EVERYBODY = Counter({supporter(number): 1 for number in range(PEOPLE)})
SLOWLY = {"DOORSTEP_SEGMENTER__WAVE_RECIPIENTS": "10"}
"""A wave of ten a partition: the send lasts for as long as it takes the test to answer."""

# Longer than the store lets a frozen transaction hold its locks (10 s), and some.
THAW_SECONDS = 60.0


def both(town: Town, *, fail_at: str = "", **settings: str) -> None:
    """Two of them at work, `one` (with a fail point, if any) and `two`, each on its half."""
    town.start(name="two", **settings)
    town.until(lambda: len(town.owned("two")) == PARTITIONS, "the first to own all")
    town.start(fail_at, name="one", **settings)
    town.until(lambda: halves(town), "the halves")


def halves(town: Town) -> bool:
    parts = [town.owned(name) for name in ("one", "two")]
    return sorted(parts[0] + parts[1]) == list(range(PARTITIONS)) and len(parts[0]) == len(parts[1])


def released(town: Town, send: str) -> Counter[str]:
    return Counter(one.supporter_id for one in town.released() if one.send_id == send)


def finish(town: Town, expected: Counter[str] = EVERYBODY) -> None:
    """Answer for everybody who is released, until the send is finished."""
    told: set[str] = set()

    def finished() -> bool:
        for one in town.released():
            if one.supporter_id not in told:
                told.add(one.supporter_id)
                town.tell(
                    "accepted", one.supporter_id, message_id=one.message_id, send_id=one.send_id,
                    variant=one.variant, edition=one.edition, attempt=1,
                )  # fmt: skip
        made = town.decision("ask")
        return made is not None and made.state == "finished"

    town.until(finished, "the send to finish", seconds=THAW_SECONDS)
    assert released(town, "ask") == expected


def books(town: Town, send: str) -> Counter[str]:
    """The books of all instances, added up; every partition is spoken for once."""
    told = [town.ask("/ask/books", of=name, send=send) for name in town.instances]
    assert sorted(p for one in told for p in one["partitions"]) == list(range(PARTITIONS))
    added: Counter[str] = Counter()
    for one in told:
        added.update({"frozen": one["frozen"], "open": one["open"]})
        added.update(one["states"])
    return +added


@contextmanager
def reading(town: Town) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(town.postgres, "segmenter", name="test", read_only=True)
    try:
        yield database
    finally:
        database.close()


def test_they_share_the_people_and_their_answers_add_up(shared_town: Town) -> None:
    town = shared_town
    town.people(PEOPLE)
    town.people(30, first=PEOPLE, tags_added=())
    town.apply(TOWN, ASK)
    both(town, **SLOWLY)
    everyone: Rule = AllOf(parts=())
    town.until(
        lambda: sum(town.count(everyone, of=n)["matching"] for n in ("one", "two")) == PEOPLE + 30,
        "everybody to be known",
    )
    counts = [town.count(HasTag(tag="town"), of=name) for name in ("one", "two")]
    assert sum(one["mailable"] for one in counts) == PEOPLE
    assert all(0 < one["mailable"] < PEOPLE for one in counts)
    town.until(
        lambda: sum(
            town.ask("/ask/segments", of=n)["segments"][0]["live"] or 0 for n in ("one", "two")
        ) == PEOPLE,
        "the members",
    )  # fmt: skip
    town.order(ASK)
    finish(town)
    assert books(town, "ask") == {"frozen": PEOPLE, "accepted": PEOPLE}
    told = [
        town.ask("/ask/explain", of=name, send="ask", supporter=supporter(0))
        for name in ("one", "two")
    ]
    (ours,) = [one for one in told if "error" not in one]
    (theirs,) = [one for one in told if "error" in one]
    assert ours["frozen"]["state"] == "accepted"
    assert set(theirs["partitions"]).isdisjoint(ours["partitions"])


@pytest.mark.parametrize(
    "fail_at",
    [
        "segmenter.freeze.before_commit:2",
        "segmenter.freeze.after_commit:1",
        "segmenter.release.before_commit:3",
        "segmenter.release.after_commit:4",
        "relay.before_commit:4",
        "relay.after_commit:4",
        "stateful.before_commit:3",
        "stateful.after_commit:3",
    ],
)
def test_one_that_dies_leaves_its_part_to_the_other(shared_town: Town, fail_at: str) -> None:
    town = shared_town
    town.people(PEOPLE)
    town.apply(TOWN, ASK)
    both(town, fail_at=fail_at, **SLOWLY)
    town.order(ASK, due_at=datetime.now(UTC))
    finish(town)
    assert town.killed("one"), "it has come to the point where it dies"
    town.until(lambda: len(town.owned("two")) == PARTITIONS, "the other to own all again")
    assert books(town, "ask") == {"frozen": PEOPLE, "accepted": PEOPLE}


def test_one_frozen_and_thawed_finds_itself_replaced_and_does_no_harm(shared_town: Town) -> None:
    """Frozen three times, wherever it happens to be, while the send is under way."""
    town = shared_town
    town.people(PEOPLE)
    town.apply(TOWN, ASK)
    both(town, **SLOWLY)
    town.order(ASK)
    for least in (10, 60, 120):
        town.until(
            lambda least=least: answered(town) >= least, f"{least} answers", seconds=THAW_SECONDS
        )
        town.freeze("one")
        town.until(
            lambda: len(town.owned("two")) == PARTITIONS, "the other to own all", THAW_SECONDS
        )
        answered(town)
        town.thaw("one")
        town.until(lambda: halves(town), "the halves again", seconds=THAW_SECONDS)
    finish(town)
    assert books(town, "ask") == {"frozen": PEOPLE, "accepted": PEOPLE}
    assert all(one.process.poll() is None for one in town.instances.values())


def answered(town: Town) -> int:
    """Answer for everybody who is released so far; how many those are."""
    town.accept_all()
    return len(released(town, "ask"))


def test_a_segment_edited_while_both_are_at_work_is_what_its_rule_says(shared_town: Town) -> None:
    town = shared_town
    rules: list[Rule] = [
        Did(action="volunteered"),
        AllOf(parts=(Did(action="volunteered"), NoneOf(parts=(Did(action="voted"),)))),
        AllOf(parts=(HasTag(tag="town"), NoneOf(parts=(Did(action="voted"),)))),
    ]
    town.people(60)
    town.apply(Segment(name="doers", rule=rules[0]))
    both(town)
    for step, rule in enumerate(rules):
        town.apply(Segment(name="doers", rule=rule))
        for number in range(step * 15, step * 15 + 20):
            town.tell("acted", supporter(number), action=("volunteered", "voted")[number % 2])
        if step == 1:
            town.kill("one")
        if step == 2:
            town.start(name="one")
    live = Segment(name="doers", rule=rules[-1]).version()
    people = [supporter(number) for number in range(60)]
    acted = {supporter(number) for number in range(50)}

    def settled() -> bool:
        with reading(town) as database:
            versions = database.execute("select version from live_segment where segment = 'doers'")
            heard = database.execute("select distinct supporter_id from action")
            return [v for (v,) in versions] == [live] * PARTITIONS and {
                s for (s,) in heard
            } == acted

    town.until(settled, "all to be heard and seeded")
    with reading(town) as database:
        found = database.execute("select supporter_id from membership where segment = 'doers'")
        members = {supporter_id for (supporter_id,) in found}
        assert members == holding(database, rules[-1], datetime.now(UTC), people)


def test_who_newly_qualifies_is_thanked_once_though_owners_change(shared_town: Town) -> None:
    town = shared_town
    town.people(40)
    town.apply(DOERS, THANKS)
    both(town)
    town.order(THANKS, due_at=datetime.now(UTC))
    town.until(lambda: town.decision("thanks") is not None, "the launch")
    for number in range(30):
        town.tell("acted", supporter(number), action="volunteered")
        if number == 10:
            town.kill("two")
        if number == 20:
            town.start(name="two")
    expected = Counter({supporter(number): 1 for number in range(30)})
    town.until(lambda: sum(released(town, "thanks").values()) >= 30, "all thanks")
    assert released(town, "thanks") == expected


def test_a_send_for_nobody_is_decided_once(shared_town: Town) -> None:
    """The one who decides hears of the parts of the other."""
    town = shared_town
    nobody = Segment(name="nobody", rule=HasTag(tag="nobody"))
    send = Send(name="void", segment="nobody", variants=(Variant(name="a", template="t"),))
    town.people(20)
    town.apply(nobody, send)
    both(town)
    town.order(send)
    town.until(lambda: town.decision("void") is not None, "the decision")
    made = town.decision("void")
    assert made is not None
    assert made.state == "empty"
