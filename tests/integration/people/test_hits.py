"""What is counted of opens and clicks, when, and what follows when more is known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.segmenter.people.hits import Patience
from shared.classification.agents import VERSION
from shared.errors import NeverRetry
from shared.log.topics import EVENTS
from shared.loop.delivery import Delivery
from shared.programme.links import HIDDEN_LINK
from shared.programme.rules import Clicked, Opened
from shared.wire.events import Event
from tests.integration.people.world import World, at, change, event, person

ADA, BEN = person(1), person(2)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/132.0.0.0 Safari/537.36"
)
SEND = {"send_id": "s1", "variant": "a", "edition": "e"}
PATIENCE = Patience()


@pytest.fixture
def mailed(world: World) -> World:
    """Two people who got a mail at noon, and a live segment of those who clicked, and opened."""
    world.use(clickers=Clicked(send="s1"), openers=Opened(send="s1"))
    for who in (ADA, BEN):
        world.hear(change(who), event("delivered", who, 0, **SEND))
    return world


def hit(
    who: str = ADA, minutes: float = 30, *, name: str = "", link: int | None = 0, **said: Any
) -> tuple[str, Event]:
    said = {
        "kind": "clicked" if link is not None else "opened", "link": link, "agent": "person",
        "agent_version": VERSION, "user_agent": CHROME, "method": "GET", **SEND, **said,
    }  # fmt: skip
    return name or f"{who[-1]}-{link}-{minutes}", Event(supporter_id=who, at=at(minutes), **said)


def hear(world: World, *hits: tuple[str, Event]) -> None:
    world.hear(*(told(world, each) for each in hits))


def told(world: World, named: tuple[str, Event]) -> Delivery:
    return world.delivery(named[1], named[0])


def wait(world: World, milliseconds: int) -> None:
    world.clock.advance(milliseconds / 1000)
    with world.store.unit() as unit:
        world.people.settle(unit, world.store.owned())


def judgements(world: World) -> list[dict[str, Any]]:
    found = [json.loads(record.value or b"") for record in world.said(EVENTS)]
    return [each for each in found if each["kind"] == "judged"]


def test_a_click_that_nothing_speaks_against_counts_after_a_moment(mailed: World) -> None:
    hear(mailed, hit())
    wait(mailed, PATIENCE.clear_ms - 1)
    assert mailed.belonging()["clickers"] == set()
    wait(mailed, 1)
    assert mailed.belonging() == {"clickers": {ADA}, "openers": set()}
    assert mailed.column("clicked_at", ADA, "delivery") == int(at(30).timestamp() * 1000)
    assert judgements(mailed) == []  # its own event says so


def test_one_sign_against_it_lets_it_wait_longer(mailed: World) -> None:
    hear(mailed, hit(minutes=0.05))
    wait(mailed, PATIENCE.doubtful_ms - 1)
    assert mailed.belonging()["clickers"] == set()
    wait(mailed, 1)
    assert mailed.belonging()["clickers"] == {ADA}


def test_a_scanner_that_looks_like_a_browser_moves_nobody_at_any_time(mailed: World) -> None:
    burst = [hit(minutes=0.01 + n / 200, link=n) for n in range(3)]
    pixel = hit(minutes=0.02, link=None)
    for each in (*burst, pixel):
        hear(mailed, each)
        wait(mailed, 300)
    for _ in range(3):
        wait(mailed, PATIENCE.doubtful_ms)
    assert mailed.belonging() == {"clickers": set(), "openers": set()}
    assert mailed.moves() == []
    assert {each["hit"] for each in judgements(mailed)} == {name for name, _ in (*burst, pixel)}
    assert {each["agent"] for each in judgements(mailed)} == {"scanner"}
    assert judgements(mailed)[0]["reasons"] == ["soon_after_delivery", "many_links_at_once"]


def test_a_prefetch_and_a_scanner_by_name_move_nobody_and_need_no_judgement(mailed: World) -> None:
    hear(
        mailed,
        hit(link=None, user_agent="Mozilla/5.0", agent="prefetch"),
        hit(user_agent="Barracuda Sentinel (EE)", agent="scanner"),
        hit(link=1, method="HEAD", agent="scanner"),
    )
    for _ in range(3):
        wait(mailed, PATIENCE.doubtful_ms)
    assert mailed.moves() == []
    assert judgements(mailed) == []


def test_the_hidden_link_takes_back_what_was_counted_before_it(mailed: World) -> None:
    hear(mailed, hit(name="first"))
    wait(mailed, PATIENCE.clear_ms)
    assert mailed.belonging()["clickers"] == {ADA}
    hear(mailed, hit(minutes=30.5, link=HIDDEN_LINK, name="hidden", agent="scanner"))
    wait(mailed, PATIENCE.clear_ms)
    assert mailed.belonging()["clickers"] == set()
    assert mailed.column("clicked_at", ADA, "delivery") is None
    (told_once,) = judgements(mailed)
    assert (told_once["hit"], told_once["agent"]) == ("first", "scanner")
    assert told_once["agent_version"] == VERSION
    assert told_once["reasons"] == ["with_hidden_link"]
    entered, left = mailed.moves()
    assert entered[2:] == ("entered", "first")
    assert left[2] == "left"
    assert left[3] != "first"  # its cause is the judgement


def test_a_persons_click_counts_beside_a_scanners(mailed: World) -> None:
    scan = [hit(minutes=0.01, link=n, name=f"scan-{n}") for n in (0, 1, HIDDEN_LINK)]
    mine = hit(minutes=20, user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
    hear(mailed, *scan, mine)
    wait(mailed, PATIENCE.doubtful_ms)
    assert mailed.belonging()["clickers"] == {ADA}
    assert mailed.column("clicked_at", ADA, "delivery") == int(at(20).timestamp() * 1000)


def test_word_of_the_delivery_that_comes_late_decides(world: World) -> None:
    world.use(clickers=Clicked(send="s1"))
    world.hear(change(ADA), change(BEN))
    for who, minutes in ((ADA, 30), (BEN, 0.05)):
        hear(world, hit(who, minutes, link=0), hit(who, minutes + 0.01, link=1, name=f"{who}-b"))
    wait(world, PATIENCE.clear_ms)
    assert world.belonging()["clickers"] == set()
    world.hear(event("delivered", ADA, 0, **SEND), event("delivered", BEN, 0, **SEND))
    wait(world, PATIENCE.doubtful_ms)
    assert world.belonging()["clickers"] == {ADA}


def test_a_newer_version_stands_and_an_older_one_says_nothing(mailed: World) -> None:
    hear(mailed, hit(name="mine"))
    wait(mailed, PATIENCE.clear_ms)
    newer = event("judged", ADA, 60, hit="mine", agent="scanner", agent_version=9, **SEND)
    older = event("judged", ADA, 61, hit="mine", agent="person", agent_version=1, **SEND)
    mailed.hear(newer, older)
    assert mailed.belonging()["clickers"] == set()
    hear(mailed, hit(minutes=40, link=1, name="later", agent="scanner", method="HEAD"))
    wait(mailed, PATIENCE.doubtful_ms)
    assert mailed.belonging()["clickers"] == set()
    assert judgements(mailed) == []  # what we say ourselves is of an older version


def test_a_newer_version_may_also_free_what_ours_condemned(mailed: World) -> None:
    hear(mailed, hit(name="mine", user_agent="curl/8", agent="scanner"))
    wait(mailed, PATIENCE.clear_ms)
    mailed.hear(event("judged", ADA, 60, hit="mine", agent="person", agent_version=9, **SEND))
    assert mailed.belonging()["clickers"] == {ADA}


def test_everything_again_changes_nothing_and_says_nothing_twice(mailed: World) -> None:
    burst = [hit(minutes=0.01, link=n) for n in (0, 1, HIDDEN_LINK)]
    hear(mailed, *burst, hit(BEN))
    wait(mailed, PATIENCE.doubtful_ms)
    rows, said = mailed.rows(), len(judgements(mailed))
    hear(mailed, *burst, hit(BEN))
    mailed.hear(event("delivered", ADA, 0, **SEND), event("delivered", BEN, 0, **SEND))
    wait(mailed, PATIENCE.doubtful_ms)
    assert mailed.rows()["delivery"] == rows["delivery"]
    assert mailed.belonging()["clickers"] == {BEN}
    assert len(judgements(mailed)) == said


def test_a_judgement_without_its_hit_is_refused(mailed: World) -> None:
    with pytest.raises(NeverRetry, match="without its hit"):
        mailed.hear(event("judged", ADA, agent="scanner", agent_version=2, **SEND))


def test_what_an_older_store_had_counted_stays_counted(world: World) -> None:
    from services.segmenter.people.schema import LATER_DDL

    world.hear(change(ADA), event("accepted", ADA, 0, **SEND))
    with world.store.unit() as unit:
        unit.connection.execute("update delivery set clicked_at = 7, opened_at = 5")
        for statement in LATER_DDL[2:4]:
            unit.connection.execute(statement)
    hear(world, hit(minutes=9))
    wait(world, PATIENCE.doubtful_ms)
    assert world.column("clicked_at", ADA, "delivery") == 7
    assert world.column("opened_at", ADA, "delivery") == 5
