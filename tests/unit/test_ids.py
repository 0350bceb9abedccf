"""Identifiers that are derived: always the same, and the same as the standard's."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from shared.ids import event_id, message_id

MESSAGES = uuid.UUID("6f6c1b1e-5c57-5d0e-9a62-6d6573736167")
EVENTS = uuid.UUID("6f6c1b1e-5c57-5d0e-9a62-6576656e7473")
TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@given(st.lists(TEXT | st.integers(), min_size=1, max_size=4))
def test_the_id_of_an_event_is_a_version_5_uuid_of_its_parts(parts: list[str | int]) -> None:
    name = "\x00".join(str(part) for part in parts)
    assert event_id(*parts) == str(uuid.uuid5(EVENTS, name))


@given(TEXT, st.uuids().map(str), st.integers(0, 2**32 - 1))
def test_the_id_of_a_message_is_a_version_5_uuid_of_what_names_it(
    send: str, supporter: str, occurrence: int
) -> None:
    name = f"{send}\x00{supporter}\x00{occurrence}"
    assert message_id(send, supporter, occurrence) == str(uuid.uuid5(MESSAGES, name))
