"""An inbox that bounces softly again and again gets no mail for a while, and then does again."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from services.sender.ledger import Ledger
from services.sender.soft_bounces import SoftBounces, SoftRule, forget_soft_bounces
from shared.log.topics import SUPPRESSIONS
from shared.store.port import Store, Unit
from shared.wire.batches import MessageBatch
from tests.integration.sender.audience import Person, entry, people
from tests.integration.sender.processes import until
from tests.integration.sender.station import Body, Station

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
RULE = SoftRule(2, within=timedelta(days=14), lasting=timedelta(days=30))


@pytest.fixture
def store(ledger: Store[Unit]) -> Store[Unit]:
    ledger.take(0)
    return ledger


def take_in(store: Store[Unit], person: Person, *sends: str) -> list[str]:
    """Mails to a person in the ledger; their ids."""
    entries = tuple(entry(send, person) for send in sends)
    batch = MessageBatch(batch_id=str(uuid.uuid4()), partition=0, entries=entries)
    with store.unit() as unit:
        Ledger(unit.connection).take_in([(batch, b"")], 1_000)
    return [each.message_id for each in entries]


def said(store: Store[Unit]) -> list[tuple[str, bool]]:
    """Key, and whether it stands, of what was put into the outbox for `suppressions`."""
    return [
        ((row.record.key or b"").decode(), row.record.value is not None)
        for row in store.pending(0, 0, 1_000)
        if row.record.topic == SUPPRESSIONS
    ]


def bounce(store: Store[Unit], bounces: SoftBounces, *ids: str, at: datetime) -> None:
    with store.unit() as unit:
        bounces.take_in(unit, ids, at)


def test_so_many_within_the_time_suppress_the_inbox_until_it_is_over(store: Store[Unit]) -> None:
    bounces = SoftBounces(RULE, 6)
    [ada, bob] = people(2, "soft")
    first, second, third = take_in(store, ada, "one", "two", "three")
    [other] = take_in(store, bob, "one")
    bounce(store, bounces, first, first, other, at=NOW)
    bounce(store, bounces, first, at=NOW + timedelta(hours=1))
    assert said(store) == [], "the same one, told again"
    bounce(store, bounces, second, at=NOW + timedelta(days=15))
    assert said(store) == [], "too long after each other"
    bounce(store, bounces, third, at=NOW + timedelta(days=20))
    key = f"{ada.address_key}|for_now"
    assert said(store) == [(key, True)]

    for days in (49, 51, 52):
        with store.unit() as unit:
            bounces.lift(unit, [0], NOW + timedelta(days=days))
    assert said(store) == [(key, True), (key, False)], "lifted once, after thirty days"
    [fourth] = take_in(store, ada, "four")
    bounce(store, bounces, fourth, at=NOW + timedelta(days=53))
    assert len(said(store)) == 2, "it begins anew"


def test_another_partitions_are_left_to_their_owner_and_old_ones_are_forgotten(
    store: Store[Unit],
) -> None:
    bounces = SoftBounces(RULE, 6)
    [ada] = people(1, "soft")
    bounce(store, bounces, *take_in(store, ada, "one", "two"), at=NOW)
    with store.unit() as unit:
        bounces.lift(unit, [1, 2], NOW + timedelta(days=99))
        assert len(said(store)) <= 1
        forget_soft_bounces(unit.connection, NOW + timedelta(days=1))
    assert list(store.connection.execute("select count(*) from soft_bounce")) == [(0,)]
    assert len(said(store)) == 1


def test_a_rule_of_none_suppresses_nobody(store: Store[Unit]) -> None:
    never = SoftBounces(SoftRule(0, RULE.within, RULE.lasting), 6)
    [ada] = people(1, "soft")
    bounce(store, never, *take_in(store, ada, "one", "two", "three"), at=NOW)
    assert said(store) == []


def test_a_mail_to_such_an_inbox_is_not_sent(
    tmp_path_factory: pytest.TempPathFactory, body: Body
) -> None:
    with Station(tmp_path_factory.mktemp("soft"), body=body, soft_bounces=2) as station:
        full = Person(str(uuid.uuid4()), "ada+softbounce@example.org")
        station.start_sender()
        for send in ("one", "two"):
            station.feed(send, [full])
            station.wait_for_states(send, accepted=1)
            station.wait_for_event(send, "soft_bounced")
        follower = station.log.follow(SUPPRESSIONS)
        until(lambda: bool(follower.read()), "the suppression")
        follower.close()
        station.wait_until_ordered()

        station.feed("three", [full, *people(1, "sound")])

        station.wait_for_states("three", accepted=1, suppressed=1)
        reasons = {row["reason"] for row in station.rows("three").values()}
        assert reasons == {None, "soft_bounces"}
        assert station.audit("one", "two", "three")["balanced"]
