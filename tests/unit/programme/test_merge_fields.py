"""Which fields of a supporter a template shows, and what stands in for them."""

from __future__ import annotations

import pytest

from shared.programme.definitions import Template
from shared.programme.merge_fields import fields_shown


def shown(html: str, **parts: str) -> list[tuple[str, bool, str, int, bool, bool]]:
    template = Template(name="t", subject=parts.get("subject", ""), html=html, text="")
    return [tuple(each) for each in fields_shown(template)]  # type: ignore[misc]


@pytest.mark.parametrize(
    "source",
    [
        '{{ supporter.first_name or "neighbour" }}',
        "{% if supporter.first_name %}Dear {{ supporter.first_name }}{% endif %}",
        "{{ supporter.first_name if supporter.first_name else 'you' }}",
        '{{ supporter.first_name | default("you", true) }}',
        '{{ supporter["first_name"] | default("you", boolean=true) | title }}',
        "{{ supporter.first_name and supporter.first_name[0] }}",
    ],
)
def test_something_stands_in_for_it(source: str) -> None:
    found = shown(source)
    assert found
    assert {each[0] for each in found} == {"first_name"}
    assert not any(bare or default_only for *_, bare, default_only in found)


@pytest.mark.parametrize(
    "source",
    [
        "Dear {{ supporter.first_name }}",
        "{{ supporter.first_name[0] }}",
        "{{ supporter.first_name | title }}",
        "{% if supporter.last_name %}{{ supporter.first_name }}{% endif %}",
        '{{ "x" or supporter.first_name }}',
    ],
)
def test_nothing_stands_in_for_it(source: str) -> None:
    assert ("first_name", False, "html", 1, True, False) in shown(source)


def test_a_default_without_true_does_nothing_for_what_is_empty() -> None:
    found = shown('\n{{ supporter.first_name | default("you") }}')
    assert found == [("first_name", False, "html", 2, False, True)]


def test_attributes_and_lines_and_subjects() -> None:
    found = shown("\n\n{{ supporter.attributes.ward }}", subject="{{ supporter.name }}")
    assert found == [
        ("name", False, "subject", 1, True, False),
        ("ward", True, "html", 3, True, False),
    ]
    assert shown('{{ supporter.attributes.ward | default("here") }}') == [
        ("ward", True, "html", 1, False, True)
    ]


def test_what_cannot_be_read_shows_nothing() -> None:
    assert shown("{% if %}") == []
