"""What people order, and what must stop a mail up to the last moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shared.log.record import Record
from shared.log.topics import PROGRAMME
from tests.integration.sender.audience import Person, entry, people
from tests.integration.sender.processes import ServiceProcess, until
from tests.integration.sender.station import Body, Station

PEOPLE = 12


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("orders"), body=body) as running:
        yield running


@pytest.fixture(scope="module")
def sender(station: Station) -> ServiceProcess:
    return station.start_sender().wait_for_line("loop.ownership")


@pytest.fixture
def slowly(station: Station) -> Iterator[None]:
    """SES takes a third of a second for each answer, so that orders come while a send goes on."""
    station.sandbox.switch(latency_ms=300)
    yield
    station.sandbox.switch(latency_ms=0)


def let_a_send_pass(station: Station, name: str) -> None:
    """Mail another send meanwhile."""
    station.feed(name, people(2, name))
    station.wait_for_states(name, accepted=2)


def test_a_paused_send_waits_and_holds_up_no_other(
    station: Station, sender: ServiceProcess
) -> None:
    station.order("paused", paused=True)
    station.wait_until_ordered()
    station.feed("paused", people(PEOPLE, "paused"))

    let_a_send_pass(station, "beside-paused")

    assert station.states("paused") == {"ready": PEOPLE}
    station.order("paused", paused=False)
    station.wait_for_states("paused", accepted=PEOPLE)
    assert station.audit("paused", "beside-paused")["balanced"]


@pytest.mark.usefixtures("slowly")
def test_a_send_that_is_paused_under_way_stops_and_goes_on(
    station: Station, sender: ServiceProcess
) -> None:
    station.feed("under-way", people(40, "under-way"))
    until(lambda: station.states("under-way")["accepted"], "the first mail")

    station.order("under-way", paused=True)

    station.wait_until_ordered()
    until(lambda: not station.states("under-way")["attempting"], "the calls in flight to end")
    stopped_at = station.states("under-way")
    assert stopped_at["ready"] > 0
    let_a_send_pass(station, "later-still")
    assert station.states("under-way") == stopped_at
    station.order("under-way", paused=False)
    station.wait_for_states("under-way", accepted=40)
    assert station.audit("under-way")["balanced"]


@pytest.mark.usefixtures("slowly")
def test_cancelling_ends_what_has_not_left_and_keeps_what_has(
    station: Station, sender: ServiceProcess
) -> None:
    station.feed("called-off", people(40, "called-off"))
    until(lambda: station.states("called-off")["accepted"], "the first mail")

    station.order("called-off", cancelled=True)

    states = station.wait_until_closed("called-off", 40)
    assert states["accepted"] == station.mailed("called-off").total()
    assert states["cancelled"] == 40 - states["accepted"] > 0
    assert station.audit("called-off")["balanced"]


def test_cancelling_reaches_a_paused_send(station: Station, sender: ServiceProcess) -> None:
    station.order("paused-off", paused=True)
    station.wait_until_ordered()
    station.feed("paused-off", people(PEOPLE, "paused-off"))

    station.order("paused-off", paused=True, cancelled=True)

    station.wait_for_states("paused-off", cancelled=PEOPLE)
    assert station.mailed("paused-off").total() == 0


def test_a_halt_stops_every_send_until_it_is_lifted(
    station: Station, sender: ServiceProcess
) -> None:
    station.halt(halted=True)
    station.wait_until_ordered()
    late = datetime.now(UTC) + timedelta(seconds=1)
    station.feed("halted", people(PEOPLE, "halted"), priority="urgent")
    station.feed("expiring", people(2, "expiring"), deadline=late)

    station.wait_for_states("expiring", expired=2)
    assert station.states("halted") == {"ready": PEOPLE}

    station.halt(halted=False)
    station.wait_for_states("halted", accepted=PEOPLE)
    assert station.audit("halted", "expiring")["balanced"]


@pytest.mark.parametrize("paused", [False, True])
def test_nothing_leaves_after_its_deadline(
    station: Station, sender: ServiceProcess, paused: bool
) -> None:
    """Also of a paused send, which nobody looks at."""
    send = f"deadline-{'paused' if paused else 'slow'}"
    station.order(send, paused=paused)
    station.wait_until_ordered()
    station.sandbox.switch(latency_ms=300)
    deadline = datetime.now(UTC) + timedelta(seconds=3.5)
    station.feed(send, people(60, send), deadline=deadline)

    states = station.wait_until_closed(send, 60)

    station.sandbox.switch(latency_ms=0)
    assert states["expired"] > 0
    assert (states["accepted"] > 0) is not paused
    assert states["accepted"] + states["expired"] == 60
    assert station.audit(send)["balanced"], "the auditor looks at the times of acceptance"


def test_the_last_look_honours_every_scope_of_suppression(
    station: Station, sender: ServiceProcess
) -> None:
    send = "suppressed"
    station.order(send, paused=True)
    station.wait_until_ordered()
    found = station.feed(send, people(9, send), topic="campaign")
    until(lambda: station.states(send)["ready"] == 9, "intake")
    station.suppress(found[0].supporter_id, "everything", "unsubscribed")
    station.suppress(found[1].address_key, "everything", "hard_bounce")
    station.suppress(found[2].supporter_id, "topic:campaign", "unsubscribed")
    station.suppress(found[3].address_key, f"send:{send}", "complained")
    station.suppress(found[4].supporter_id, f"send:{send}", "excluded")
    station.suppress(found[5].supporter_id, "topic:news", "unsubscribed")
    station.suppress(found[6].supporter_id, "send:another", "excluded")
    station.suppress(found[7].supporter_id, "everything", "unsubscribed")
    station.lift(found[7].supporter_id, "everything")

    station.order(send, paused=False)

    station.wait_for_states(send, suppressed=4, excluded=1, accepted=4)
    rows = station.rows(send)
    said = [
        (rows[person.message_of(send)]["state"], rows[person.message_of(send)]["reason"])
        for person in found
    ]
    assert said == [
        ("suppressed", "unsubscribed"), ("suppressed", "hard_bounce"),
        ("suppressed", "unsubscribed"), ("suppressed", "complained"),
        ("excluded", "no longer belongs to the audience"),
        ("accepted", None), ("accepted", None), ("accepted", None), ("accepted", None),
    ]  # fmt: skip
    assert station.audit(send)["balanced"]


def household(name: str) -> list[Person]:
    """Two people behind one address, in different partitions."""
    return people(2, name, to_an_inbox=2)


def test_an_inbox_gets_one_mail_of_a_send_and_the_other_person_is_accounted_for(
    station: Station, sender: ServiceProcess
) -> None:
    first, second = household("home")
    station.feed("once", [first])
    station.wait_for_states("once", accepted=1)
    station.feed("once", [second])
    station.feed("another", [first])

    station.wait_for_states("once", accepted=1, capped=1)
    station.wait_for_states("another", accepted=1)

    assert station.rows("once")[second.message_of("once")]["reason"] == "same inbox"
    assert station.audit("once", "another")["balanced"]


def test_an_inbox_gets_one_mail_even_when_both_come_at_once(
    station: Station, sender: ServiceProcess
) -> None:
    station.feed("together", [p for n in range(10) for p in household(f"home{n}")])

    station.wait_for_states("together", accepted=10, capped=10)
    assert station.audit("together")["balanced"]


def test_a_send_for_each_person_mails_both(station: Station, sender: ServiceProcess) -> None:
    station.feed("each", household("home"), per_inbox=False)

    station.wait_for_states("each", accepted=2)
    assert station.audit("each")["balanced"]


def test_urgent_sends_and_near_deadlines_go_first(station: Station, sender: ServiceProcess) -> None:
    sends = ("low", "no-deadline", "near", "urgent")
    station.halt(halted=True)
    station.wait_until_ordered()
    far = datetime.now(UTC) + timedelta(hours=1)
    station.feed("low", people(8, "low"), priority="low", deadline=far)
    station.feed("no-deadline", people(8, "nd"))
    station.feed("near", people(8, "near"), deadline=far)
    station.feed("urgent", people(8, "urgent"), priority="urgent")
    for send in sends:
        station.wait_for_states(send, ready=8)

    station.halt(halted=False)

    for send in sends:
        station.wait_for_states(send, accepted=8)
    order = [line["tags"]["s"] for line in station.sandbox.journal()]
    last = [len(order) - order[::-1].index(send) for send in ("urgent", "near", "no-deadline")]
    first = [order.index(send) for send in ("near", "no-deadline", "low")]
    # Calls in flight overlap by a window at the seams.
    assert all(begin >= end - 8 for begin, end in zip(first, last, strict=True))


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(1e-6, id="older-at-the-look"),
        pytest.param(2.0, id="may-be-older-at-the-call"),  # which may begin 2 s after the look
    ],
)
def test_nothing_is_called_on_tables_that_are_not_known_to_be_current(
    station: Station, sender: ServiceProcess, seconds: float
) -> None:
    with station.beside(f"stale-{seconds:g}") as here:
        stale = here.start_sender(sender__table_age_seconds=seconds)
        here.feed("stale", people(PEOPLE, "stale"))
        late = datetime.now(UTC) + timedelta(seconds=2.5)
        here.feed("clock", people(1, "clock"), deadline=late)
        here.wait_for_states("clock", expired=1)
        assert here.states("stale") == {"ready": PEOPLE}
        assert here.sandbox.report()["requests"] == 0
        assert stale.stop() == 0

        here.start_sender()

        here.wait_for_states("stale", accepted=PEOPLE)
        assert here.audit("stale")["balanced"]


def test_a_second_sender_on_the_same_store_is_refused(
    station: Station, sender: ServiceProcess, body: Body
) -> None:
    if body is not None:
        pytest.skip("in PostgreSQL they share it")
    second = station.start_sender()

    assert second.wait() == 64
    assert "in use by another instance" in second.said()
    let_a_send_pass(station, "after-the-second")


def test_a_sender_that_is_stopped_in_order_leaves_nothing_in_doubt(station: Station) -> None:
    with station.beside("stopped", "--latency-ms", "300") as here:
        here.feed("stopped", list(people(40, "stopped")))
        sender = here.start_sender()
        until(lambda: here.states("stopped")["accepted"], "the first mail")

        assert sender.stop() == 0

        states = here.states("stopped")
        assert states.keys() == {"accepted", "ready"}
        assert states["accepted"] == here.mailed("stopped").total()
        here.start_sender()
        here.wait_for_states("stopped", accepted=40)
        assert here.audit("stopped", kills=0)["balanced"]


def test_events_of_ses_that_come_twice_are_booked_once(station: Station) -> None:
    with station.beside("twice", "--duplicate-rate", "1", "--out-of-order-rate", "0.5",
        "--out-of-order-ms", "300",
    ) as here:  # fmt: skip
        here.feed_entries([entry("twice", person) for person in people(PEOPLE, "twice")])
        here.start_sender()
        here.wait_for_states("twice", accepted=PEOPLE)
        here.wait_for_event("twice", "delivered", 2 * PEOPLE)
        here.wait_until_heard("twice")

        assert len(here.events("twice", "accepted")) == PEOPLE
        assert here.audit("twice")["balanced"]


def test_an_order_that_cannot_be_read_holds_its_send_until_one_can_be(
    station: Station, sender: ServiceProcess
) -> None:
    """It may have said stop."""
    station.log.append([Record(PROGRAMME, 0, b"order/send/garbled", b"{", (("ce_type", b"?"),), 1)])
    station.wait_until_ordered()
    station.feed("garbled", people(PEOPLE, "garbled"))
    let_a_send_pass(station, "beside-garbled")

    assert station.states("garbled") == {"ready": PEOPLE}
    station.order("garbled", paused=False)
    station.wait_for_states("garbled", accepted=PEOPLE)


def test_a_halt_that_cannot_be_read_halts(station: Station, sender: ServiceProcess) -> None:
    action = "sender.programme_unreadable"
    before = sender.said().count(action)
    station.log.append([Record(PROGRAMME, 0, b"order/halt/all", b"{", (("ce_type", b"?"),), 1)])
    until(lambda: sender.said().count(action) > before, "it to be read")
    station.feed("while-garbled", people(4, "while-garbled"))
    until(lambda: station.states("while-garbled") == {"ready": 4}, "the intake")

    station.halt(halted=False)
    station.wait_for_states("while-garbled", accepted=4)
