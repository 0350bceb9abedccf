"""Templates are checked before anybody renders them: names, sources, and what a mail must show."""

from __future__ import annotations

import pytest

from tests.unit.programme.small_programme import HEAD, HTML, TEXT, problems, said, warnings

MUST = "{{ unsubscribe_url }}{{ disclaimer }}"


def html(source: str, **partials: str) -> dict[str, str | bytes | None]:
    """The small programme with another HTML part, and shared sources by name (_ for .)."""
    shared = {f"templates/_shared/{name}.html.j2": text for name, text in partials.items()}
    return {"templates/ask/mail.html.j2": source, **shared}


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("{{ supporter.frist_name }}", "there is no such field", 'did you mean "first_name"?'),
        ("{{ supporter['frist_name'] }}", "there is no such field", 'did you mean "first_name"?'),
        ("{{ supporter.shoe_size }}", "no such field", "supporter.attributes.shoe_size"),
        ("{{ supporter.email }}", "there is no such field", "fields are: attributes, first_name"),
        ("{{ campaign.organization }}", "no such field", 'did you mean "organisation"?'),
        ("{{ campain.name }}", "`campain` is not known", 'did you mean "campaign"?'),
        ("{{ first_name }}", "`first_name` is not known", 'did you mean "supporter.first_name"?'),
        ("{{ organiser }}", "`organiser` is not known", "is written area.organiser"),
        ("{{ lipsum() }}", "`lipsum` is not known", "known are"),
        ("{{ tracked(0) }}", "`tracked` is put in by Doorstep", "write the address"),
        ("{{ supporter.name | upperr }}", 'there is no filter "upperr"', 'did you mean "upper"?'),
        ("{% if supporter.name is defned %}{% endif %}", 'no test "defned"', '"defined"?'),
        ("{% if %}", "Expected an expression", "look at this line"),
        ("{% endif %}", "Encountered unknown tag 'endif'", "look at this line"),
        ("{% for x in y", "", "look at this line"),
        ("{% block a %}{% endblock %}{% block a %}{% endblock %}", "defined twice", "look"),
        ('{% include "base.htm.j2" %}', 'no shared source "base.htm.j2"', '"base.html.j2"?'),
        ("{% include supporter.language %}", "must be written out", "include"),
        ('{% include "base.txt.j2" %}', "belongs to the text part", ".txt.j2"),
    ],
)
def test_a_wrong_line_is_named_with_a_suggestion(line: str, message: str, hint: str) -> None:
    changes = html(HTML + line, base="x") | {"templates/_shared/base.txt.j2": "x"}
    found = problems(changes)
    assert [each.file for each in found] == ["templates/ask/mail.html.j2"]
    assert found[0].line == 5
    assert message in found[0].message
    assert hint in found[0].hint


@pytest.mark.parametrize(
    "line",
    [
        "{{ supporter.first_name or 'neighbour' }} {{ supporter.name.split(' ')[0] | title }}",
        "{% for i in range(3) %}{{ loop.index }}{{ i }}{% endfor %}",
        "{% set greeting = 'Hello' %}{{ greeting }}",
        "{% macro hi(x) %}{{ x }}{{ caller() }}{% endmacro %}{% call hi('x') %}y{% endcall %}",
        "{% set ns = namespace(a=1) %}{{ ns.a }}",
        "{{ send.name }} {{ campaign.organisation }} {{ campaign['postal_address'] }}",
        "{{ supporter.attributes.age | default('') }}",
        "{% if supporter.attributes.age is defined %}{{ supporter.attributes.age }}{% endif %}",
        "{% raw %}{{ anything }}{% endraw %}{# {{ anything }} #}",
        "{% filter upper %}{{ preheader }}{% endfilter %}",
    ],
)
def test_what_producers_may_write(line: str) -> None:
    assert not warnings(html(HTML + line))


def test_names_set_by_a_child_are_known_to_its_parent_and_its_includes() -> None:
    changes = html(
        '{% extends "base.html.j2" %}{% set accent = "red" %}{% block content %}'
        "{% for each in ['a'] %}{% include 'item.html.j2' %}{% endfor %}{% endblock %}",
        base="{{ accent }}{% block content %}{% endblock %}" + MUST,
        item="{{ each }}{{ accent }}",
    )
    assert not problems(changes)


def test_a_name_of_a_loop_is_not_known_outside_of_it() -> None:
    assert "`each` is not known" in said(
        html("{% for each in 'ab' %}{% endfor %}{{ each }}" + MUST)
    )


def test_attributes_that_some_people_lack_are_a_doubt() -> None:
    [message] = warnings(html(HTML + "{{ supporter.attributes.age }}"))
    assert message == "`supporter.attributes.age`: people without it get no mail"


