"""What lint makes of the answers of everybody who knows a part of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.console.lint_findings import (
    Finding,
    counts_lacking,
    field_uses,
    file_of,
    lacking_question,
    of_definitions,
    of_lacking,
    of_trial,
    place,
    without_doubles,
)
from services.console.programme_topic import ProgrammeTable
from shared.programme.definitions import (
    Areas,
    Campaign,
    Definition,
    Disclaimer,
    Segment,
    Send,
    Template,
    Variant,
)
from shared.programme.rules import HasTag
from shared.programme.versions import to_wire

OWED = '<p><a href="{{ unsubscribe_url }}">x</a> {{ disclaimer }}</p>'


def table(*definitions: Definition) -> ProgrammeTable:
    made = ProgrammeTable()
    for each in definitions:
        record = to_wire(each, datetime(2026, 5, 4, tzinfo=UTC))
        made.newest[record.kind, record.name] = record
    return made


def campaign(**changes: Any) -> Campaign:
    values: dict[str, Any] = {
        "name": "river", "organisation": "River", "from_name": "River",
        "from_address": "a@example.org", "reply_to": "b@example.org", "postal_address": "1 Quay",
        "disclaimer": Disclaimer(jurisdiction="none", reason="a test"),
    }  # fmt: skip
    return Campaign(**(values | changes))


def template(html: str, **changes: Any) -> Template:
    values = {"name": "ask", "subject": "Hello", "text": "{{ unsubscribe_url }} {{ disclaimer }}"}
    return Template(html=f"{html}\n{OWED}", **(values | changes))


SEND = Send(name="ask", segment="all", variants=(Variant(name="a", template="ask"),))
ALL = Segment(name="all", rule=HasTag(tag="a"))


def test_findings_are_told_by_file_and_line() -> None:
    assert file_of("ask", "html") == "templates/ask/mail.html.j2"
    assert file_of("ask", "text") == "templates/ask/mail.txt.j2"
    assert file_of("ask", "preheader") == "templates/ask/template.yaml"
    assert place("ask", "base.html.j2", 7) == "templates/_shared/base.html.j2:7"
    assert place("ask", "html", 0) == "templates/ask/mail.html.j2"
    assert place("ask", "subject", 1) == "templates/ask/template.yaml"


def test_the_renderers_word() -> None:
    judged = {
        "level": "warns", "template": "ask", "part": "html", "line": 3,
        "what": "faint", "hint": "h",
    }  # fmt: skip
    found = of_trial({"faults": ["variant a: broken"], "findings": [judged]})
    assert found == [
        Finding("stops", "trial render", "variant a: broken"),
        Finding("warns", "templates/ask/mail.html.j2:3", "faint", "h"),
    ]
    assert of_trial({"faults": []}) == []


def test_the_definitions_of_the_send_and_of_no_other() -> None:
    partials = {"box.html.j2": '\n<img src="https://x.example.org/i.png" width="1" height="1">'}
    html = '{% include "box.html.j2" %}\n<a href="http://x.example.org">x</a>'
    made = table(
        campaign(reply_to="no-reply@example.org"), ALL, SEND,
        template(html, partials=partials), template("<img>", name="other"),
    )  # fmt: skip
    found = {each.where: each for each in of_definitions(made, SEND)}
    assert found["campaign.yaml"].what == "`reply_to` tells people not to answer"
    assert found["templates/_shared/box.html.j2:2"].what == "an image without `alt`"
    assert "is not https" in found["templates/ask/mail.html.j2:2"].what
    assert len(found) == 3
    assert {each.level for each in found.values()} == {"warns"}


def test_what_can_never_be_applied_stops() -> None:
    made = table(campaign(), ALL, SEND, template("{{ nonsense }}"))
    (found,) = of_definitions(made, SEND)
    assert (found.level, found.where) == ("stops", "templates/ask/mail.html.j2:1")


def test_areas_and_missing_segments_have_their_files() -> None:
    send = SEND.model_copy(update={"areas": "wards"})
    areas = Areas(
        name="wards", kind="ward", by_code={"W1": {"x": "1"}, "W2": {}}, default={"x": ""}
    )
    found = of_definitions(table(campaign(), send, areas, template("{{ area.x }}")), send)
    assert {each.where for each in found} == {"sends/ask.yaml", "areas/wards.yaml"}


def test_who_lacks_what_and_whether_it_matters() -> None:
    html = (
        'Dear {{ supporter.first_name or "you" }},\n{{ supporter.last_name }}\n'
        '{{ supporter.attributes.ward }} {{ supporter.attributes.age | default("") }}'
        '{{ supporter.postcode | default("-") }}'
    )
    made = table(campaign(), ALL, SEND, template(html))
    uses = field_uses(made, SEND)
    question = lacking_question(uses)
    assert question == {
        "fields": ["first_name", "last_name", "postcode"], "attributes": ["age", "ward"],
    }  # fmt: skip
    answer = {
        "mailable": 4_100, "fields": {"first_name": 7, "last_name": 1_200, "postcode": 3},
        "attributes": {"age": 9, "ward": 30},
    }  # fmt: skip
    counted = counts_lacking(uses, answer)
    found = {each.what.partition(":")[0]: each for each in of_lacking(counted, 4_100)}
    assert set(found) == {
        "supporter.last_name", "supporter.postcode", "supporter.attributes.ward",
    }  # fmt: skip
    gap = "1,200 of 4,100 lack it, and would read a gap there"
    assert found["supporter.last_name"].what.endswith(gap)
    assert found["supporter.last_name"].where == "templates/ask/mail.html.j2:2"
    assert "default(...) does nothing" in found["supporter.postcode"].what
    assert found["supporter.attributes.ward"].level == "stops"
    assert list(of_lacking([(use, 0) for use in uses], 4_100)) == []


def test_the_worst_place_of_a_field_is_told() -> None:
    text = "{{ supporter.first_name }} {{ unsubscribe_url }} {{ disclaimer }}"
    made = table(
        campaign(), ALL, SEND, template('{{ supporter.first_name or "x" }}', text=text)
    )  # fmt: skip
    (use,) = field_uses(made, SEND)
    assert (use.gap, use.shown.part) == (True, "text")
    subject = SEND.model_copy(
        update={"variants": (Variant(name="a", template="ask", subject="{{ supporter.name }}"),)}
    )
    assert [use.name for use in field_uses(made, subject)] == ["first_name", "name"]


def test_a_doubt_gives_way_to_a_number() -> None:
    where = "templates/ask/mail.html.j2:3"
    doubt = Finding("warns", where, "`supporter.attributes.ward`: people without it get no mail")
    number = Finding("stops", where, "supporter.attributes.ward: 3 of 9 lack it, and ...")
    assert without_doubles([number, doubt, number]) == [number]
    assert without_doubles([doubt]) == [doubt]
