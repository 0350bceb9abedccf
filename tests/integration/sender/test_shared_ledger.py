"""Several instances on one ledger in PostgreSQL, and ledgers made by the first release."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.sender.ledger import Ledger
from services.sender.schema import LEDGER_DDL
from shared.store.port import Store, Unit
from shared.store.postgres.store import PostgresStore
from shared.store.sqlite import SqliteStore
from shared.wire.batches import MessageBatch
from tests.integration.sender.audience import Person, entry, people
from tests.integration.sender.processes import until

FIRST_RELEASE = LEDGER_DDL[:11]


@pytest.fixture
def stores(postgres_dsn: str) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    """Two instances: the first owns partition 0, the second partition 1."""
    both = tuple(PostgresStore(postgres_dsn, "sender", LEDGER_DDL) for _ in range(2))
    for partition, store in enumerate(both):
        store.take(partition)
    yield both  # type: ignore[misc]
    for store in both:
        store.close()


def batch(partition: int, *persons: Person, name: str = "") -> tuple[MessageBatch, bytes]:
    entries = tuple(entry("spring", person) for person in persons)
    made = MessageBatch(batch_id=f"{name}{partition}", partition=partition, entries=entries)
    return made, b"content"


def states(store: Store[Unit]) -> Counter[str]:
    found = store.connection.execute("select state, count(*) from message group by 1")
    return Counter(dict(found))


@pytest.mark.parametrize("rolled_back", [False, True])
def test_who_comes_second_to_an_inbox_waits_and_then_sees_it_taken(
    stores: tuple[PostgresStore, PostgresStore], rolled_back: bool
) -> None:
    first, second = people(2, "home", to_an_inbox=2)
    finals: list[str] = []

    def take_in_second() -> None:
        with stores[1].unit() as unit:
            unit.check(1)
            told = Ledger(unit.connection).take_in([batch(1, second)], 2)
            finals.extend(f"{fact.message_id} {fact.state} {fact.reason}" for fact in told)

    thread = threading.Thread(target=take_in_second)
    try:
        with stores[0].unit() as unit:
            unit.check(0)
            assert Ledger(unit.connection).take_in([batch(0, first)], 1) == []
            thread.start()
            reader = stores[0].reader()
            until(
                lambda: reader.execute("select 1 from pg_locks where not granted").fetchall(),
                "the second to wait",
            )
            reader.close()
            if rolled_back:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    thread.join()
    if rolled_back:
        assert (finals, states(stores[0])) == ([], Counter(ready=1))
    else:
        assert finals == [f"{second.message_of('spring')} capped same inbox"]
        assert states(stores[0]) == Counter(ready=1, capped=1)


def test_households_across_instances_never_make_them_wait_for_each_other(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    """Each inbox is claimed from both sides, in any order, in overlapping units."""
    homes = 400
    persons = people(2 * homes, "home", to_an_inbox=2)
    sides = [persons[0::2], persons[1::2]]
    failures: list[Exception] = []

    def take_in(store: PostgresStore, partition: int) -> None:
        dice = random.Random(partition)
        found = list(sides[partition])
        dice.shuffle(found)
        try:
            for start in range(0, homes, 50):
                with store.unit() as unit:
                    unit.check(partition)
                    some = batch(partition, *found[start : start + 50], name=f"{start}-")
                    Ledger(unit.connection).take_in([some], 1)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
            failures.append(error)

    threads = [threading.Thread(target=take_in, args=(stores[n], n)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert states(stores[0]) == Counter(ready=homes, capped=homes)
    ((double,),) = stores[0].connection.execute(
        "select count(*) from (select address_key from message where state = 'ready'"
        " group by 1 having count(*) <> 1) doubled"
    )
    assert double == 0


def test_numbers_of_entries_are_never_given_twice(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    persons = people(40, "many")
    for turn in range(10):
        for partition, store in enumerate(stores):
            some = persons[turn * 4 + partition * 2 :][:2]
            with store.unit() as unit:
                Ledger(unit.connection).take_in([batch(partition, *some, name=f"{turn}-")], 1)
    found = stores[0].connection.execute("select message_id from message order by entry_no")
    assert [message_id for (message_id,) in found] == [p.message_of("spring") for p in persons]


def test_a_ledger_of_the_first_release_is_taken_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    old = SqliteStore(path, FIRST_RELEASE, synchronous="FULL")
    columns = (
        "message_id, send_id, occurrence, partition, supporter_id, address_key, variant, edition,"
        " topic, priority, per_inbox, resend, sender, to_address, batch_id, entry, state,"
        " updated_ms"
    )
    rows = [
        (f"m{n}", "spring", 0, 0, f"s{n}", f"a{n}", "a", "", "t", 1, 1, 0, "f", "t", "b", n, s, 5)
        for n, s in enumerate(("accepted", "ready", "attempting", "ready"))
    ]
    old.connection.executemany(
        f"insert into message({columns}) values ({','.join('?' * 18)})", rows
    )
    old.connection.execute("insert into batch values ('b', x'00', 3)")
    store_id = old.store_id
    old.close()

    new = SqliteStore(path, LEDGER_DDL, synchronous="FULL")

    assert new.store_id == store_id
    kept = new.connection.execute(f"select {columns} from message order by entry_no").fetchall()
    assert kept == rows
    ledger = Ledger(new.connection)
    assert [c.message_id for c in ledger.pick("spring", [0], 9)] == ["m1", "m3"]
    later = people(1)[0]
    assert ledger.take_in([batch(0, later)], 9) == []
    picked = [c.message_id for c in ledger.pick("spring", [0], 9)]
    assert picked == ["m1", "m3", later.message_of("spring")]
    indexes = new.connection.execute(
        "select name from sqlite_master where type = 'index' and name like 'message_%'"
    )
    assert len(indexes.fetchall()) == 10
    new.close()
