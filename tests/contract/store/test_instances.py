"""Several instances on one PostgreSQL store: epochs, frozen ones, migrations, a lost server."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from shared.clock import SystemClock
from shared.errors import Fenced, Misconfigured, NeverRetry, RetryLater, StoreUnavailable
from shared.log.record import Record, Stored, TopicPartition
from shared.loop.delivery import Delivery
from shared.loop.work import StatefulWork
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import LoopSettings, Settings, read_settings
from shared.store.database import copy_rows
from shared.store.opening import open_store
from shared.store.port import Store, Unit
from shared.store.postgres import sessions
from shared.store.postgres.connection import PostgresDatabase
from shared.store.postgres.store import PostgresStore
from tests.contract.log.narration import until
from tests.contract.store.conftest import DDL, Opening
from tests.real_postgres import PostgresServer

PLACE = TopicPartition("in", 0)


def record(number: int) -> Record:
    return Record("out", 0, None, str(number).encode(), (), number)


def delivery(name: str) -> Delivery:
    """A record with this key, decoded as far as the handlers here look."""
    return Delivery(Stored("in", 0, 0, name.encode(), None, (), 0), None)  # type: ignore[arg-type]


class Racing:
    """Writes down each key that is not there yet; the other instance is quicker at the first."""

    def __init__(self, other: Store[Unit]) -> None:
        self._other, self._raced = other, False

    def handle(self, unit: Unit, deliveries: Sequence[Delivery]) -> None:
        for each in deliveries:
            name = (each.stored.key or b"").decode()
            if name == "poison":
                raise NeverRetry("this record is poison")
            known = unit.connection.execute("select 1 from kept where name = ?", (name,))
            if known.fetchall():
                continue
            if not self._raced:
                self._raced = True
                with self._other.unit() as quicker:
                    quicker.connection.execute("insert into kept(name) values (?)", (name,))
            unit.connection.execute("insert into kept(name) values (?)", (name,))


def emit(store: Store[Unit], number: int) -> None:
    with store.unit() as unit:
        unit.emit(0, record(number))


def emitted(store: Store[Unit]) -> list[int]:
    return [row.record.timestamp_ms for row in store.pending(0, 0, 1_000)]


def waiting(dsn: str) -> int:
    """How many wait for a lock."""
    with psycopg.connect(dsn) as watching:
        ((number,),) = watching.execute("select count(*) from pg_locks where not granted")
        return int(number)


def backend(store: Store[Unit]) -> int:
    ((pid,),) = store.connection.execute("select pg_backend_pid()")
    return int(pid)


def terminate(dsn: str, pid: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as killing:
        killing.execute("select pg_terminate_backend(%s, 5000)", (pid,))


def test_what_another_instance_wrote_first_is_seen_at_the_second_try(instance: Opening) -> None:
    """Also of a record that is tried alone for the first time, after its batch went no further."""
    ours = instance()
    work = StatefulWork(
        "group", ("in",), None, ours, Racing(instance()), None, SystemClock(), FailPoints(""),  # type: ignore[arg-type]
        Metrics("group"),
    )  # fmt: skip
    dead: list[tuple[Stored, Exception]] = []
    with ours.unit() as unit:
        work._handle(unit, [delivery("poison"), delivery("one"), delivery("two")], dead)
    assert [stored.key for stored, _ in dead] == [b"poison"]
    found = ours.connection.execute("select name from kept order by name").fetchall()
    assert found == [("one",), ("two",)]


def test_who_takes_a_number_fences_whoever_had_it(instance: Opening) -> None:
    old, new = instance(), instance()
    assert old.store_id == new.store_id
    for store in (old, new):
        store.take(0)
    old.take(1)
    assert (old.overtaken(), new.overtaken()) == ({0}, set())

    for touch in (
        lambda unit: unit.emit(0, record(1)),
        lambda unit: unit.advance(PLACE, None, 1),
        lambda unit: unit.check(1, 0),
    ):
        with pytest.raises(Fenced, match="partition 0 belongs"), old.unit() as unit:
            touch(unit)
    emit(new, 1)
    with old.unit() as unit:
        unit.emit(1, record(2))
    old.take(0)
    emit(old, 3)
    assert emitted(new) == [1, 3]
    with pytest.raises(Fenced):
        emit(new, 4)


def test_taking_waits_for_the_unit_that_holds_the_number(
    instance: Opening, postgres_dsn: str
) -> None:
    old, new = instance(), instance()
    old.take(0)
    taken = threading.Thread(target=new.take, args=(0,))
    with old.unit() as unit:
        unit.check(0)
        taken.start()
        until(lambda: waiting(postgres_dsn) == 1, "the other to wait")
        unit.emit(0, record(1))
    taken.join()
    assert emitted(new) == [1]
    with pytest.raises(Fenced):
        emit(old, 2)


def test_a_fenced_instance_does_not_wait_for_its_successor(instance: Opening) -> None:
    old, new = instance(), instance()
    for store in (old, new):
        store.take(0)
    with new.unit() as unit:
        unit.emit(0, record(1))
        with pytest.raises(Fenced):
            emit(old, 2)
    assert emitted(new) == [1]


def test_a_check_in_a_part_that_was_undone_does_not_count(instance: Opening) -> None:
    """The lock went with the savepoint."""
    old, new = instance(), instance()
    old.take(0)
    with old.unit() as unit:
        with pytest.raises(ZeroDivisionError), unit.part():
            unit.check(0)
            raise ZeroDivisionError
        new.take(0)
        with pytest.raises(Fenced):
            unit.emit(0, record(1))


def test_a_frozen_instance_is_cut_and_its_commit_fails_cleanly(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stands still inside a unit says nothing to the server; then it thaws."""
    monkeypatch.setitem(sessions.SESSION, "idle_in_transaction_session_timeout", "1s")
    frozen, other = (PostgresStore(postgres_dsn, "service", DDL) for _ in range(2))
    frozen.take(0)
    with pytest.raises(StoreUnavailable), frozen.unit() as unit:
        unit.emit(0, record(1))
        other.take(0)  # waits until the server has cut it
        emit(other, 2)
    assert emitted(other) == [2]
    with pytest.raises(Fenced):
        emit(frozen, 3)
    frozen.close()
    other.close()


