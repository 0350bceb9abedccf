"""What a site says of an action, and what is refused, with what to do about it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.action_requests import Reading, Refused, read_action
from services.tracker.raw_hits import ActionHit, Bearer
from shared.clock import to_ms
from shared.ids import address_key, supporter_id_from_address, supporter_id_from_external
from shared.tokens import BadToken, verify
from tests.unit.tracker.building import ADA, BEN, NOW, SECRET, TOKEN_KEY, bearer, token


def bearer_of(text: str) -> Bearer | None:
    try:
        return Bearer.of(verify(text, {1: TOKEN_KEY}))
    except BadToken:
        return None


def read(key: str | None = "key-1", **fields: Any) -> ActionHit:
    body = {"action": "volunteered", "token": token(), **fields}
    text = json.dumps({name: value for name, value in body.items() if value is not ...})
    return read_action(text.encode(), key, Reading(bearer_of, SECRET, NOW))


def refused(key: str | None = "key-1", **fields: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        read(key, **fields)
    assert caught.value.what_to_do
    return caught.value


def test_a_token_alone_names_its_supporter() -> None:
    hit = read()
    assert (hit.supporter_id, hit.bearer, hit.action) == (ADA, bearer(), "volunteered")
    assert (hit.at_ms, hit.received_ms, hit.email) == (to_ms(NOW), to_ms(NOW), None)


def test_a_person_can_be_named_by_the_id_doorstep_gave() -> None:
    assert read(token=..., supporter_id=BEN.upper()).supporter_id == BEN


def test_a_person_can_be_named_as_another_system_knows_them() -> None:
    hit = read(token=..., source="crm", external_id="7")
    assert hit.supporter_id == supporter_id_from_external("crm", "7", SECRET)
    assert (hit.source, hit.external_id, hit.email) == ("crm", "7", None)


def test_a_person_can_be_named_by_address_in_any_spelling() -> None:
    hit = read(token=..., email=" Ben@Constituent.Example ")
    key = address_key("ben@constituent.example", SECRET)
    assert hit.supporter_id == supporter_id_from_address(key, SECRET)
    assert hit.email == "ben@constituent.example"


def test_other_details_beside_a_token_name_the_person_and_keep_the_bearer() -> None:
    hit = read(email="ben@constituent.example")
    assert hit.supporter_id != ADA
    assert hit.bearer == bearer()


def test_an_address_beside_an_external_id_is_a_detail_of_that_person() -> None:
    hit = read(token=..., source="crm", external_id="7", email="ben@constituent.example")
    assert hit.supporter_id == supporter_id_from_external("crm", "7", SECRET)
    assert hit.email == "ben@constituent.example"


def test_the_key_may_stand_in_the_body_and_gives_the_same_hash() -> None:
    assert read(None, id="key-1").key_hash == read("key-1").key_hash
    assert read("key-1", id="key-1").key_hash == read("key-1").key_hash
    assert read("key-2").key_hash != read("key-1").key_hash


def test_a_time_is_taken_in_any_zone_and_a_clock_a_little_ahead_is_forgiven() -> None:
    earlier = NOW - timedelta(hours=2)
    assert read(at="2026-05-07T17:30:00+01:00").at_ms == to_ms(earlier)
    ahead = NOW + timedelta(seconds=30)
    assert read(at=ahead.isoformat()).at_ms == to_ms(NOW)


@pytest.mark.parametrize(
    ("fields", "status", "where"),
    [
        ({"action": ...}, 422, "action"),
        ({"action": "Volunteered!"}, 422, "action"),
        ({"action": 7}, 422, "action"),
        ({"action": "a" * 65}, 422, "action"),
        ({"token": "forged"}, 404, "token"),
        ({"token": token(key=b"x" * 32)}, 404, "token"),
        ({"token": token()[:-1]}, 404, "token"),
        ({"token": ...}, 422, "the body"),
        ({"supporter_id": "ada"}, 422, "supporter_id"),
        ({"supporter_id": BEN, "email": "b@c.example"}, 422, "supporter_id"),
        ({"source": "crm"}, 422, "source, external_id"),
        ({"source": "crm", "external_id": " "}, 422, "external_id"),
        ({"source": "c\nrm", "external_id": "7"}, 422, "source"),
        ({"email": "nobody"}, 422, "email"),
        ({"email": ["b@c.example"]}, 422, "email"),
        ({"at": "yesterday"}, 422, "at"),
        ({"at": "2026-05-07T17:30:00"}, 422, "at"),
        ({"at": "2026-05-07"}, 422, "at"),
        ({"at": 1778176200}, 422, "at"),
        ({"at": "2026-05-08T18:30:00Z"}, 422, "at"),
        ({"at": "0001-01-01T00:00:00+14:00"}, 422, "at"),
        ({"at": "1066-10-14T09:00:00+00:00"}, 422, "at"),
        ({"properties": []}, 422, "properties"),
        ({"properties": {"a": [1]}}, 422, "properties.a"),
        ({"properties": {"a": "x" * 501}}, 422, "properties.a"),
        ({"properties": {"a b": 1}}, 422, "properties.a b"),
        ({"properties": {"n": 2**70}}, 422, "properties.n"),
        ({"properties": {"who": "ask ben@c.example"}}, 422, "properties.who"),
        ({"properties": {"ip": "198.51.100.7"}}, 422, "properties.ip"),
        ({"properties": {"ip": "2001:db8::7"}}, 422, "properties.ip"),
        ({"emial": "b@c.example"}, 422, "emial"),
        ({"id": "another"}, 422, "id"),
        ({"id": 7}, 422, "id"),
    ],
)
def test_what_is_wrong_is_refused_by_name(fields: dict[str, Any], status: int, where: str) -> None:
    found = refused(**fields)
    assert (found.status, found.where) == (status, where)


def test_no_idempotency_key_at_all_is_refused() -> None:
    assert refused(None).status == 400
    assert refused("").status == 400
    assert refused("k" * 201).status == 422


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe", b'{"action": NaN}', b'{"action": "\\ud800"}', b"[" * 100_000,
        b'{"properties": {"a": Infinity}}',
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read_action(body, "k", Reading(bearer_of, SECRET, NOW))
    assert caught.value.status == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["id", "action", "token", "supporter_id", "source", "external_id", "email", "at", "properties"]
)


@given(st.dictionaries(fields, json_values), st.none() | st.text())
def test_any_json_is_read_or_refused_and_what_is_read_can_be_kept(
    body: dict[str, Any], key: str | None
) -> None:
    text = json.dumps(body).encode()
    status = 200
    try:
        hit = read_action(text, key, Reading(bearer_of, SECRET, NOW))
    except Refused as found:
        status = found.status
    else:
        assert hit.model_dump_json()
    assert status in (200, 400, 404, 422)


def test_a_refusal_never_repeats_the_address_it_refuses() -> None:
    for fields in ({"email": "ben@@c.example"}, {"properties": {"who": "ben@c.example"}}):
        found = refused(**fields)
        assert "ben" not in f"{found.what}{found.what_to_do}"
