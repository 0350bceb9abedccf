"""Identifiers derived by hand are those of the standard library."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from shared import ids


@given(st.text(), st.text(), st.integers(0))
def test_messages_and_events_have_the_uuid5_of_what_they_name(
    send: str, supporter: str, number: int
) -> None:
    message = f"{send}\x00{supporter}\x00{number}"

    assert ids.message_id(send, supporter, number) == str(uuid.uuid5(ids._MESSAGES, message))
    assert ids.event_id(send, supporter, number) == str(uuid.uuid5(ids._EVENTS, message))
