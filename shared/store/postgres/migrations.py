"""The tables of a schema, made and brought up to date step by step.

The steps are in parts (ours, those of every store, the service's), each numbered by itself, so that
any part can grow. Instances that start together do it one after the other; a schema that a newer
program has worked on is refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from shared.errors import Misconfigured
from shared.store.postgres.connection import PostgresDatabase
from shared.store.postgres.dialect import PRELUDE, postgres_ddl
from shared.store.schema import COMMON_DDL


def migrate(database: PostgresDatabase, ddl: Sequence[str], as_it_is: Sequence[str]) -> None:
    """Raises Misconfigured for a newer schema, or when the role may not make one."""
    parts: Mapping[str, Sequence[str]] = {
        "dialect": PRELUDE,
        "store": [postgres_ddl(statement) for statement in COMMON_DDL],
        "service": [postgres_ddl(statement) for statement in ddl],
        "service, as it is": as_it_is,
    }
    schema = database.schema
    with database.transaction():
        database.execute(
            "select pg_advisory_xact_lock(hashtext('doorstep migrations'), hashtext(?))", (schema,)
        )
        _prepare(database, schema)
        done = dict(database.execute("select part, max(step) from migration group by part"))
        for part, steps in done.items():
            if part not in parts or steps > len(parts[part]):
                raise Misconfigured(
                    f"the schema {schema} in PostgreSQL was written by a newer Doorstep; run that"
                )
        for part, statements in parts.items():
            for step, statement in enumerate(statements, start=1):
                if step > done.get(part, 0):
                    database.execute(statement)
                    database.execute(
                        "insert into migration(part, step) values (?, ?)", (part, step)
                    )
        if not database.execute("select 1 from store").fetchall():
            database.execute("insert into store(store_id) values (?)", (uuid.uuid4().hex,))


def _prepare(database: PostgresDatabase, schema: str) -> None:
    ((known, allowed),) = database.execute(
        "select exists (select 1 from pg_namespace where nspname = ?),"
        " has_database_privilege(current_database(), 'create')",
        (schema,),
    )
    if not known and not allowed:
        raise Misconfigured(
            f"DOORSTEP_POSTGRES: the role may not make the schema {schema}; grant it CREATE on the "
            "database, or make the schema for it"
        )
    if not known:
        database.execute(f'create schema "{schema}"')
    database.execute(
        f'create table if not exists "{schema}".migration(part text not null, step bigint not null,'
        " at timestamptz not null default now(), primary key (part, step))"
    )
