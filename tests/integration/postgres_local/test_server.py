"""Our own PostgreSQL server: a new database for each test, and it survives what tests do to it."""

from __future__ import annotations

import psycopg
import pytest

from tests.real_postgres import PostgresServer

pytestmark = pytest.mark.real("postgres")


def test_each_database_is_new(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("create table t (n int)")
    other = postgres_server.dsn()
    with psycopg.connect(other) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("select n from t")
    postgres_server.drop(other)


def test_a_named_database_is_the_same_again(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.dsn("named")
    with psycopg.connect(dsn) as connection:
        connection.execute("create table t (n int)")
    assert postgres_server.dsn("named") == dsn
    with psycopg.connect(postgres_server.socket_dsn("named")) as connection:
        assert connection.execute("select count(*) from t").fetchone() == (0,)


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_what_was_committed_is_there_after_a_restart(how: str) -> None:
    with PostgresServer(durable=True) as server:
        dsn = server.dsn()
        with psycopg.connect(dsn) as connection:
            connection.execute("create table t as select 1 as n")
        server.restart(how)
        with psycopg.connect(dsn) as connection:
            assert connection.execute("select n from t").fetchone() == (1,)


def test_a_killed_server_starts_again_on_its_port() -> None:
    with PostgresServer(durable=True) as server:
        dsn = server.dsn()
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(dsn)
        server.start()
        psycopg.connect(dsn).close()
