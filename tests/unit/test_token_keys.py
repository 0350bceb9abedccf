"""Keys of tokens: the file that holds them, which one signs, and how a change is learnt."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.errors import Misconfigured
from shared.settings import Settings
from shared.token_keys import TokenKey, TokenKeys, kept_keys, read_keys, signing_key, write_keys

NOW = datetime(2026, 5, 7, 18, 30, tzinfo=UTC)
FIRST, SECOND = TokenKey(1, b"a" * 32), TokenKey(2, b"b" * 32, NOW)
SECRET = SecretStr("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
OTHERS = st.dictionaries(
    st.integers(1, 255),
    st.tuples(
        st.binary(min_size=16, max_size=64), st.none() | st.datetimes(timezones=st.just(UTC))
    ),
    max_size=5,
)  # fmt: skip


@given(OTHERS)
def test_what_is_written_is_read(others: dict[int, tuple[bytes, datetime | None]]) -> None:
    keys = [TokenKey(0, b"0" * 32)]
    keys += [TokenKey(key_id, *others[key_id]) for key_id in sorted(others)]
    assert read_keys(write_keys(keys), "here") == keys


def test_the_newest_whose_time_has_come_signs() -> None:
    before, after = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
    assert signing_key([FIRST, SECOND], before) == FIRST
    assert signing_key([FIRST, SECOND], NOW) == SECOND
    assert signing_key([SECOND, FIRST], after) == SECOND


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no key signs from ever"),
        ("1", "line 1: wanted"),
        ("one YWFhYWFhYWFhYWFhYWFhYQ==", "line 1: wanted"),
        ("# a\n\n256 YWFhYWFhYWFhYWFhYWFhYQ==", "line 3: an id is 0 to 255, this is 256"),
        ("1 YWFh", "line 1: a key has 16 to 64 bytes, this has 3"),
        ("1 !!!", "line 1: the key is no base64"),
        ("1 YWFhYWFhYWFhYWFhYWFhYQ== soon", "line 1: the key is no base64, or the time no"),
        ("1 YWFhYWFhYWFhYWFhYWFhYQ==\n1 YWFhYWFhYWFhYWFhYWFhYg==", "line 2: there is a key 1"),
        ("1 YWFhYWFhYWFhYWFhYWFhYQ== 2026-05-07T18:30:00+00:00", "no key signs from ever"),
    ],
)
def test_a_file_that_is_wrong_says_where_and_never_the_key(text: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said) as told:
        read_keys(text, "the file")
    assert "YWFh" not in str(told.value)
    assert "a" * 16 not in repr(FIRST)


def test_without_a_file_there_is_one_key_made_of_the_secret(tmp_path: Path) -> None:
    derived = kept_keys(Settings(secret=SECRET))
    assert [key.key_id for key in derived] == [1]
    assert kept_keys(Settings(secret=SECRET, token_keys_file=tmp_path / "none")) == derived


def test_keys_in_two_places_are_refused(tmp_path: Path) -> None:
    both = Settings(token_keys={1: SECRET}, token_keys_file=tmp_path / "keys")
    with pytest.raises(Misconfigured, match="both set"):
        TokenKeys(both)


class Watched:
    """A file of keys, and a clock that the test moves."""

    def __init__(self, path: Path) -> None:
        self.path, self.seconds, self._written = path, 0.0, 0
        self.keys = TokenKeys(Settings(secret=SECRET, token_keys_file=path), lambda: self.seconds)

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self._written += 1
        os.utime(self.path, ns=(self._written, self._written))

    def ids(self) -> list[int]:
        self.seconds += 1.0
        return sorted(self.keys.verifying())


def test_a_file_is_read_again_when_it_changes_and_not_before_a_second_is_over(
    tmp_path: Path,
) -> None:
    watched = Watched(tmp_path / "keys")
    assert watched.ids() == [1]
    watched.write(write_keys([FIRST, SECOND]))
    assert sorted(watched.keys.verifying()) == [1]
    assert watched.ids() == [1, 2]
    assert watched.keys.signing(NOW) == (2, b"b" * 32)
    assert watched.keys.signing(NOW - timedelta(seconds=1)) == (1, b"a" * 32)
    watched.write(write_keys([TokenKey(2, b"b" * 32)]))
    assert watched.ids() == [2]


def test_a_file_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "keys")
    watched.write(write_keys([FIRST, SECOND]))
    assert watched.ids() == [1, 2]
    watched.write("nonsense")
    assert watched.ids() == [1, 2]
    watched.path.unlink()
    assert watched.ids() == [1, 2]
    watched.write(write_keys([FIRST]))
    assert watched.ids() == [1]
