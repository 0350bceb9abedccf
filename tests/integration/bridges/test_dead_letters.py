"""Dead letters that hold people: replay sends to each of them once, discard closes their books."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.console.programme_topic import read_table
from tests.end_to_end.whole_run import CAMPAIGN, EVERYBODY, TEMPLATE, Pipeline, statement
from tests.integration.bridges.command_line import answer, doorstep
from tests.integration.sender.audience import people
from tests.integration.sender.processes import until

PEOPLE = 30
BROKEN = "tests.integration.bridges.broken_renderer"


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """Everything runs, and the renderer can handle nothing."""
    with Pipeline(tmp_path) as here:
        here._running["renderer"].stop()
        here._running["renderer"] = here.start(BROKEN).wait_for_line("loop.ownership")
        here.tell(*(statement(person, "everybody") for person in people(PEOPLE)))
        here.apply(CAMPAIGN, TEMPLATE, EVERYBODY)
        yield here


def people_in_letters(here: Pipeline, send: str) -> int:
    letters = answer(here, "dead-letters", "list")
    about = [answer(here, "dead-letters", "show", each["id"])["about"] for each in letters]
    return sum(each[send] for each in about)


def open_letters(here: Pipeline) -> dict[str, int]:
    """As `doorstep status` counts them."""
    found: dict[str, int] = answer(here, "status")["open_dead_letters"]
    return found


def finished(here: Pipeline, send: str) -> bool:
    decision = read_table(here.log).decisions.get(send)
    return decision is not None and decision.state == "finished"


def test_discarding_ends_everybody_inside_as_failed_and_the_send_is_finished(
    pipeline: Pipeline,
) -> None:
    pipeline.launch("ask")
    until(lambda: people_in_letters(pipeline, "ask") == PEOPLE, "everybody in dead letters")
    assert not pipeline.rows("ask"), "the sender has heard of nobody"
    assert not finished(pipeline, "ask")
    assert open_letters(pipeline)

    said = doorstep(pipeline, "dead-letters", "discard", "--all", code=64)
    assert "--reason" in said.stderr
    said = doorstep(pipeline, "dead-letters", "discard", "--all", "--reason", "a planted fault")
    assert "of the send ask" in said.stdout

    until(lambda: finished(pipeline, "ask"), "the send to be finished")
    assert pipeline.states("ask") == {"failed": PEOPLE}
    assert {row["reason"] for row in pipeline.rows("ask").values()} == {"dead letter"}
    assert not pipeline.mailed("ask")
    assert answer(pipeline, "dead-letters", "list") == []
    assert not open_letters(pipeline)
    dealt_with = answer(pipeline, "dead-letters", "list", "--handled")
    assert {each["handled"]["reason"] for each in dealt_with} == {"a planted fault"}

    again = dealt_with[0]["id"][:8]
    said = doorstep(pipeline, "dead-letters", "replay", again, code=64)
    assert "dealt with already" in said.stderr


def test_replaying_once_the_cause_is_mended_sends_to_each_once(pipeline: Pipeline) -> None:
    pipeline.launch("ask")
    until(lambda: people_in_letters(pipeline, "ask") == PEOPLE, "everybody in dead letters")
    pipeline._running["renderer"].stop()
    pipeline._running["renderer"] = pipeline.start("services.renderer")

    letters = answer(pipeline, "dead-letters", "list")
    one = letters[0]["id"][:8]
    assert "on audience again" in doorstep(pipeline, "dead-letters", "replay", one).stdout
    doorstep(pipeline, "dead-letters", "replay", "--all")
    assert answer(pipeline, "dead-letters", "list") == []

    until(lambda: finished(pipeline, "ask"), "the send to be finished")
    assert pipeline.states("ask") == {"accepted": PEOPLE}
    assert set(pipeline.mailed("ask").values()) == {1}
    assert "No dead letter is open" in doorstep(pipeline, "dead-letters", "replay", "--all").stdout
