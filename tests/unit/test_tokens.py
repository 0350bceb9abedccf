"""Tokens: what is signed comes back, and nothing else is taken."""

from __future__ import annotations

import string
import uuid
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tokens import BadToken, Token, UnknownKey, edition_hash, send_hash, sign, verify

KEY = bytes(range(32))
ALPHABET = string.ascii_letters + string.digits + "-_"
TOKENS = st.builds(
    Token,
    st.uuids().map(str),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.binary(min_size=4, max_size=4),
)


@given(TOKENS, st.integers(0, 255), st.binary(min_size=16, max_size=64))
def test_what_is_signed_comes_back(token: Token, key_id: int, key: bytes) -> None:
    text = sign(token, key_id, key)
    assert len(text) == 59
    assert set(text) <= set(ALPHABET)
    assert verify(text, {key_id: key, (key_id + 1) % 256: KEY}) == token


def test_a_token_made_by_hand_from_the_description_is_taken() -> None:
    supporter = uuid.UUID("018f3c5a-9e10-8b1d-8c44-5e6f4a7b8c9d")
    signed = (
        b"\x07" + supporter.bytes + send_hash("eve-of-poll")
        + (20_260_507).to_bytes(4, "big") + b"\x02" + edition_hash("E05000001")
    )  # fmt: skip
    raw = signed + blake2b(signed, key=KEY, digest_size=10).digest()
    number = int.from_bytes(raw, "big") << 2
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    text = "".join(digits[number >> 6 * place & 63] for place in reversed(range(59)))
    found = verify(text, {7: KEY})
    assert found == Token(
        str(supporter), send_hash("eve-of-poll"), 20_260_507, 2, edition_hash("E05000001")
    )
    assert sign(found, 7, KEY) == text


@given(TOKENS, st.data())
def test_no_character_of_it_can_be_another(token: Token, data: st.DataObject) -> None:
    text = sign(token, 1, KEY)
    place = data.draw(st.integers(0, 58))
    other = data.draw(st.sampled_from([*ALPHABET, "+", "/", "=", " ", "é", "\u0664"]))
    changed = text[:place] + other + text[place + 1 :]
    if changed == text:
        return
    with pytest.raises(BadToken):
        verify(changed, dict.fromkeys(range(256), KEY))


@pytest.mark.parametrize("text", ["", "A" * 58, "A" * 60, "A" * 58 + "\n", "\u00c5" * 59])
def test_what_is_no_token_is_told_so(text: str) -> None:
    with pytest.raises(BadToken, match="59"):
        verify(text, {0: KEY})


def test_a_key_that_is_not_known_is_told_apart_from_a_forgery() -> None:
    token = Token(str(uuid.UUID(int=5)), send_hash("a"), 0, 0, edition_hash(""))
    text = sign(token, 3, KEY)
    with pytest.raises(UnknownKey, match="key 3"):
        verify(text, {1: KEY})
    with pytest.raises(BadToken) as forged:
        verify(text, {3: KEY[::-1]})
    assert not isinstance(forged.value, UnknownKey)
