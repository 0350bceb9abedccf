"""Orders: what a command makes of the newest order, and what stands in its way."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest

from services.console import orders
from services.console.orders import NotPossible, Orderer, Standing, standing_of
from services.console.send_states import MEANING, State, state_of
from shared.wire.programme import SendDecision, SendOrder
from tests.unit.console.programme import HALTED, NOW, decided, ordered, send, table

BY = Orderer("kim", NOW)


def standing(
    order: SendOrder | None = None, decision: SendDecision | None = None, *, halted: bool = False
) -> Standing:
    programme = table()
    if order is not None:
        programme.orders["ask"] = order
    if decision is not None:
        programme.decisions["ask"] = decision
    programme.halt = HALTED if halted else None
    return standing_of(programme, "ask", NOW)


@pytest.mark.parametrize(
    ("order", "decision", "state"),
    [
        (None, None, "draft"),
        (ordered(due=60), None, "scheduled"),
        (ordered(due=60, paused=True), None, "paused"),
        (ordered(), None, "freezing"),
        (ordered(), decided("held"), "held"),
        (ordered(), decided("released"), "sending"),
        (ordered(paused=True), decided("released"), "paused"),
        (ordered(cancelled=True, due=60), None, "cancelled"),
        (ordered(cancelled=True), decided("released"), "cancelling"),
        (ordered(cancelled=True), decided("cancelled"), "cancelled"),
        (ordered(paused=True), decided("finished"), "finished"),
        (ordered(), decided("empty"), "empty"),
    ],
)
def test_the_state_of_a_send_follows_from_its_order_and_its_decision(
    order: SendOrder | None, decision: SendDecision | None, state: State
) -> None:
    assert state_of(order, decision, NOW) == state


def test_every_state_has_its_sentence() -> None:
    assert set(MEANING) == set(get_args(State))


def test_a_settle_order_is_for_once_and_not_carried_on_by_the_next_order() -> None:
    settled = ordered(pinned={"send/ask": "v"}, settle="resend")
    paused = orders.paused(standing(settled, decided("released")), BY)
    assert paused is not None
    assert paused.settle is None


def test_an_order_changes_one_thing_and_keeps_the_rest_on_the_record() -> None:
    before = ordered(pinned={"send/ask": "v"}, approved_count=7)
    paused = orders.paused(standing(before, decided("released")), BY)
    assert paused is not None
    assert paused.model_dump(exclude={"paused", "ordered_at", "ordered_by"}) == before.model_dump(
        exclude={"paused", "ordered_at", "ordered_by"}
    )
    assert (paused.paused, paused.ordered_by, paused.ordered_at) == (True, "kim", NOW)


def test_what_is_paused_already_needs_no_order() -> None:
    assert orders.paused(standing(ordered(paused=True), decided("released")), BY) is None


def test_resuming_writes_an_order_even_when_only_the_sender_held_it_back() -> None:
    resumed = orders.resumed(standing(ordered(), decided("released")), BY)
    assert (resumed.paused, resumed.ordered_at) == (False, NOW)


def test_nothing_is_resumed_or_launched_during_a_halt() -> None:
    with pytest.raises(NotPossible, match="halt --lift"):
        orders.resumed(standing(ordered(paused=True), halted=True), BY)
    with pytest.raises(NotPossible, match="halt --lift"):
        orders.may_launch(standing(halted=True))


@pytest.mark.parametrize("change", [orders.paused, orders.resumed, orders.cancelled])
def test_a_send_that_is_a_draft_or_over_cannot_be_ordered_about(change: object) -> None:
    assert callable(change)
    for it in (standing(), standing(ordered(), decided("finished"))):
        with pytest.raises(NotPossible, match="nothing to"):
            change(it, BY)


@pytest.mark.parametrize(
    ("order", "decision", "said"),
    [
        (ordered(), decided("finished"), "under a new name"),
        (ordered(), decided("released"), "under way already"),
        (ordered(), None, "under way already"),
        (ordered(paused=True), decided("released"), "send resume ask"),
        (ordered(cancelled=True, due=60), None, "under a new name"),
    ],
)
def test_a_send_goes_out_once(order: SendOrder, decision: SendDecision | None, said: str) -> None:
    with pytest.raises(NotPossible, match=said):
        orders.may_launch(standing(order, decision))


@pytest.mark.parametrize(
    "it",
    [standing(), standing(ordered(due=60)), standing(ordered(), decided("held"))],
    ids=["draft", "scheduled", "held"],
)
def test_drafts_scheduled_and_held_sends_may_be_launched(it: Standing) -> None:
    orders.may_launch(it)


def test_an_unknown_send_gets_the_nearest_name() -> None:
    with pytest.raises(NotPossible, match='did you mean "ask"'):
        standing_of(table(), "aks", NOW)


def test_everything_a_send_is_made_of_is_pinned() -> None:
    programme = table(send())
    pinned = orders.pins(programme, send())
    assert pinned == {
        f"{kind}/{name}": known.version for (kind, name), known in programme.newest.items()
    }
    assert set(pinned) == {
        "send/ask", "segment/everybody", "template/letter", "areas/wards", "campaign/forth",
    }  # fmt: skip


def test_a_send_whose_parts_were_removed_is_not_launched() -> None:
    programme = table(send())
    del programme.newest["template", "letter"], programme.newest["campaign", "forth"]
    with pytest.raises(NotPossible, match="template letter, the campaign"):
        orders.pins(programme, send())


def test_lifting_a_halt_pauses_exactly_what_would_go_on_by_itself() -> None:
    programme = table()
    programme.halt = HALTED
    states = {
        "due-in-the-halt": (ordered("due-in-the-halt", due=-1), None),
        "sending": (ordered("sending"), decided("released", "sending")),
        "paused": (ordered("paused", paused=True), decided("released", "paused")),
        "later": (ordered("later", due=600), None),
        "held": (ordered("held"), decided("held", "held")),
        "finished": (ordered("finished"), decided("finished", "finished")),
    }
    for name, (order, decision) in states.items():
        programme.orders[name] = order
        if decision is not None:
            programme.decisions[name] = decision
    pauses, lifted = orders.lifted(programme, BY)
    assert [each.send_id for each in pauses] == ["due-in-the-halt", "sending"]
    assert all(each.paused for each in pauses)
    assert not lifted.halted


def test_settling_is_possible_for_a_send_that_is_over() -> None:
    order = orders.settled(standing(ordered(), decided("finished")), "resend", BY)
    assert order.settle == "resend"
    with pytest.raises(NotPossible, match="has not been launched"):
        orders.settled(standing(), "leave", BY)


def test_the_newest_occurrence_of_a_decision_stands() -> None:
    programme = table()
    assert programme.send("ask") == send()
    later = NOW + timedelta(seconds=1)
    assert state_of(ordered(due=1), None, later) == "freezing"
