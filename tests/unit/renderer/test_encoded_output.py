"""Encoded output: every text comes back, no line is too long, and templates mean what they mean in
plain Jinja.
"""

from __future__ import annotations

import quopri
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markupsafe import Markup, escape

from services.renderer.quoted_printable import (
    SOFT_BREAK,
    decoded,
    encoded,
    ended,
    ready_markup,
    ready_text,
    shows,
    values_html,
    values_text,
    written_html,
    written_text,
)
from services.renderer.templates import CompiledTemplate, Printed
from tests.unit.renderer.building import OWED, a_template
from tests.unit.renderer.oracle import line_ends_unix, stock_page

often = settings(max_examples=300, deadline=None)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
hard = st.sampled_from(
    ["", " ", "=", "\t", ".", "\n", "\r", "\r\n", " \n", "\t\r\n", "é", "👋", "x" * 72, "x" * 73,
     "x" * 75 + "=", "x" * 76, "x" * 75, "=" * 77, "x" * 74 + "é", "From me", "'", "<&>", "&amp;"]
)  # fmt: skip
pieces = st.lists(st.one_of(texts, hard), max_size=8)


def assert_sound(output: str) -> None:
    assert output.isascii()
    lines = output.split("\r\n")
    assert not any("\n" in line or "\r" in line for line in lines)
    assert all(len(line) <= 76 for line in lines)
    assert not any(line.endswith((" ", "\t")) for line in lines)


@often
@given(pieces)
@example(["x" * 76, "after"])
@example(["x" * 72 + "é", "=" * 26, "after"])
@example(["a \r", "\nb"])
def test_any_texts_one_after_the_other_come_back(texts: list[str]) -> None:
    output = "".join(ended([encoded(text) for text in texts]))
    assert_sound(output)
    wanted = "".join(map(line_ends_unix, texts))
    assert line_ends_unix(quopri.decodestring(output).decode()) == wanted
    assert decoded([output]) == wanted


@often
@given(st.integers(60, 90), hard, hard)
def test_what_is_hard_at_the_end_of_a_line_is_sound_at_every_column(
    width: int, end: str, after: str
) -> None:
    output = "".join(ended([encoded("x" * width + end), encoded(after)]))
    assert_sound(output)
    assert decoded([output]) == line_ends_unix("x" * width + end) + line_ends_unix(after)


values = st.lists(
    st.one_of(
        texts, hard, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False),
        texts.map(escape), texts.map(ready_text), texts.map(ready_markup),
    ),
    min_size=1,
    max_size=6,
).map(tuple)  # fmt: skip


@often
@given(values)
@example(("Ada ", Markup("<b>"), "<b>", 1, True, ready_markup("<i>")))
@example(("", ""))
def test_values_come_back_escaped_in_html_and_as_they_are_in_text(values: tuple[Any, ...]) -> None:
    page = [value + SOFT_BREAK for value in values_html(values)]
    text = [value + SOFT_BREAK for value in values_text(values)]
    assert decoded(page) == "".join(line_ends_unix(str(escape(each))) for each in values)
    assert decoded(text) == "".join(line_ends_unix(str(each)) for each in values)
    assert [decoded([written_html(each)]) for each in values] == [decoded([each]) for each in page]
    assert [decoded([written_text(each)]) for each in values] == [decoded([each]) for each in text]
    assert_sound("".join(ended(page)))
    assert_sound("".join(ended(text)))


@often
@given(st.text("&<>\"'=x;#4", max_size=20))
def test_values_are_escaped_as_markupsafe_does_it(value: str) -> None:
    assert decoded(values_html((value,))) == str(escape(value))


def test_equal_values_of_other_types_are_not_mixed_up() -> None:
    """`Markup('<b>') == '<b>'` and `1 == True`: neither may stand for the other."""
    assert decoded([values_html(("<b>",))[0]]) == "&lt;b&gt;"
    assert decoded([values_html((Markup("<b>"),))[0]]) == "<b>"
    assert [values_html((each,)) for each in (1, True, "1")] == [("1",), ("True",), ("1",)]


def test_the_last_soft_break_is_taken_away_and_a_last_space_kept() -> None:
    assert ended(["a=\r\n", "b=\r\n"]) == ["a=\r\n", "b"]
    assert ended(["a=\r\n", "=\r\n", ""]) == ["a"]
    assert ended(["a =\r\n"]) == ["a=20"]
    assert ended(["a\r\n"]) == ["a\r\n"]
    assert ended([]) == []


@pytest.mark.parametrize("text", ["https://t.example.org/u/" + "x" * 70, "2 Quay = é <b>", "a\nb"])
def test_a_value_is_shown_alone_or_within_something_else_or_not_at_all(text: str) -> None:
    value = ready_text(text)
    assert shows(["x=\r\n", value.encoded, "y"], value)
    assert shows(ended([value.encoded]), value)
    assert shows([encoded(f"leave: {text}")], value)
    assert not shows([encoded(f"leave: {text[:-1]}")], value)
    assert not shows([], value)


