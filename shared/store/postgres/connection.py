"""One connection to PostgreSQL that looks like any other `Database`, and comes back when lost.

Everything psycopg raises is translated here: a connection that was lost becomes StoreUnavailable,
what a unique index refused Conflict, whatever else may succeed when tried again RetryLater. Outside
a transaction a lost connection is replaced at the next statement; inside one it never is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg.adapt import Loader
from psycopg.types.numeric import Int8, Int8BinaryDumper

from shared.errors import Conflict, Misconfigured, RetryLater, StoreUnavailable
from shared.store.database import Dialect
from shared.store.postgres.dialect import postgres_sql
from shared.store.postgres.sessions import conninfo

OLDEST_SERVER: Final = 140_000

_AGAIN: Final = frozenset(
    {
        "40001",  # serialization failure
        "40P01",  # deadlock detected
        "55P03",  # lock not available in time
        "57014",  # cancelled: statement timeout, an operator
        "53000", "53100", "53200", "53300", "53400",  # the server is short of something
    }
)  # fmt: skip
_UNIQUE: Final = "23505"
_NO_SERVER: Final = frozenset({"25006", "57P01", "57P02", "57P03", "57P04"})
"""Shut down, starting up, or a standby: another connection is wanted."""

_ON_THE_WAY: Final = (psycopg.OperationalError, psycopg.InterfaceError)
"""What psycopg raises by itself when it cannot speak to the server; also inside a pipeline, before
it has noticed that the connection is gone.
"""

_WRONG: Final = (
    "authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied",
    "certificate", "permission denied for database",
    "not permitted to log in", "does not support SSL",
)  # fmt: skip
"""What the server says when a person has to change something."""


def _wide(value: Any) -> Any:
    """A list of whole numbers, each of the one width that columns have.

    By itself psycopg gives every list of a statement the width that the first one needs.
    """
    if not isinstance(value, list) or not any(isinstance(each, int) for each in value):
        return value
    return [Int8(each) if isinstance(each, int) else each for each in value]


class Rows:
    """The rows of a statement, fetched already."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[Any] = ()) -> None:
        self._rows = iter(rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def __next__(self) -> Any:
        return next(self._rows)

    def fetchall(self) -> list[Any]:
        return list(self._rows)


class PostgresDatabase:
    """See `shared.store.database.Database`. `schema` is the search path; `name` is for operators.

    `read_only`: for questions; it may then also be a standby that answers.
    """

    dialect: Dialect = "postgres"

    def __init__(self, dsn: str, schema: str, *, name: str, read_only: bool = False) -> None:
        """Raises Misconfigured for a connection string that is none. Connects when first used."""
        self._conninfo = conninfo(dsn, schema, name, read_only=read_only)
        self.schema = schema
        self._connection: psycopg.Connection[Any] | None = None
        self._in_transaction = False
        self._changes = 0
        self._types: dict[str, dict[str, tuple[str, int]]] = {}

    def connect(self) -> None:
        """Connect anew. Raises Misconfigured, or StoreUnavailable when it may succeed later."""
        self.close()
        try:
            connection = psycopg.connect(
                self._conninfo, autocommit=True, cursor_factory=psycopg.RawCursor
            )
            version = connection.info.server_version
            # An instance that mails on the word of a commit needs commits that last.
            connection.execute(
                "select set_config('synchronous_commit', 'on', false)"
                " where current_setting('synchronous_commit') = 'off'"
            )
        except psycopg.Error as error:
            # Without its cause: psycopg's error carries the password.
            said = _first_line(error)
            if any(words in said for words in _WRONG):
                raise Misconfigured(f"DOORSTEP_POSTGRES: {said}") from None
            raise StoreUnavailable(f"PostgreSQL cannot be reached: {said}") from None
        if version < OLDEST_SERVER:
            connection.close()
            raise Misconfigured(
                f"DOORSTEP_POSTGRES: the server is PostgreSQL {version // 10_000}; "
                f"wanted is {OLDEST_SERVER // 10_000} or newer"
            )
        for kind in (int, bool):  # one type for whole numbers, as all columns have
            connection.adapters.register_dumper(kind, Int8BinaryDumper)
        connection.adapters.register_loader("numeric", _Number)
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Rows:
        with self._translated() as connection:
            cursor = connection.execute(postgres_sql(sql), tuple(map(_wide, parameters)) or None)
            self._changes = max(0, cursor.rowcount)
            return Rows(cursor.fetchall()) if cursor.description else Rows()

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Rows:
        """Pipelined: one round trip for many rows."""
        with self._translated() as connection, connection.cursor() as cursor:
            cursor.executemany(postgres_sql(sql), rows, returning=True)
            found: list[Any] = []
            self._changes = 0
            for result in cursor.results():
                self._changes += max(0, result.rowcount)
                if result.description:
                    found += result.fetchall()
            return Rows(found)

    def changes(self) -> int:
        return self._changes

    def stream(self, sql: str, rows_at_once: int) -> Iterator[Any]:
        """The rows of a question, so many in memory at a time; in a transaction until its end."""
        with (
            self.transaction(), self._translated() as connection, connection.cursor("s") as cursor
        ):  # fmt: skip
            cursor.itersize = rows_at_once
            yield from cursor.execute(sql)

    def copy_rows(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """COPY, in binary. See `shared.store.database.copy_rows`."""
        types = self._columns(table)
        with self._translated() as connection, connection.cursor() as cursor:
            names = ", ".join(columns)
            with cursor.copy(f"copy {table}({names}) from stdin (format binary)") as copy:
                copy.set_types([types[column][1] for column in columns])
                for row in rows:
                    copy.write_row(row)
            self._changes = max(0, cursor.rowcount)

    def insert_new(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], returning: str
    ) -> list[Any]:
        """One statement for all rows. See `shared.store.database.insert_new`."""
        types = self._columns(table)
        arrays = ", ".join(f"?::{types[column][0]}[]" for column in columns)
        names = ", ".join(columns)
        found = self.execute(
            f"insert into {table}({names}) select {names}"
            f" from unnest({arrays}) with ordinality as given({names}, position_given)"
            f" order by position_given on conflict do nothing returning {returning}",
            [list(column) for column in zip(*rows, strict=True)],
        )
        return [value for (value,) in found]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """`begin` ... `commit`; rolled back when the block raises.

        StoreUnavailable out of the commit leaves open whether it was made.
        """
        self._begin()
        try:
            yield
            self._commit()
        except BaseException:
            self._in_transaction = False
            self._roll_back()
            raise
        self._in_transaction = False

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of a transaction that is undone alone when the block raises."""
        self._say("savepoint part")
        try:
            yield
        except BaseException:
            with suppress(RetryLater):  # the transaction is gone as a whole: `commit` will say so
                self._say("rollback to part")
                self._say("release part")
            raise
        self._say("release part")

    def close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def _begin(self) -> None:
        try:
            self._say("begin")
        except StoreUnavailable:
            self._say("begin")  # lost while nothing was going on: nothing is in doubt
        self._in_transaction = True

    def _commit(self) -> None:
        if (
            self._say("commit") != "COMMIT"
        ):  # PostgreSQL's silent answer when a statement before had failed
            raise RetryLater("a statement of the transaction had failed: nothing was written")

    def _say(self, statement: str) -> str | None:
        """A word about the transaction; what the server answers."""
        with self._translated() as connection:
            return connection.execute(statement, prepare=False).statusmessage

    def _roll_back(self) -> None:
        connection = self._connection
        if connection is None or connection.closed:
            return
        try:
            connection.execute("rollback", prepare=False)
        except psycopg.Error:
            self.close()

    def _usable(self) -> psycopg.Connection[Any]:
        connection = self._connection
        if connection is not None and not connection.closed:
            return connection
        if self._in_transaction:
            raise StoreUnavailable("the connection to PostgreSQL was lost within a transaction")
        try:
            self.connect()
        except Misconfigured as error:  # it was right when we started: a person is at it
            raise StoreUnavailable(str(error)) from None
        assert self._connection is not None
        return self._connection

    @contextmanager
    def _translated(self) -> Iterator[psycopg.Connection[Any]]:
        connection = self._usable()
        try:
            yield connection
        except psycopg.Error as error:
            said, code = _first_line(error), error.sqlstate
            if code in _NO_SERVER or (code is None and isinstance(error, _ON_THE_WAY)):
                connection.close()
            if connection.closed:
                raise StoreUnavailable(f"the connection to PostgreSQL was lost: {said}") from error
            if code == _UNIQUE:
                raise Conflict(f"PostgreSQL: {said}") from error
            if code in _AGAIN:
                raise RetryLater(f"PostgreSQL: {said}", after_seconds=0.1) from error
            raise

    def _columns(self, table: str) -> Mapping[str, tuple[str, int]]:
        """Column to its type, as a name and as an oid."""
        if table not in self._types:
            self._types[table] = {
                name: (type_name, int(oid))
                for name, type_name, oid in self.execute(
                    "select attname, format_type(atttypid, atttypmod), atttypid::bigint"
                    " from pg_attribute where attrelid = ?::regclass and attnum > 0"
                    " and not attisdropped",
                    (table,),
                )
            }
        return self._types[table]


class _Number(Loader):
    """`numeric`, which sums of whole numbers are, as the number that SQLite would give."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text or text == "NaN" else int(text)


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