def test_an_instance_frozen_while_it_sends_rows_is_shown_the_door(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes a COPY that does not come to its end for work, and would wait for ever."""
    monkeypatch.setitem(sessions.SESSION, "lock_timeout", "2s")
    monkeypatch.setitem(sessions.SESSION, "idle_in_transaction_session_timeout", "2s")
    frozen, other = (PostgresStore(postgres_dsn, "service", DDL) for _ in range(2))
    frozen.take(0)

    def names() -> Iterator[tuple[str]]:
        yield ("first",)
        other.take(0)
        emit(other, 1)
        yield ("second",)

    with pytest.raises(StoreUnavailable), frozen.unit() as unit:
        unit.check(0)
        copy_rows(unit.connection, "kept", ["name"], names())
    assert other.connection.execute("select * from kept").fetchall() == []
    with pytest.raises(Fenced):
        emit(frozen, 2)
    assert emitted(other) == [1]
    frozen.close()
    other.close()


@pytest.mark.parametrize("after_statement", [False, True])
def test_a_connection_lost_within_a_unit_undoes_it_and_the_next_one_works(
    instance: Opening, postgres_dsn: str, after_statement: bool
) -> None:
    store = instance()
    store.take(0)
    pid = backend(store)
    with pytest.raises(StoreUnavailable), store.unit() as unit:
        unit.emit(0, record(1))
        terminate(postgres_dsn, pid)
        if after_statement:
            unit.connection.execute("select 1")
    emit(store, 2)
    assert emitted(store) == [2]


def test_a_part_whose_connection_is_lost_fails_the_whole_unit(
    instance: Opening, postgres_dsn: str
) -> None:
    store = instance()
    store.take(0)
    pid = backend(store)
    with pytest.raises(StoreUnavailable), store.unit() as unit:
        unit.emit(0, record(1))
        with pytest.raises(ZeroDivisionError), unit.part():
            terminate(postgres_dsn, pid)
            raise ZeroDivisionError
        unit.emit(0, record(2))
    assert emitted(store) == []


def test_a_connection_lost_between_units_is_not_noticed(
    instance: Opening, postgres_dsn: str
) -> None:
    store = instance()
    store.take(0)
    terminate(postgres_dsn, backend(store))
    emit(store, 1)
    terminate(postgres_dsn, backend(store))
    with pytest.raises(StoreUnavailable):
        store.last_seq(0)
    assert emitted(store) == [1]


def test_a_failed_statement_that_nobody_minds_commits_nothing(instance: Opening) -> None:
    store = instance()
    store.take(0)
    with pytest.raises(RetryLater), store.unit() as unit:
        unit.connection.execute("insert into kept(name) values ('a')")
        with pytest.raises(psycopg.Error):
            unit.connection.execute("insert into kept(name, number) values (null, null)")
    assert store.connection.execute("select * from kept").fetchall() == []


def test_instances_that_wait_for_each_other_are_told_to_try_again(instance: Opening) -> None:
    one, two = instance(), instance()
    both = threading.Barrier(2)
    failed: list[Exception] = []

    def insert(store: Store[Unit], *names: str) -> None:
        try:
            with store.unit() as unit:
                unit.connection.execute("insert into kept(name) values (?)", (names[0],))
                both.wait()
                unit.connection.execute("insert into kept(name) values (?)", (names[1],))
        except RetryLater as error:
            failed.append(error)

    threads = [
        threading.Thread(target=insert, args=(one, "a", "b")),
        threading.Thread(target=insert, args=(two, "b", "a")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 1
    assert not isinstance(failed[0], StoreUnavailable)
    found = one.connection.execute("select name from kept order by 1").fetchall()
    assert found == [("a",), ("b",)]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_is_survived(
    instance: Opening, postgres_server: PostgresServer, mode: str
) -> None:
    store = instance()
    store.take(0)
    emit(store, 1)
    with pytest.raises(StoreUnavailable), store.unit() as unit:
        unit.emit(0, record(2))
        postgres_server.restart(mode)
    emit(store, 3)
    postgres_server.stop(mode)
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="refused"):
                emit(store, 4)
        with pytest.raises(StoreUnavailable):
            store.positions(0)
    finally:
        postgres_server.start()
    emit(store, 5)
    assert emitted(store) == [1, 3, 5]


def test_instances_that_start_together_make_the_tables_once(postgres_dsn: str) -> None:
    program = (
        "import sys; from shared.store.postgres.store import PostgresStore;"
        "from tests.contract.store.conftest import DDL;"
        "print(PostgresStore(sys.argv[1], 'service', DDL).store_id)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, postgres_dsn], cwd=Path(__file__).resolve().parents[3],
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    said = {process.communicate(timeout=60)[0] for process in started}
    assert len(said) == 1
    assert all(process.returncode == 0 for process in started)


def test_a_schema_grows_and_an_older_program_refuses_it(postgres_dsn: str) -> None:
    first = PostgresStore(postgres_dsn, "service", DDL)
    first.take(0)
    more = (*DDL, "alter table kept add column more text", "create index kept_more on kept(more)")
    second = PostgresStore(
        postgres_dsn, "service", more, postgres_ddl=["create table only_here(a text)"]
    )
    assert second.store_id == first.store_id
    assert second.last_seqs() == {0: 0}
    second.connection.execute("insert into kept(name, more) values ('a', 'b')")
    second.connection.execute("select a from only_here")
    for older in (
        lambda: PostgresStore(postgres_dsn, "service", DDL),
        lambda: PostgresStore(postgres_dsn, "service", more),
    ):
        with pytest.raises(Misconfigured, match="newer Doorstep"):
            older()
    third = PostgresStore(
        postgres_dsn, "service", more, postgres_ddl=["create table only_here(a text)"]
    )
    other = PostgresStore(postgres_dsn, "another", DDL)
    assert other.store_id != third.store_id
    assert other.last_seqs() == {}
    for store in (first, second, third, other):
        store.close()


def test_a_step_that_fails_leaves_nothing_behind(postgres_dsn: str) -> None:
    with pytest.raises(psycopg.Error):
        PostgresStore(postgres_dsn, "service", (*DDL, "create table kept(again text)"))
    store = PostgresStore(postgres_dsn, "service", DDL)
    assert store.last_seqs() == {}
    store.close()


def settings(dsn: str, seconds: float = 0.5) -> Settings:
    return read_settings({}, postgres=dsn, loop=LoopSettings(retry_seconds=seconds))


def _other(
    server: PostgresServer,
    begin: str = "postgresql://doorstep:not-a-secret@",
    database: str = "postgres",
) -> str:
    return f"{begin}127.0.0.1:{server.port}/{database}"


WRONG: dict[str, tuple[Callable[[PostgresServer], str], str]] = {
    "garbage": (lambda _: "garbage not-a-secret", "is no connection string"),
    "unknown option": (lambda _: "not-a-secret=1", "is no connection string"),
    "role": (lambda s: _other(s, "postgresql://nobody:not-a-secret@"), 'role "nobody" does not'),
    "database": (lambda s: _other(s, database="nowhere"), 'database "nowhere" does not exist'),
    "a slash in a password": (lambda _: "postgresql://u:not-a-secret/x@h/y", "is no connection"),
    "an at in a password": (lambda _: "postgresql://u:@not-a-secret@h/y", "is no connection"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_person_must_change_is_said_in_one_sentence(
    postgres_server: PostgresServer, tmp_path: Path, what: str
) -> None:
    dsn, says = WRONG[what]
    with pytest.raises(Misconfigured, match=says) as raised:
        open_store(settings(dsn(postgres_server)), "service", "store.db", DDL)
    shown = f"{raised.value} {raised.value.__cause__!r} {raised.getrepr(style='long')!r}"
    assert "not-a-secret" not in f"{raised.value} {raised.value.__cause__!r}", shown
    assert "\n" not in str(raised.value)
    assert "DOORSTEP_POSTGRES" in str(raised.value)


def test_a_server_that_is_not_there_yet_is_waited_for(
    postgres_server: PostgresServer, postgres_dsn: str
) -> None:
    postgres_server.stop()
    with pytest.raises(RetryLater, match="refused"):
        open_store(settings(postgres_dsn), "service", "store.db", DDL)
    later = threading.Timer(1.0, postgres_server.start)
    later.start()
    store = open_store(settings(postgres_dsn, 60), "service", "store.db", DDL)
    later.join()
    assert isinstance(store, PostgresStore)
    store.close()


def test_the_connection_string_may_come_from_a_file(postgres_dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text(postgres_dsn + "\n")
    store = open_store(read_settings({}, postgres_file=file), "service", "store.db", DDL)
    assert isinstance(store, PostgresStore)
    store.close()
    for wrong, says in ((tmp_path / "missing", "cannot read"), (tmp_path / "empty", "is empty")):
        (tmp_path / "empty").touch()
        with pytest.raises(Misconfigured, match=f"DOORSTEP_POSTGRES_FILE: .*{says}"):
            open_store(read_settings({}, postgres_file=wrong), "service", "store.db", DDL)


def test_a_role_that_may_not_make_a_schema_is_told(
    postgres_server: PostgresServer, postgres_dsn: str
) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("drop role if exists small")
        connection.execute("create role small login")
    small = postgres_dsn.replace("//doorstep@", "//small@")
    with pytest.raises(Misconfigured, match="grant it CREATE"):
        PostgresStore(small, "service", DDL)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("create schema service authorization small")
    PostgresStore(small, "service", DDL).close()


def test_a_session_says_who_it_is_and_what_the_string_says_stands(postgres_dsn: str) -> None:
    database = PostgresDatabase(
        f"{postgres_dsn}?application_name=mine&options=-c%20work_mem%3D7MB", "service", name="x"
    )
    assert database.execute("show application_name").fetchall() == [("mine",)]
    assert database.execute("show work_mem").fetchall() == [("7MB",)]
    assert database.execute("show search_path").fetchall() == [("service",)]
    assert database.execute("show transaction_isolation").fetchall() == [("read committed",)]
    assert database.execute("show idle_in_transaction_session_timeout").fetchall() == [("10s",)]
    database.close()
    database = PostgresDatabase(postgres_dsn, "service", name="x")
    database.execute("select 1")
    database.execute("set synchronous_commit = off")
    assert database.execute("show application_name").fetchall() == [("doorstep-x",)]
    database.close()
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'alter database "{name}" set synchronous_commit = off')
    assert database.execute("show synchronous_commit").fetchall() == [("on",)]
    database.close()
