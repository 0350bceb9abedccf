"""Whoever withdrew is not mailed after the moment that the promise names, and any mail is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.auditor.__main__ import main
from tests.unit.auditor.scene import NINE_MS, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Ada and Ben were mailed at nine."""
    made = Scene(tmp_path)
    made.person("ada")
    made.person("ben")
    return made


def withdrawal(**changes: Any) -> dict[str, Any]:
    """Ada's, a millisecond before nine."""
    return {
        "after_ms": NINE_MS - 1, "says": "left by a link", "supporter_id": "supporter-ada",
        "address": None, "send": None, **changes,
    }  # fmt: skip


def audit(scene: Scene, capsys: pytest.CaptureFixture[str], *lines: object) -> dict[str, Any]:
    """What the auditor says when these are the withdrawals."""
    path = scene.directory / "withdrawals.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    main([*scene.arguments("--withdrawals", str(path)), "--json"])
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


@pytest.mark.parametrize(
    "who",
    [
        {},
        {"send": "spring"},
        {"supporter_id": None, "address": "ADA@example.org"},
    ],
)
def test_a_mail_after_a_withdrawal_is_named(
    scene: Scene, capsys: pytest.CaptureFixture[str], who: dict[str, Any]
) -> None:
    said = audit(scene, capsys, withdrawal(**who))

    assert not said["balanced"]
    (finding,) = said["findings"]
    assert (finding["kind"], finding["message_id"]) == ("mailed after withdrawal", "ada")
    assert finding["says"].startswith("left by a link; no mail after 2026-05-04T08:59:59.999")
    assert "@" not in finding["says"]


@pytest.mark.parametrize(
    "harmless",
    [
        {"after_ms": NINE_MS},
        {"send": "autumn"},
        {"supporter_id": "supporter-eve"},
        {"supporter_id": None, "address": "eve@example.org"},
    ],
)
def test_a_mail_in_time_or_of_another_is_none(
    scene: Scene, capsys: pytest.CaptureFixture[str], harmless: dict[str, Any]
) -> None:
    said = audit(scene, capsys, withdrawal(**harmless))

    assert said["balanced"], said["findings"]


def test_a_mail_is_named_once_for_the_first_word_that_it_breaks(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    later, first = withdrawal(), withdrawal(after_ms=NINE_MS - 5, says="left by a statement")

    said = audit(scene, capsys, later, first, withdrawal(supporter_id=None, address="a@b.example"))

    assert [finding["says"][:19] for finding in said["findings"]] == ["left by a statement"]


@pytest.mark.parametrize(
    "line", [{}, "text", withdrawal(supporter_id=None), withdrawal(address="ada@example.org")]
)
def test_what_is_no_withdrawal_is_refused(
    scene: Scene, capsys: pytest.CaptureFixture[str], line: object
) -> None:
    path = scene.directory / "withdrawals.jsonl"
    path.write_text(json.dumps(line) + "\n")

    assert main(scene.arguments("--withdrawals", str(path))) == 2
    assert "line 1: not a withdrawal" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(scene.arguments("--withdrawals", str(scene.directory / "none"))) == 2
    assert "cannot read it" in capsys.readouterr().err
