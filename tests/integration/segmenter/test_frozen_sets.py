"""The SQL of frozen sets: many at once come to the same as one after the other."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.segmenter.people.ownership import Owned
from services.segmenter.sends.frozen_sets import FrozenSets
from shared.store.database import Database
from shared.store.port import Store, Unit
from shared.wire.events import Event
from tests.integration.segmenter.town import NOW

NAMES = ("ada", "ben")

outcomes = st.builds(
    lambda kind, who, settled, reason: Event(
        kind=kind, supporter_id=who, at=NOW, send_id="s", settled=settled, reason=reason
    ),
    st.sampled_from(["accepted", "failed", "unconfirmed", "expired"]),
    st.sampled_from(NAMES),
    st.booleans(),
    st.sampled_from([None, "a", "b"]),
)


def rows(database: Database) -> list[tuple[Any, ...]]:
    found = database.execute(
        "select supporter_id, state, settled, reason from frozen order by supporter_id"
    )
    return found.fetchall()


def row(who: str, partition: int = 0, send: str = "s") -> tuple[Any, ...]:
    return (send, 0, who, partition, f"m-{who}", f"k-{who}", "v", "e", "{}", None, None, 0)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(before=st.lists(outcomes, max_size=2), told=st.lists(outcomes, max_size=6))
def test_outcomes_of_a_batch_come_to_what_they_come_to_one_by_one(
    store: Store[Unit], before: list[Event], told: list[Event]
) -> None:
    results = []
    for batches in ([told], [[one] for one in told]):
        with store.unit() as unit:
            sets = FrozenSets(unit.connection)
            unit.connection.execute("delete from frozen")
            sets.add([row(who) for who in NAMES])
            for one in before:
                sets.outcomes([one])
            for batch in batches:
                sets.outcomes(batch)
        results.append(rows(store.connection))
    assert results[0] == results[1]


def test_a_page_is_the_next_in_order_and_who_is_out_is_counted(store: Store[Unit]) -> None:
    names = [f"p{number:02}" for number in range(20)]
    with store.unit() as unit:
        sets = FrozenSets(unit.connection)
        assert sets.begin("s", 0, 1, "frozen", 0)
        assert not sets.begin("s", 0, 1, "frozen", 0)
        sets.fill([row(name, number % 2) for number, name in enumerate(names)])
        sets.add([row(name, number % 2) for number, name in enumerate(names)])
        sets.release("s", 0, names[1:8], 1)
        sets.finish("s", 0, names[9:10], "cancelled", "the send was cancelled")
        page = sets.unreleased("s", 0, 1, 3)
        assert [one.supporter_id for one in page] == [names[11], names[13], names[15]]
        assert sets.outstanding("s", 0, 1) == 4
        counts = sets.counts("s", 0, [0, 1, 2])
        assert (counts[1].frozen, counts[1].released, counts[1].finals) == (10, 4, {"cancelled": 1})
        assert (counts[2].frozen, counts[2].finals) == (0, {})
        assert sets.begun([0, 1]) == {("s", 1)}
        assert sets.dirty([0], 1) == {}
        assert sets.dirty([0, 1], 1) == {("s", 0): [1]}
        sets.reported("s", 0, [1], 5)
        assert sets.dirty([1], 9) == {}
        sets.mark_dirty([("s", 0, 1), ("s", 0, 1)])
        assert sets.dirty([1], 9) == {("s", 0): [1]}


def test_who_newly_qualifies_is_looked_for_among_the_owned(store: Store[Unit]) -> None:
    with store.unit() as unit:
        unit.connection.executemany(
            "insert into supporter(supporter_id, partition, address_key, standing, bucket)"
            " values (?, ?, ?, ?, 0)",
            [
                ("ada", 0, "k-ada", "mailable"), ("ben", 1, "k-ben", "mailable"),
                ("cat", 0, "k-cat", "no_consent"), ("dan", 0, "k-dan", "mailable"),
                ("eve", 0, "k-eve", "mailable"), ("fay", 0, "k-fay", "mailable"),
            ],
        )  # fmt: skip
        unit.connection.executemany(
            "insert into membership(segment, partition, supporter_id, since) values (?, ?, ?, ?)",
            [
                ("doers", 0, "ada", 5), ("doers", 1, "ben", 5), ("doers", 0, "cat", 5),
                ("doers", 0, "dan", 4), ("doers", 0, "eve", 6), ("doers", 0, "fay", 6),
            ],
        )  # fmt: skip
        unit.connection.execute(
            "insert into suppression(subject, scope, reason, at, partition, log_offset, reading)"
            " values ('k-eve', 'topic:news', 'unsubscribed', 0, 0, 0, 0)"
        )
        sets = FrozenSets(unit.connection)
        sets.add([row("fay")])
        for owned, expected in (
            ({0}, {0: ["ada"]}),
            ({1}, {1: ["ben"]}),
            ({0, 1, 2, 3}, {0: ["ada"], 1: ["ben"]}),
            (set(), {}),
        ):
            found = sets.newly_qualified("s", "news", "doers", 5, Owned(owned, 4), 10)
            assert found == expected
