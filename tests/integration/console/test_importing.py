"""Imports: from files as they come to statements and events on the log."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.console import supporter_import, unknown_postcodes
from shared.ids import address_key, supporter_id_from_address, supporter_id_from_external
from shared.log.topics import EVENTS, SUPPORTERS
from shared.settings import read_settings
from shared.wire.events import Event
from shared.wire.supporters import SupporterChanged
from tests.integration.console.stage import Stage, until

HEADER = ("external_id", "email", "first_name", "consent_wording", "consent_source", "consent_at")
CONSENT = ("Yes", "web", "2026-03-01")


def write(path: Path, rows: Iterable[Iterable[str]], header: Iterable[str] = HEADER) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def statements(stage: Stage) -> list[SupporterChanged]:
    found = [it.data for _, it in stage.records(SUPPORTERS)]
    assert all(isinstance(each, SupporterChanged) for each in found)
    return [each for each in found if isinstance(each, SupporterChanged)]


def secret_of(stage: Stage) -> bytes:
    return read_settings({}, home=stage.home, secret_file=stage.home / "secret").identity_secret()


def nobody_known(asked: dict[str, Any]) -> dict[str, Any]:
    return {"people": [None for _ in asked["people"]]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def test_good_rows_are_kept_and_bad_ones_go_into_a_file_with_the_reason(
    stage: Stage, file: Path
) -> None:
    rows = [
        ("1", "ann@example.org", "Ann", *CONSENT),
        ("2", "not an address", "Bob", *CONSENT),
        ("3", "info@example.org", "Cat", *CONSENT),
        ("4", "ann@example.org", "Dan", "", "", ""),
        ("1", "ann@example.org", "Ann", *CONSENT),
        ("1", "other@example.org", "Ann", *CONSENT),
    ]
    found = stage.json("import", "supporters", write(file, rows), "--source", "crm")
    assert {name: found[name] for name in ("rows", "new", "refused", "without_consent")} == {
        "rows": 6, "new": 3, "refused": 2, "without_consent": 1,
    }  # fmt: skip
    assert found["role_address_lines"] == [4]
    assert found["shared_address_lines"] == [[2, 5]]
    assert found["repeated_lines"] == [6]
    assert found["resubscribed"] == 0
    assert sorted(each.profile["first_name"] or "" for each in statements(stage)) == [
        "Ann", "Cat", "Dan",
    ]  # fmt: skip
    with Path(found["rejects"]).open(encoding="utf-8") as kept:
        rejected = list(csv.DictReader(kept))
    assert [(row["refused_line"], row["external_id"]) for row in rejected] == [
        ("3", "2"), ("7", "1"),
    ]  # fmt: skip
    assert "on line 2 already" in rejected[1]["refused_because"]
    assert Path(found["rejects"]).stat().st_mode & 0o077 == 0


def test_refused_rows_come_back_when_they_are_mended(stage: Stage, file: Path) -> None:
    found = stage.json("import", "supporters", write(file, [("2", "bob at home", "Bob", *CONSENT)]))
    stage.service("segmenter", known=nobody_known)
    mended = Path(found["rejects"])
    mended.write_text(mended.read_text().replace("bob at home", "bob@example.org"))
    again = stage.json("import", "supporters", str(mended))
    assert (again["new"], again["refused"], again["rejects"]) == (1, 0, None)


def test_ids_come_from_the_external_id_or_else_from_the_address(stage: Stage, file: Path) -> None:
    rows = [("7", "ann@example.org", "Ann", *CONSENT), ("", "bob@example.org", "Bob", *CONSENT)]
    stage.said("import", "supporters", write(file, rows), "--source", "crm")
    secret = secret_of(stage)
    by_name = {each.profile["first_name"]: each for each in statements(stage)}
    assert by_name["Ann"].supporter_id == supporter_id_from_external("crm", "7", secret)
    assert by_name["Bob"].supporter_id == supporter_id_from_address(
        address_key("bob@example.org", secret), secret
    )
    assert by_name["Bob"].identity is None


def test_the_same_file_twice_writes_the_very_same_records(stage: Stage, file: Path) -> None:
    path = write(file, [(str(n), f"p{n}@example.org", "P", *CONSENT) for n in range(5)])
    stage.said("import", "supporters", path)
    stage.service("segmenter", known=nobody_known)
    stage.said("import", "supporters", path)
    made = [(stored.key, stored.value, it.id, it.time) for stored, it in stage.records(SUPPORTERS)]
    assert len(made) == 10
    assert len(set(made)) == 5


def test_what_a_file_says_is_dated_when_it_was_saved(stage: Stage, file: Path) -> None:
    path = write(file, [("1", "ann@example.org", "Ann", *CONSENT)])
    saved = datetime.now(UTC) - timedelta(days=30)
    os.utime(file, (saved.timestamp(), saved.timestamp()))
    assert "saved 30 days ago" in stage.said("import", "supporters", path)
    [change] = statements(stage)
    assert abs(change.at - saved) < timedelta(seconds=2)


def test_a_dry_run_writes_nothing_and_says_what_it_would(stage: Stage, file: Path) -> None:
    known = {
        "supporter_id": "7e0c6a5e-0000-8000-8000-000000000000", "standing": "unsubscribed",
        "unsubscribed": True, "suppressed": None, "attributes": {}, "tags": [], "given_areas": {},
        "fields": {"email": "ann@example.org", "first_name": "Anna"},
    }  # fmt: skip

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        return {"people": [known if k["external_id"] == "1" else None for k in asked["people"]]}

    stage.said("import", "supporters", write(file, []))
    stage.service("segmenter", known=answer)
    rows = [("1", "ann@example.org", "Ann", *CONSENT), ("2", "bob@example.org", "Bob", *CONSENT)]
    said = stage.said("import", "supporters", write(file, rows), "--dry-run")
    assert "2 rows: 1 would be new, 1 would be changed" in said
    assert "Subscribed again: 0 (an import never does that); 1 unsubscribed" in said
    assert "Nothing was imported" in said
    assert statements(stage) == []


def test_postcodes_that_nobody_knows_are_kept_and_counted_with_their_lines(
    stage: Stage, file: Path
) -> None:
    codes = ("FK1 1AA", "ZZ9 9ZZ", "fk99 9zz", "", "fk81ab", "FK99 9ZZ", "FK8")
    rows = [(str(n), f"p{n}@example.org", code, *CONSENT) for n, code in enumerate(codes)]
    header = ("external_id", "email", "postcode", *HEADER[3:])
    path = write(file, rows, header)
    for words in (("--dry-run",), ()):
        found = stage.json("import", "supporters", path, *words)
        assert found["new"] == len(codes)
        assert (found["unknown_postcodes"], found["unknown_postcode_lines"]) == (2, [4, 7])
        assert (found["malformed_postcodes"], found["malformed_postcode_lines"]) == (2, [3, 8])
    stage.service("segmenter", known=nobody_known)
    said = stage.said("import", "supporters", path, "--dry-run")
    assert "2 postcodes the directory does not know" in said
    assert "lines 4, 7" in said
    assert "2 postcodes spelt as none can be, kept without an area: lines 3, 8" in said
    assert sorted(each.profile.get("postcode") or "" for each in statements(stage)) == sorted(codes)


def test_an_import_does_not_hang_on_the_postcode_directory(
    stage: Stage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unknown_postcodes, "_PROGRAM", "raise SystemExit(3)")
    header = ("external_id", "email", "postcode")
    path = write(file, [("1", "ann@example.org", "FK1 1AA")], header)
    result = stage.doorstep("import", "supporters", path, "--json")
    assert "postcodes were not looked up" in result.stderr
    assert json.loads(result.stdout)["unknown_postcodes"] is None
    assert len(statements(stage)) == 1


def test_people_keep_the_id_they_have(stage: Stage, file: Path) -> None:
    ann = "7e0c6a5e-0000-8000-8000-00000000000a"
    secret_file = write(file, [])
    stage.said("import", "supporters", secret_file)
    key = address_key("ann@example.org", secret_of(stage))

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        kept = {"supporter_id": ann, "fields": {"first_name": "Ann"}}
        return {"people": [kept if k["address_key"] == key else None for k in asked["people"]]}

    stage.service("segmenter", known=answer)
    stage.said("import", "supporters", write(file, [("1", "ann@example.org", "Ann", *CONSENT)]))
    stage.said("import", "supporters", write(file, [("2", "ann@example.org", "Bob", *CONSENT)]))
    first, second = sorted(statements(stage), key=lambda each: each.profile["first_name"] or "")
    assert first.supporter_id == ann, "known by the address alone, and of the same name"
    assert second.supporter_id != ann, "of another name at the same address: the household"


def test_a_shared_inbox_gives_the_same_ids_however_far_the_segmenter_has_read(
    stage: Stage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunk by chunk the segmenter already knows the first of a couple by their address."""
    monkeypatch.setattr(supporter_import, "CHUNK", 1)
    read: dict[str, str] = {}

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        for change in statements(stage):
            read.setdefault(address_key(change.profile["email"] or "", secret_of(stage)),
                            change.supporter_id)  # fmt: skip
        found = [read.get(k["address_key"] or "") for k in asked["people"]]
        return {"people": [each and {"supporter_id": each, "fields": {}} for each in found]}

    stage.said("import", "supporters", write(file, []))
    stage.service("segmenter", known=answer)
    couple = [("1", "muir@example.org", "", *CONSENT), ("2", "muir@example.org", "", *CONSENT)]
    stage.said("import", "supporters", write(file, couple), "--source", "crm")
    secret = secret_of(stage)
    assert {each.supporter_id for each in statements(stage)} == {
        supporter_id_from_external("crm", n, secret) for n in "12"
    }


