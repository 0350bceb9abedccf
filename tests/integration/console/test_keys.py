"""`doorstep keys`: showing, rotating, retiring."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from services.console.home import SECRET, TOKEN_KEYS
from shared.settings import Settings
from shared.token_keys import read_keys
from tests.integration.console.stage import Stage


@pytest.fixture
def home(stage: Stage) -> Stage:
    stage.home.mkdir(parents=True)
    (stage.home / SECRET).write_text(base64.b64encode(bytes(range(32))).decode() + "\n")
    return stage


def shown(stage: Stage) -> dict[int, str]:
    result = stage.doorstep("keys", "show", "--json")
    assert result.exit_code == 0, result.output
    return {key["id"]: key["state"] for key in json.loads(result.stdout)}


def test_a_rotation_keeps_the_old_key_and_lets_the_new_one_sign_from_its_time(home: Stage) -> None:
    assert shown(home) == {1: "signs and verifies"}
    result = home.doorstep("keys", "rotate", "--after", "600", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["id"] == 2
    assert shown(home) == {1: "signs and verifies", 2: "will sign; verifies"}
    assert home.doorstep("keys", "rotate", "--after", "0").exit_code == 0
    assert shown(home) == {1: "verifies", 2: "will sign; verifies", 3: "signs and verifies"}
    file = home.home / TOKEN_KEYS
    assert file.stat().st_mode & 0o777 == 0o600
    first, second, third = read_keys(file.read_text(), "the file")
    settings = Settings(secret_file=home.home / SECRET)
    assert {first.key_id: first.key} == settings.token_key_ring(), "the one that was there"
    assert len({first.key, second.key, third.key}) == 3
    assert second.signs_from is not None
    assert 500 < (second.signs_from - datetime.now(UTC)).total_seconds() <= 600
    for key in (first, second, third):
        text = base64.b64encode(key.key).decode()
        assert text not in home.doorstep("keys", "show").output


def test_a_key_is_retired_only_by_somebody_who_means_it(home: Stage) -> None:
    home.doorstep("keys", "rotate", "--after", "0")
    asked = home.doorstep("keys", "retire", "1")
    assert asked.exit_code != 0
    assert "the way out" in asked.output
    assert "--yes" in asked.output
    assert shown(home) == {1: "verifies", 2: "signs and verifies"}
    result = home.doorstep("keys", "retire", "1", "--yes")
    assert result.exit_code == 0, result.output
    assert shown(home) == {2: "signs and verifies"}


@pytest.mark.parametrize(
    ("words", "said"), [(("7",), "there is no key 7"), (("2",), "key 2 signs now")]
)
def test_what_cannot_be_retired_is_said(home: Stage, words: tuple[str], said: str) -> None:
    home.doorstep("keys", "rotate", "--after", "0")
    result = home.doorstep("keys", "retire", *words, "--yes")
    assert result.exit_code != 0
    assert said in result.output


def test_keys_of_the_environment_are_not_to_be_rotated_here(home: Stage) -> None:
    key = base64.b64encode(b"k" * 32).decode()
    home.environment["DOORSTEP_TOKEN_KEYS"] = json.dumps({4: key})
    assert shown(home) == {4: "signs and verifies"}
    result = home.doorstep("keys", "rotate")
    assert result.exit_code != 0
    assert "DOORSTEP_TOKEN_KEYS_FILE" in result.output
    assert key not in result.output
