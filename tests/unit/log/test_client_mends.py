"""The mends of the Kafka client, where a fault can be shown without brokers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.future import Future

from shared.log.kafka.mends import PatientCoordinator, unpark


def coordinator(*, holding: bool = False) -> PatientCoordinator:
    """One that has joined, reads one topic, and sees no reason to rejoin."""
    made: PatientCoordinator = object.__new__(PatientCoordinator)
    made.__dict__.update(
        holding=lambda: holding, rejoin_needed=False, _assignment_snapshot=None,
        _joined_subscription=None,
        _subscription=SimpleNamespace(partitions_auto_assigned=lambda: True),
    )  # fmt: skip
    return made


def stub_parent(monkeypatch: pytest.MonkeyPatch, *, answer: bool) -> None:
    monkeypatch.setattr(ConsumerCoordinator, "need_rejoin", lambda _: answer)


def test_a_join_under_way_is_seen_through_though_its_reason_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its reason was that the topics became known, which the leader notes while it joins."""
    stub_parent(monkeypatch, answer=False)
    member = coordinator()
    assert not member.need_rejoin()
    member._join_task = Future()
    assert member.need_rejoin()
    member._join_task = None
    assert not member.need_rejoin()


def test_a_join_that_is_done_is_still_to_be_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    stub_parent(monkeypatch, answer=True)
    member, done = coordinator(), Future()
    done.success(b"assignment")
    member._join_task = done
    under_way = member._join_task
    assert under_way is not None
    assert not under_way.is_done, "or the client would begin another and throw this one away"
    taken: list[bytes] = []
    under_way.add_callback(taken.append)
    assert taken == [b"assignment"]


def test_while_a_number_is_being_given_up_the_next_round_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub_parent(monkeypatch, answer=True)
    assert not coordinator(holding=True).need_rejoin()
    assert coordinator(holding=False).need_rejoin()


def test_parked_records_are_dropped_before_their_partition_is_resumed() -> None:
    drained: list[str] = []
    parked = {
        "p0": SimpleNamespace(drain=lambda: drained.append("p0")),
        "p1": SimpleNamespace(drain=lambda: drained.append("p1")),
    }
    consumer = SimpleNamespace(_fetcher=SimpleNamespace(_paused_partition_records=parked))
    unpark(consumer, ["p0", "elsewhere"])
    assert drained == ["p0"]
    assert list(parked) == ["p1"]
