"""Small things of the command line: where `--home` may stand, what a plan shows, what is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.console.home import handed_down
from services.console.launching import Counted
from services.console.main import home_first
from services.console.plan import change_rows, described, doubts, summary
from services.console.segments import count_rows, read_text_rule
from services.console.status import remarks
from shared.errors import Misconfigured
from shared.programme.problems import ProgrammeErrors
from shared.programme.rules import HasTag
from shared.programme.versions import Change
from shared.settings import Settings
from tests.unit.console.programme import definitions, table


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["up", "--home", "x"], ["--home", "x", "up"]),
        (["up", "--home=x", "--json"], ["--home=x", "up", "--json"]),
        (["--home", "x", "up"], ["--home", "x", "up"]),
        (["why", "--", "--home", "x"], ["why", "--", "--home", "x"]),
        (["up", "--home"], ["--home", "up"]),
    ],
)
def test_the_home_may_be_named_anywhere(given: list[str], wanted: list[str]) -> None:
    assert home_first(given) == wanted


CHANGES = (
    Change("campaign", "forth", "unchanged"),
    Change("send", "ask", "changed", "topic: a -> b"),
    Change("segment", "everybody", "new"),
    Change("send", "old", "removed", "no file defines it any more"),
)


def test_a_plan_lists_what_changes_and_counts_the_rest() -> None:
    rows = change_rows(CHANGES, {("segment", "everybody"): "12 match"}, show_all=False)
    assert [str(row[0]) for row in rows] == ["~ changed", "+ new", "- removed"]
    assert rows[1][3] == "12 match"
    assert len(change_rows(CHANGES, {}, show_all=True)) == 4
    assert summary(CHANGES) == "1 new, 1 changed, 1 unchanged, 1 removed"


def test_sends_under_way_are_said_to_go_on_as_they_were_approved() -> None:
    said = doubts(CHANGES, table(), {"ask": "sending", "old": "scheduled"})
    assert "send ask is sending and goes on as it was approved" in said[0]
    assert "doorstep send cancel old" in said[1]
    assert not doubts(CHANGES, table(), {"ask": "finished", "old": "draft"})


def test_another_programme_than_the_one_that_is_here_is_said_first() -> None:
    removed = Change("campaign", "forth", "removed")
    assert "another programme" in doubts([removed, *CHANGES], table(), {"ask": "sending"})[0]


def test_every_kind_of_definition_is_described_in_a_few_words() -> None:
    assert [described(each) for each in definitions()] == [
        "Forth, from hello@example.org", "1 area of kind ward", "", "“Hello”", "to everybody",
    ]  # fmt: skip


def test_a_count_leads_from_all_who_match_to_those_who_may_be_mailed() -> None:
    rows = count_rows(Counted(10, 7, {"no_consent": 2, "bounced": 1}, 3))
    assert [(str(row[0]).strip(), str(row[1])) for row in rows] == [
        ("match", "10"), ("- no consent", "-2"), ("- bounced", "-1"), ("mailable", "7"),
        ("of them unplaced", "3"),
    ]  # fmt: skip


def test_a_rule_is_yaml_a_file_or_a_whole_segment(tmp_path: Path) -> None:

    file = tmp_path / "rule.yaml"
    file.write_text("description: members\nwhere:\n  tag: member\n")
    assert read_text_rule("tag: member") == read_text_rule(str(file)) == HasTag(tag="member")


def test_a_rule_that_is_none_is_named_with_its_place() -> None:
    with pytest.raises(ProgrammeErrors, match="--rule:1:1: `tga`"):
        read_text_rule("tga: member")
    with pytest.raises(Misconfigured, match="neither a rule"):
        read_text_rule("members")


def test_what_is_special_about_a_service_is_said_and_nothing_else() -> None:
    assert remarks({"doorstep_ready_messages": 1200, "doorstep_unconfirmed_messages": 0}) == [
        "1,200 wait for dispatch"
    ]
    assert remarks({"doorstep_spool_age_seconds": 90}) == ["the oldest hit waits for 1 min 30 s"]


def test_services_are_handed_the_home_and_its_keys_outright() -> None:

    settings = Settings(home=Path("/srv/doorstep"), secret_file=Path("/srv/doorstep/secret"))
    found = handed_down(settings, {"PATH": "/bin", "DOORSTEP_POSTCODES": "/srv/postcodes"})
    assert found["DOORSTEP_HOME"] == "/srv/doorstep"
    assert found["DOORSTEP_SECRET_FILE"] == "/srv/doorstep/secret"
    assert found["DOORSTEP_POSTCODES"] == "/srv/postcodes"
    assert found["PATH"] == "/bin"