def test_a_second_import_needs_the_segmenter(stage: Stage, file: Path) -> None:
    path = write(file, [("1", "ann@example.org", "Ann", *CONSENT)])
    stage.said("import", "supporters", path)
    assert "doorstep up" in stage.refused("import", "supporters", path, code=75)


def test_waiting_returns_when_the_segmenter_knows_whom_was_written_last(
    stage: Stage, file: Path
) -> None:
    asked_times: list[int] = []

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        asked_times.append(len(asked["people"]))
        behind = len(asked_times) < 4
        known = {"supporter_id": "7e0c6a5e-0000-8000-8000-00000000000a"}
        return {"people": [None if behind else known for _ in asked["people"]]}

    stage.said("import", "supporters", write(file, []))
    stage.service("segmenter", known=answer)
    stage.said("import", "supporters", write(file, [("1", "", "", *CONSENT)]), "--wait")
    until(lambda: len(asked_times) >= 4, "the segmenter to be asked again")


def test_columns_that_are_not_clear_stop_the_import_with_all_that_is_wrong(
    stage: Stage, file: Path
) -> None:
    path = write(file, [("1", "x", "y")], header=("id", "E-Mail", "shoe size"))
    said = stage.refused("import", "supporters", path)
    assert f"{path}:1: the columns are not clear" in said
    assert "did you mean external_id?" in said
    assert "did you mean email?" in said
    assert '--ignore "shoe size"' in said
    assert "attribute.NAME" in said
    assert not (stage.home / "log.db").exists()