PARENT = (
    "<html><body>{% block a %}<p>père = {{ x }}</p>{% endblock %}"
    "{% block b scoped %}{{ y }}{% endblock %}</body></html>"
)
SHAPES = {
    "a loop": "{% for c in items %}{{ loop.index }}/{{ loop.length }}={{ c }}\n{% endfor %}",
    "a loop with else": "{% for c in [] %}x{% else %}é{{ x }}{% endfor %}",
    "a recursive loop": "{% for c in tree recursive %}<{{ c.n }}é>{{ loop(c.below) }}{% endfor %}",
    "conditions": "{% if x %}é{{ x }}{% elif y %}b{% else %}c{% endif %}{{ 'é' if y else '=' }}",
    "a macro": "{% macro m(v) %}<b>{{ v }} = é</b>{% endmacro %}{{ m(x) }}{{ m(y)|upper }}",
    "a call": "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}é{{ x }}{% endcall %}",
    "a filter": "{% filter upper %}é = {{ x }}{% endfilter %}",
    "a set block": "{% set v %}é={{ x }}{% endset %}{{ v }}{{ v|upper }}{{ v|e }}",
    "concatenation": "{{ x ~ '=é<' ~ y }}{{ x|string + '=' }}",
    "super": "{% extends 'parent' %}{% block a %}[{{ super() }}]{{ super()|length }}{% endblock %}",
    "self": "{% block z %}é{{ x }}{% endblock %}{{ self.z() }}{{ self.z()|length }}",
    "an include": "{% include 'inner' %}",
    "an include in a macro": "{% macro m() %}{% include 'inner' %}{% endmacro %}{{ m()|upper }}",
    "an include in set": "{% set v %}{% include 'inner' %}{% endset %}{{ v|length }}{{ v }}",
    "a missing include": "a{% include 'gone' ignore missing %}b",
    "a block in a filter": "{% filter upper %}{% block q %}é{{ x }}{% endblock q %}{% endfilter %}",
    "a block in set": "{% set v %}{% block q %}é{{ x }}{% endblock %}{% endset %}{{ v|upper }}",
    "an import": "{% import 'tools' as t %}{{ t.m(x) }}{{ t }}{{ t|string|length }}",
    "a named import": "{% from 'tools' import m with context %}{{ m(x) }}",
    "no escape": "{% autoescape false %}<é>{{ x }}{{ y }}{% endautoescape %}{{ x }}",
    "escape that depends": "{% autoescape on %}{{ x }}{% endautoescape %}{{ x|safe }}",
    "with": "{% with v = x %}{{ v }}é{% endwith %}",
    "a namespace": "{% set n = namespace() %}{% if on %}{% set n.v = x %}{{ n.v }}{% endif %}",
    "whitespace": "a   \n\n  {{- x -}}   \n\t{{ y }} \n",
    "raw": "{% raw %}{{ é = }}{% endraw %}{{ x }}",
    "many values": "{{ x }}{{ y }}" * 12,
    "a method of a value": "{{ x|string|replace('a', 'é') }}{{ items|join(', ') }}",
    "numbers": "{{ 1 }}{{ 1.5 }}{{ true }}{{ none }}{{ items|length }}{{ 3 * 4 }}",
}
SOURCES = {
    "parent": PARENT,
    "inner": "<i>é = {{ x }}</i>\n",
    "tools": "{% macro m(v) %}<u>{{ v }} = é</u>{% endmacro %}é{{ 1 }}=",
}
GIVEN: list[Any] = ["Ada", "é = <&>'\"\r\nx\r", Markup("<b>é</b>"), 7, False, "", "=" * 90, " a "]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("part", ["html", "text"])
def test_a_template_means_what_it_means_in_plain_jinja(shape: str, part: str) -> None:
    source = SHAPES[shape] + OWED
    template = CompiledTemplate(a_template(**{part: source}, partials=SOURCES))
    for x in GIVEN:
        for y in GIVEN:
            context = {
                "supporter": {"first_name": "Ada"}, "area": {"slug": "s"}, "x": x, "y": y,
                "items": ["a", "é<", "="], "on": bool(y),
                "tree": [{"n": "1", "below": [{"n": "é", "below": []}]}],
            }  # fmt: skip
            made = template.render(
                context, subject="", disclaimer=Printed("D & d"), unsubscribe_url=Printed("https://u"),
                links=Printed(""), pixel="",
            )  # fmt: skip
            output = made.html if part == "html" else made.text
            context |= {"disclaimer": "D & d", "unsubscribe_url": "https://u", "pixel": ""}
            assert decoded(output) == stock_page(
                {**SOURCES, "main": source}, context, autoescape=part == "html"
            )
            assert_sound("".join(output))