@pytest.mark.parametrize(
    "source",
    [
        MUST,
        "{% if supporter.language == 'gd' %}" + MUST + "{% else %}" + MUST + "{% endif %}",
        "{% block a %}" + MUST + "{% endblock %}",
        "{% macro foot() %}" + MUST + "{% endmacro %}{{ foot() }}",
        "{% include 'foot.html.j2' %}",
        "{% extends 'base.html.j2' %}",
        "{% extends 'base.html.j2' %}{% block foot %}{{ super() }}{% endblock %}",
        "{% extends 'base.html.j2' %}{% block foot %}" + MUST + "{% endblock %}",
        "{% import 'macros.html.j2' as m with context %}{{ m.foot() }}",
        "{% from 'macros.html.j2' import foot with context %}{{ foot() }}",
    ],
)
def test_a_way_out_and_a_disclaimer_may_come_by_any_way(source: str) -> None:
    changes = html(
        source,
        foot=MUST,
        base="{% block foot %}" + MUST + "{% endblock %}",
        macros="{% macro foot() %}" + MUST + "{% endmacro %}",
    )
    assert not problems(changes)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("Hello", "is missing"),
        ("{# " + MUST + " #}", "is missing"),
        ("{% if supporter.language == 'gd' %}" + MUST + "{% endif %}", "not shown in every mail"),
        ("{% for each in 'a' %}" + MUST + "{% endfor %}", "not shown in every mail"),
        ("{% macro foot() %}" + MUST + "{% endmacro %}", "not shown in every mail"),
        (
            "{% extends 'base.html.j2' %}{% block foot %}{% endblock %}",
            "not shown in every mail",
        ),
        ("{% extends 'base.html.j2' %}{% block foot %}{% endblock %}" + MUST, "not shown"),
    ],
)
def test_a_mail_without_them_is_refused(source: str, message: str) -> None:
    found = problems(html(source, base="{% block foot %}" + MUST + "{% endblock %}"))
    assert len(found) == 2
    for problem, word in zip(found, ("unsubscribe_url", "disclaimer"), strict=True):
        assert message in problem.message
        assert word in problem.message
        assert "in the html part" in problem.message


def test_the_text_part_needs_them_too() -> None:
    found = problems({"templates/ask/mail.txt.j2": TEXT.partition("{{ unsub")[0]})
    assert [each.file for each in found] == ["templates/ask/mail.txt.j2"] * 2


def test_sources_in_a_circle_are_told_once() -> None:
    found = problems(
        html(
            "{% include 'a.html.j2' %}" + MUST,
            a="{% include 'b.html.j2' %}",
            b="{% include 'a.html.j2' %}",
        )
    )
    assert [each.message for each in found] == [
        "sources use each other in a circle: a.html.j2 -> b.html.j2 -> a.html.j2"
    ]


def test_an_import_without_context_that_needs_one_is_named() -> None:
    changes = html(
        "{% import 'm.html.j2' as m %}{{ m.hello() }}" + MUST,
        m="{% macro hello() %}{{ supporter.name }}{% endmacro %}",
    )
    [problem] = problems(changes)
    assert "uses `supporter`, which this import does not see" in problem.message


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ('subject: ""\npreheader: x\n', "`subject` is empty"),
        ("preheader: x\n", "`subject` is missing"),
        ('subject: "{{ supporter.frist_name }}"\n', 'did you mean "first_name"?'),
        ('subject: "{{ disclaimer }}"\n', "`disclaimer` is not known here"),
        ('subject: "{% if %}"\n', "`subject`: Expected an expression"),
        ("subject: x\npreheader: |\n  two\n  lines\n", "`preheader`: has several lines"),
        ("subject: \"{% include 'x' %}\"\n", "cannot use other sources"),
    ],
)
def test_subject_and_preheader_are_one_line_of_merge_data(head: str, message: str) -> None:
    [problem] = problems({"templates/ask/template.yaml": head})
    assert message in str(problem)
    assert problem.file == "templates/ask/template.yaml"
    assert problem.line is not None


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("https://example.org/{{ supporter.name }}", "must not be in a URL"),
        ("https://example.org/{{ preheader }}", "not known any more when it is clicked"),
        ("/join", "does not begin with https://"),
        ("www.example.org", "does not begin with https://"),
        ("javascript:alert(1)", "does not begin with https://"),
    ],
)
def test_links_that_cannot_be_followed_are_named(link: str, message: str) -> None:
    [problem] = problems(html(HTML + f'<a href="{link}">x</a>'))
    assert message in problem.message
    assert problem.line == 5


def test_links_in_a_loop_cannot_be_tracked_but_can_be_marked() -> None:
    loop = "{% for each in area.events | default([]) %}<a HREF='{{ each.url }}'>x</a>{% endfor %}"
    text = said(html(HTML + loop))
    assert "the address uses `each`" in text
    assert "data-notrack" in text
    assert not problems(html(HTML + loop.replace("HREF", "data-notrack href")))


def test_personal_data_is_refused_in_untracked_links_too() -> None:
    link = '<a data-notrack href="https://example.org/?q={{ supporter.name }}">x</a>'
    assert "must not be in a URL" in said(html(HTML + link))


def test_links_of_the_text_part_are_checked_too() -> None:
    text = TEXT + "https://example.org/{{ supporter.name }}\nhttps://a.org/{% if 1 %}b{% endif %}\n"
    found = problems({"templates/ask/mail.txt.j2": text})
    assert [each.line for each in found] == [5, 6]
    assert "a condition inside of an address" in found[1].message


def test_a_mail_that_web_mail_would_cut_off_is_a_doubt() -> None:
    [message] = warnings(html(HTML + "x" * 101_000))
    assert message == "the HTML has 101 kB"


def test_all_that_is_wrong_in_a_source_is_told_at_once() -> None:
    lines = ["{{ a }}", "{{ b | nofilter }}", "{{ supporter.c }}", "<a href='d'>e</a>"]
    found = problems({**html(HTML + "\n".join(lines)), "templates/ask/template.yaml": HEAD})
    assert [each.line for each in found] == [5, 6, 6, 7, 8]


def test_a_shared_source_is_not_called_like_a_part_of_the_mail() -> None:
    changes = html("{% include 'mail.html.j2' %}" + MUST)
    text = said(changes | {"templates/_shared/mail.html.j2": "x"})
    assert 'a shared source cannot be called "mail.html.j2"' in text
