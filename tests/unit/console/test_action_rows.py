"""What one row of an actions file says somebody did."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.console.action_rows import Act, Reading, act_record, read_act
from services.console.csv_files import Row
from services.console.supporter_rows import Refusal
from tests.unit.console.rows import NOW, SECRET

LONDON = ZoneInfo("Europe/London")
ID = "7e0c6a5e-0000-8000-8000-000000000000"


def read(own: str = "", /, **cells: str) -> Act | Refusal:
    named = {name.replace("__", "."): cell for name, cell in cells.items()}
    reading = Reading(
        {name: index for index, name in enumerate(named)}, "van", SECRET, LONDON, NOW,
        own_actions=frozenset({own}),
    )  # fmt: skip
    return read_act(Row(2, tuple(named.values())), reading)


def test_people_are_named_by_external_id_address_or_supporter_id() -> None:
    for who in ({"external_id": "7"}, {"email": "a@example.org"}, {"supporter_id": ID.upper()}):
        found = read(action="Pledged", at="2026-05-07T18:00+01:00", **who)
        assert isinstance(found, Act)
        assert (found.supporter_id == ID) is ("supporter_id" in who)
        assert found.action == "pledged"


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2026-05-07 18:30", datetime(2026, 5, 7, 17, 30, tzinfo=UTC)),
        ("2026-05-07T18:30+00:00", datetime(2026, 5, 7, 18, 30, tzinfo=UTC)),
        ("2026-05-07", datetime(2026, 5, 6, 23, 0, tzinfo=UTC)),
    ],
)
def test_times_without_a_zone_are_the_campaigns(said: str, at: datetime) -> None:
    found = read(external_id="7", action="pledged", at=said)
    assert isinstance(found, Act)
    assert found.at == at


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"external_id": ""}, "nobody is named"),
        ({"supporter_id": "7"}, "no supporter id"),
        ({"external_id": "", "email": "nobody"}, "email: no address"),
        ({"external_id": "7", "action": "Came round"}, "cannot be the name of an action"),
        ({"external_id": "7", "action": "voluntered"}, 'did you mean "volunteered"'),
        ({"external_id": "7", "at": ""}, "say when it happened"),
        ({"external_id": "7", "at": "2026-05-08"}, "in the future"),
        ({"external_id": "7", "at": "07/05/2026"}, "not a date and time"),
        ({"external_id": "7", "property__note": "ask ann@example.org"}, "holds a mail address"),
    ],
)
def test_what_cannot_be_taken_says_why(cells: dict[str, str], reason: str) -> None:
    found = read(**({"action": "pledged", "at": "2026-05-07"} | cells))
    assert isinstance(found, Refusal)
    assert reason in found.reason
    assert "example.org" not in found.reason


def test_the_same_row_is_the_same_event_and_holds_no_address() -> None:
    found = read(
        email="ann@example.org", action="donated", at="2026-05-07 10:00", property__amount="25",
        property__gift_aid="true",
    )  # fmt: skip
    assert isinstance(found, Act)
    assert found.properties == {"amount": 25, "gift_aid": True}
    record = act_record(found, ID, 24)
    assert record == act_record(found, ID, 24)
    assert b"ann" not in (record.value or b"")


def test_an_action_of_their_own_that_only_looks_misspelt_is_taken_when_said() -> None:
    cells = {"external_id": "7", "action": "pledge", "at": "2026-05-07"}
    refused = read(**cells)
    assert isinstance(refused, Refusal)
    assert "--own-action pledge" in refused.reason
    assert isinstance(read("pledge", **cells), Act)
