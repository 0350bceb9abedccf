"""The auditor says the same of ledger and frozen sets in PostgreSQL as of those in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from deploy.auditor.__main__ import main
from tests.unit.auditor.scene import FROZEN, MESSAGE, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Somebody accepted, somebody forgotten, somebody mailed twice."""
    made = Scene(tmp_path)
    made.person("ada")
    made.person("bob", "ready")
    made.person("cy")
    made.mail("cy")
    return made


def put(dsn: str, schema: str, ddl: str, table: str, rows: list[dict[str, Any]]) -> None:
    with psycopg.connect(dsn) as connection:
        name = sql.Identifier(schema, table)
        connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        connection.execute(f"set search_path to {schema}")
        connection.execute(ddl.replace("deadline_ms integer", "deadline_ms bigint"))
        for row in rows:
            marks = sql.SQL(", ").join([sql.Placeholder()] * len(row))
            connection.execute(
                sql.SQL("insert into {} values ({})").format(name, marks), list(row.values())
            )


def from_postgres(scene: Scene, dsn: str, *options: str) -> list[str]:
    """The command line, with the files of stores gone."""
    scene.arguments()
    for name in ("ledger.db", "store.db"):
        (scene.directory / name).unlink()
    return ["--mail", str(scene.directory), "--postgres", dsn, *options]


def test_the_verdict_is_the_same(
    scene: Scene, postgres_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([*scene.arguments(), "--json"])
    from_files = json.loads(capsys.readouterr().out)
    put(postgres_dsn, "sender", MESSAGE, "message", scene.ledger)
    put(postgres_dsn, "segmenter", FROZEN, "frozen", scene.frozen)

    assert main(from_postgres(scene, postgres_dsn, "--json")) == status == 1
    assert json.loads(capsys.readouterr().out) == from_files
    assert from_files["counts"]["doubled"] == 1
    assert from_files["counts"]["without a final state"] == 1


def test_what_cannot_be_read_is_not_a_verdict_and_tells_no_password(
    scene: Scene, postgres_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(postgres_dsn, "sender", MESSAGE, "message", scene.ledger)
    with_password = postgres_dsn.replace("doorstep@", "doorstep:not-a-secret@")
    assert main(from_postgres(scene, with_password)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert 'segmenter.frozen: cannot read it: relation "segmenter.frozen" does not' in said.err

    nowhere = with_password.replace("/test_", "/nowhere_")
    assert main(["--mail", str(scene.directory), "--postgres", nowhere]) == 2
    said = capsys.readouterr()
    assert "does not exist" in said.err
    assert "not-a-secret" not in said.err


def test_there_must_be_a_ledger(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--mail", str(scene.directory)])
    assert ended.value.code == 2
    assert "--ledger FILE or --postgres DSN" in capsys.readouterr().err
