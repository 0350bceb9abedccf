"""Applying says beforehand what it would change, and definitions survive the topic."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.errors import NeverRetry, NewerVersion
from shared.programme.findings import Key, key_of
from shared.programme.versions import Change, diff_programmes, from_wire, to_wire
from shared.wire import programme as wire
from tests.unit.programme.small_programme import AREAS, HTML, SEND, parse

NOW = datetime(2027, 5, 6, 12, tzinfo=UTC)


def applied(changes: dict[str, str | bytes | None] | None = None) -> dict[Key, wire.Definition]:
    """The programme topic after applying the small programme."""
    return {key_of(each): to_wire(each, NOW) for each in parse(changes).definitions}


def changed(
    before: dict[str, str | bytes | None], after: dict[str, str | bytes | None]
) -> list[Change]:
    changes = diff_programmes(applied(before), parse(after))
    return [each for each in changes if each.action != "unchanged"]


def test_everything_is_new_at_first_in_the_order_of_applying() -> None:
    changes = diff_programmes({}, parse())
    assert [(each.kind, each.name, each.action) for each in changes] == [
        ("campaign", "small", "new"),
        ("areas", "places", "new"),
        ("segment", "everyone", "new"),
        ("template", "ask", "new"),
        ("send", "ask", "new"),
    ]


def test_the_same_files_change_nothing() -> None:
    assert {each.action for each in diff_programmes(applied(), parse())} == {"unchanged"}


@pytest.mark.parametrize(
    ("path", "content", "detail"),
    [
        ("sends/ask.yaml", SEND + "priority: low\n", "priority: normal -> low"),
        ("sends/ask.yaml", SEND + "topic: x\nareas: places\n", 'areas: "" -> places; topic: '),
        ("templates/ask/mail.html.j2", HTML + "one\ntwo\n", "html: 2 lines new, 0 gone"),
        ("areas/places.yaml", AREAS + "  FK3 8: {venue: x}\n", "by_code: new FK3 8"),
        ("areas/places.yaml", AREAS.replace("barn", "byre"), "by_code: changed FK2 7"),
        ("segments/everyone.yaml", "where: {tag: x}\n", "rule: "),
    ],
)
def test_a_change_says_what_differs(path: str, content: str, detail: str) -> None:
    [change] = changed({}, {path: content})
    assert change.action == "changed"
    assert change.detail.startswith(detail)
    assert len(change.detail) < 300


def test_what_is_gone_comes_last_sends_first() -> None:
    more: dict[str, str | bytes | None] = {
        "sends/old.yaml": SEND,
        "segments/old.yaml": "where: {tag: x}\n",
        "areas/old.yaml": AREAS,
    }
    changes = diff_programmes(applied(more), parse())
    assert [(each.kind, each.name) for each in changes if each.action == "removed"] == [
        ("send", "old"),
        ("segment", "old"),
        ("areas", "old"),
    ]
    assert [each.action for each in changes[-3:]] == ["removed"] * 3


def test_definitions_survive_the_topic() -> None:
    for definition in parse(
        {"sends/ask.yaml": SEND + "deadline: 2027-05-06 21:30 Z\n"}
    ).definitions:
        record = to_wire(definition, NOW, by="op-1")
        again = from_wire(wire.Definition.model_validate_json(record.model_dump_json()))
        assert again == definition
        assert again.version() == record.version == definition.version()
        assert (record.applied_at, record.applied_by) == (NOW, "op-1")


def test_a_store_that_sorts_keys_does_not_change_the_version() -> None:
    for definition in parse().definitions:
        record = to_wire(definition, NOW)
        body = dict(sorted(record.body.items(), reverse=True))
        assert from_wire(record.model_copy(update={"body": body})).version() == record.version


def test_fields_of_a_later_release_ask_for_an_upgrade() -> None:
    record = applied()["send", "ask"]
    later = record.model_copy(update={"body": record.body | {"holdout": 5}})
    with pytest.raises(NewerVersion, match="holdout"):
        from_wire(later)
    rule = applied()["segment", "everyone"]
    unknown = rule.model_copy(update={"body": rule.body | {"rule": {"op": "within_km"}}})
    with pytest.raises(NewerVersion, match="rule"):
        from_wire(unknown)


def test_what_is_no_definition_is_never_retried() -> None:
    record = applied()["send", "ask"].model_copy(update={"body": {"name": "ask"}})
    with pytest.raises(NeverRetry, match="segment"):
        from_wire(record)
