"""A folder of files becomes a programme, or a list of everything that is wrong with it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from shared.programme.definitions import Areas, Campaign, Segment, Send, Template
from shared.programme.problems import ProgrammeErrors
from shared.programme.reading import read_programme
from shared.programme.rules import AllOf, Did, HasTag, NoneOf
from tests.unit.programme.small_programme import (
    AREAS,
    CAMPAIGN,
    HEAD,
    SEND,
    files,
    parse,
    problems,
    said,
    warnings,
)


def test_the_small_programme_is_read_whole_and_in_the_order_of_applying() -> None:
    programme = parse()
    assert [(type(each), each.name) for each in programme.definitions] == [
        (Campaign, "small"),
        (Areas, "places"),
        (Segment, "everyone"),
        (Template, "ask"),
        (Send, "ask"),
    ]
    assert not programme.warnings
    segment = programme.by_key()["segment", "everyone"]
    assert isinstance(segment, Segment)
    volunteered = NoneOf(parts=(Did(action="volunteered"),))
    assert segment.rule == AllOf(parts=(HasTag(tag="supporter"), volunteered))


def test_it_is_read_from_a_folder_too(tmp_path: Path) -> None:
    for path, content in files().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "sends.yaml").write_text("nonsense: [")
    assert read_programme(tmp_path).definitions == parse().definitions


def test_problems_name_the_file_as_people_would_open_it(tmp_path: Path) -> None:
    (tmp_path / "campaign.yaml").write_text("name: [")
    with pytest.raises(ProgrammeErrors) as caught:
        read_programme(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/campaign.yaml:1: not YAML")


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ProgrammeErrors, match="there is no such folder"):
        read_programme(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ProgrammeErrors, match="this is not a folder"):
        read_programme(tmp_path / "file")


def test_a_send_reads_every_kind_of_field() -> None:
    send = parse(
        {
            "sends/ask.yaml": SEND
            + "mode: newly_qualifies\nareas: places\npriority: low\n"
            + "until: 2027-05-01 12:00 Europe/London\ndeadline: 2027-05-06T21:30+01:00\n"
            + "reply_to:\nper_inbox: no\npixel: on\nunless_done: voted\n"
        }
    ).by_key()["send", "ask"]
    assert isinstance(send, Send)
    assert send.deadline is not None
    assert send.until is not None
    assert send.deadline - send.until == timedelta(days=5, hours=9, minutes=30)
    assert (send.mode, send.priority, send.reply_to) == ("newly_qualifies", "low", "")
    assert (send.per_inbox, send.pixel, send.unless_done) == (False, True, ("voted",))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("weigth: 1", "`weigth`: there is no such field"),
        ("prioritty: low", 'did you mean "priority"?'),
        ("priority: lowe", 'did you mean "low"? choose one of: urgent, normal, low'),
        ("priority: [low]", "`priority` should be text, and is a list"),
        ("per_inbox: perhaps", '`per_inbox` should be true or false, and is "perhaps"'),
        ("deadline: 2027-05-06 21:30", "no time zone"),
        ("deadline: 2027-05-06", "no time of day"),
        ("unless_done: {a: b}", "`unless_done` should be a list"),
        ("areas: false", "false without quotes is a yes/no value"),
        ("name: another", 'the file is called "ask"'),
        ("segment: everyone", "`segment` is there twice (first in line 1)"),
    ],
)
def test_a_wrong_field_is_named_with_file_line_and_what_to_do(line: str, message: str) -> None:
    found = problems({"sends/ask.yaml": SEND + line + "\n"})
    assert len(found) == 1
    assert message in str(found[0])
    assert (found[0].file, found[0].line) == ("sends/ask.yaml", 5)
    assert found[0].column is not None


def test_every_problem_of_every_file_is_told_at_once_and_in_order() -> None:
    found = problems(
        {
            "campaign.yaml": CAMPAIGN.replace("uk", "gb").replace("reply_to", "replyto"),
            "segments/everyone.yaml": "where: {tagg: x}\ndescriptio: y\n",
            "sends/ask.yaml": SEND.replace("everyone", "nobody") + "mod: once\nweight: 1\n",
        }
    )
    assert [(each.file, each.line) for each in found] == [
        ("campaign.yaml", 1),
        ("campaign.yaml", 5),
        ("campaign.yaml", 8),
        ("segments/everyone.yaml", 1),
        ("segments/everyone.yaml", 2),
        ("sends/ask.yaml", 1),
        ("sends/ask.yaml", 5),
        ("sends/ask.yaml", 6),
    ]


def test_a_definition_that_cannot_be_read_may_still_be_named() -> None:
    found = problems({"segments/everyone.yaml": "where: {tagg: x}"})
    assert [each.file for each in found] == ["segments/everyone.yaml"]


def test_norwegian_is_a_language_and_not_a_refusal() -> None:
    campaign = parse({"campaign.yaml": CAMPAIGN + "language: no\n"}).by_key()["campaign", "small"]
    assert isinstance(campaign, Campaign)
    assert campaign.language == "no"
    text = said({"campaign.yaml": CAMPAIGN + "language: false\n"})
    assert "campaign.yaml:11:11: `language` should be text" in text


def test_times_dates_and_numbers_in_area_data_stay_as_written() -> None:
    row = "{time: 19:30, day: 2027-05-06, zip: 02139, seats: 40, open: true}"
    areas = parse({"areas/places.yaml": f"kind: ward\nby_code:\n  W1: {row}\n"}).definitions[1]
    assert isinstance(areas, Areas)
    assert areas.by_code["W1"] == {
        "time": "19:30",
        "day": "2027-05-06",
        "zip": "02139",
        "seats": 40,
        "open": True,
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{lift: yes}", 'write true, or "yes" in quotes'),
        ("{venue: }", "`venue` is empty"),
        ("{meeting day: Monday}", "use letters, digits and _, like meeting_day"),
        ("[a]", "should be a mapping"),
    ],
)
def test_area_data_that_would_surprise_is_refused(row: str, message: str) -> None:
    text = said({"areas/places.yaml": f"kind: ward\nby_code:\n  W1: {row}\n"})
    assert message in text
    assert "areas/places.yaml:3:" in text


TABLE = 'code,venue,note\nFK1 1,"the hall, upstairs",\nFK2 7,the barn,"two\nlines"\n'


def test_areas_may_be_a_table_beside_their_kind() -> None:
    changes: dict[str, str | bytes | None] = {
        "areas/places.yaml": "kind: postcode_sector\n",
        "areas/places.csv": TABLE,
    }
    areas = parse(changes).definitions[1]
    assert isinstance(areas, Areas)
    assert areas.by_code == {
        "FK1 1": {"venue": "the hall, upstairs"},
        "FK2 7": {"venue": "the barn", "note": "two\nlines"},
    }


@pytest.mark.parametrize(
    ("table", "line", "message"),
    [
        ("venue\nx\n", 1, "there is no column `code`"),
        ("code;venue\nx;y\n", 1, "separate the columns by commas"),
        ("code,venue,venue\n", 1, 'two columns are called "venue"'),
        ("code,\n", 1, "a column without a name"),
        ("code,venue\nFK1 1,a,b\n", 2, "3 cells, and the first line has 2 columns"),
        (TABLE + "FK1 1,x,\n", 5, 'the code "FK1 1" is there twice'),
        (TABLE + "\n,x,\n", 6, "a row without a code"),
        ('code,venue\nFK1 1,"a\n', 2, "not CSV"),
        (TABLE + "FK11,x,\n", 5, 'did you mean "FK1 1"?'),
        ("code,my venue\nFK1 1,x\n", 2, "like my_venue"),
        ("", 1, "there is no column `code`"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(table: str, line: int, message: str) -> None:
    found = problems({"areas/places.yaml": "kind: postcode_sector\n", "areas/places.csv": table})
    assert message in str(found[0])
    assert (found[0].file, found[0].line) == ("areas/places.csv", line)


def test_rows_are_in_one_place_and_have_a_kind() -> None:
    assert "keep one of the two" in said({"areas/places.csv": TABLE})
    text = said({"areas/places.yaml": None, "areas/places.csv": TABLE})
    assert "write areas/places.yaml with `kind:`" in text


def test_the_order_of_rows_does_not_change_the_version() -> None:
    rows = AREAS.splitlines()
    turned = "\n".join([*rows[:3], rows[4], rows[3]])
    assert parse({"areas/places.yaml": turned}).definitions[1].version() == (
        parse().definitions[1].version()
    )


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (CAMPAIGN.encode("utf-16"), None, "in UTF-16"),
        (CAMPAIGN.replace("Small", "Caf\xe9").encode("latin-1"), 2, 'perhaps "é"'),
        (CAMPAIGN.encode() + b"\n\x00", 12, "NUL"),
    ],
)
def test_other_encodings_are_named(content: bytes, line: int | None, message: str) -> None:
    [problem] = problems({"campaign.yaml": content})
    assert message in str(problem)
    assert "UTF-8" in problem.hint
    assert problem.line == line


def test_windows_line_ends_and_marks_change_nothing() -> None:
    windows = {
        path: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") for path, content in files().items()
    }
    assert parse(dict(windows)).definitions == parse().definitions


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("campaign.yml", 'did you mean "campaign.yaml"?'),
        ("segment/x.yaml", 'did you mean the folder "segments"?'),
        ("sends/x.yml", "files here are called sends/NAME.yaml"),
        ("sends/spring/x.yaml", "without folders"),
        ("templates/ask/mail.htm.j2", 'did you mean "mail.html.j2"?'),
        ("templates/_shared/base.html", "call it base.html.j2"),
        ("templates/loose.j2", "templates are templates/NAME/"),
    ],
)
def test_misplaced_files_are_named_instead_of_overlooked(path: str, message: str) -> None:
    found = problems({path: "x"})
    assert [each.file for each in found] == [path]
    assert message in found[0].hint


def test_files_that_were_never_meant_are_left_out_with_a_word() -> None:
    found = warnings({"notes.txt": "x", "README.md": "x", "templates/ask/hero.png": "x"})
    assert found == ["this file is not part of the programme"] * 2


def test_a_template_needs_all_its_files() -> None:
    found = problems({"templates/ask/mail.txt.j2": None})
    assert [(each.file, each.message) for each in found] == [
        ("templates/ask", "mail.txt.j2 is missing")
    ]


def test_names_of_files_are_names_of_definitions() -> None:
    text = said({"segments/Every One.yaml": "where: {tag: x}"})
    assert 'segments/Every One.yaml:1:1: "Every One" cannot be a name' in text
    assert 'did you mean "every-one"?' in text


def test_without_a_campaign_there_is_no_programme() -> None:
    assert "there is no campaign" in said({"campaign.yaml": None})


def test_a_template_holds_all_the_sources_it_uses_and_no_others() -> None:
    template = parse(
        {
            "templates/ask/mail.html.j2": '{% extends "base.html.j2" %}',
            "templates/_shared/base.html.j2": '{% include "foot.html.j2" %}',
            "templates/_shared/foot.html.j2": "{{ unsubscribe_url }}{{ disclaimer }}",
            "templates/_shared/other.html.j2": "nobody uses this",
        }
    ).by_key()["template", "ask"]
    assert isinstance(template, Template)
    assert sorted(template.partials) == ["base.html.j2", "foot.html.j2"]


def test_problems_of_shared_sources_are_told_once_and_in_their_file() -> None:
    mail = '{% include "foot.html.j2" %}{{ unsubscribe_url }}{{ disclaimer }}'
    found = problems(
        {
            "templates/ask/mail.html.j2": mail,
            "templates/two/mail.html.j2": mail,
            "templates/two/mail.txt.j2": "{{ unsubscribe_url }}{{ disclaimer }}",
            "templates/two/template.yaml": HEAD,
            "templates/_shared/foot.html.j2": "\n{{ supporter.frist_name }}",
        }
    )
    assert [(each.file, each.line) for each in found] == [("templates/_shared/foot.html.j2", 2)]
    assert found[0].hint == 'did you mean "first_name"?'
