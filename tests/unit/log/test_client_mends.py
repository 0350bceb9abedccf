"""The mends of the Kafka client, where a fault can be shown without brokers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import KafkaConnectionError
from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import TransactionManager

from shared.log.kafka.mends import AskingClient, PatientCoordinator, unpark


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


@pytest.mark.parametrize(
    ("kind", "waiting"),
    [
        (AskingClient, {"FindCoordinatorHandler", "InitProducerIdHandler"}),
        (KafkaNetClient, {"FindCoordinatorHandler"}),  # then the mend can go, when this fails
    ],
)
def test_what_a_coordinator_that_is_gone_was_to_be_told_is_kept_for_the_next(
    kind: type[KafkaNetClient], waiting: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> bool:
        raise KafkaConnectionError("connection refused")

    monkeypatch.setattr(KafkaNetClient, "await_ready", refused)
    pauses: list[object] = []
    monkeypatch.setattr(KafkaNetClient, "poll", lambda _, timeout_ms: pauses.append(timeout_ms))
    manager = TransactionManager(transactional_id="t")
    manager.initialize_transactions()
    manager._transaction_coordinator = "coordinator-1"
    sender = object.__new__(Sender)
    sender.__dict__.update(
        config={
            "request_timeout_ms": 1_000, "retry_backoff_ms": 1, "client_id": "c",
            "transactional_id": "t",
        },
        _running=True,
        _force_close=False, _transaction_manager=manager, _client=object.__new__(kind),
        _accumulator=SimpleNamespace(has_incomplete=False),
    )  # fmt: skip
    sender._maybe_send_pending_request()
    assert {type(handler).__name__ for _, _, handler in manager._pending_requests} == waiting
    assert bool(pauses) == (kind is AskingClient), "or it would ask without a breath"