def test_a_consent_said_for_all_needs_its_three_parts(stage: Stage, file: Path) -> None:
    path = write(file, [("1", "ann@example.org")], header=("external_id", "email"))
    said = stage.refused("import", "supporters", path, "--consent-wording", "Yes")
    assert "--consent-source is missing" in said
    parts = ("--consent-wording", "Yes", "--consent-source", "sheet", "--consent-at", "2026-01-01")
    stage.said("import", "supporters", path, *parts)
    [change] = statements(stage)
    assert change.consent is not None
    assert change.consent.source == "sheet"


def test_a_wrong_encoding_is_named_and_accepted_when_said(stage: Stage, file: Path) -> None:
    file.write_bytes("external_id,first_name\n1,Renée\n".encode("cp1252"))
    assert f"{file}:2: byte 28 is 0xe9" in stage.refused("import", "supporters", str(file))
    stage.said("import", "supporters", str(file), "--encoding", "cp1252")
    assert statements(stage)[0].profile["first_name"] == "Renée"


def test_actions_become_events_of_the_people_they_name(stage: Stage, file: Path) -> None:
    rows = [
        ("7", "canvassed", "2026-05-01 18:00", "yes"),
        ("7", "canvassed", "2026-05-01 18:00", "yes"),
        ("", "canvassed", "2026-05-01 18:00", "yes"),
        ("8", "pledged", "2026-05-01", ""),
    ]
    header = ("external_id", "action", "at", "property.at_home")
    path = write(file, rows, header)
    found = stage.json("import", "actions", path, "--source", "crm")
    assert (found["taken"], found["refused"], found["repeated"]) == (2, 1, 1)
    assert found["actions"] == {"canvassed": 1, "pledged": 1}
    events = [it.data for _, it in stage.records(EVENTS) if isinstance(it.data, Event)]
    assert {(e.kind, e.action, e.properties.get("at_home")) for e in events} == {
        ("acted", "canvassed", "yes"), ("acted", "pledged", None),
    }  # fmt: skip
    secret = secret_of(stage)
    assert {e.supporter_id for e in events} == {
        supporter_id_from_external("crm", each, secret) for each in "78"
    }


def test_the_same_actions_twice_are_the_same_events(stage: Stage, file: Path) -> None:
    path = write(file, [("7", "pledged", "2026-05-01")], ("external_id", "action", "at"))
    stage.said("import", "actions", path)
    stage.said("import", "actions", path)
    assert len({it.id for _, it in stage.records(EVENTS)}) == 1


def test_a_home_is_not_begun_by_accident(
    stage: Stage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `--home` or DOORSTEP_HOME the folder here is meant, and only `up` begins it."""
    from typer.testing import CliRunner

    from services.console.main import app

    monkeypatch.chdir(file.parent)
    monkeypatch.delenv("DOORSTEP_HOME", raising=False)
    path = write(file, [("1", "ann@example.org", "Ann", *CONSENT)])
    result = CliRunner(env=stage.environment).invoke(app, ["import", "supporters", path])
    assert result.exit_code == 64
    assert "there is no Doorstep here" in result.stderr
    assert not (file.parent / ".doorstep").exists()


def test_a_home_whose_secret_is_lost_is_not_given_another(stage: Stage, file: Path) -> None:
    path = write(file, [("1", "ann@example.org", "Ann", *CONSENT)])
    stage.said("import", "supporters", path)
    assert (stage.home / "secret").stat().st_mode & 0o777 == 0o600
    (stage.home / "secret").unlink()
    assert "put it back from your backup" in stage.refused("import", "supporters", path)
