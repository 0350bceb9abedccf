"""YAML is read with its positions, and its traps are named instead of sprung."""

from __future__ import annotations

import pytest

from shared.programme.problems import FileProblems, Position
from shared.programme.yaml_positions import Fields, Items, Scalar, parse_yaml, plain_value


def value_of(text: str) -> object:
    node = parse_yaml(text, FileProblems("f"))
    assert isinstance(node, Scalar)
    return plain_value(node)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("02139", "02139"),
        ("19:30", "19:30"),
        ("2026-05-07", "2026-05-07"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ('"12"', "12"),
        ("'true'", "true"),
        ("!!str 12", "12"),
    ],
)
def test_unquoted_text_means_what_a_producer_would_think(text: str, value: object) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


def test_positions_count_from_one() -> None:
    node = parse_yaml("a: 1\nb:\n  - x\n", FileProblems("f"))
    assert isinstance(node, Fields)
    assert node.entries["b"].key_position == Position(2, 1)
    items = node.entries["b"].value
    assert isinstance(items, Items)
    assert items.items[0].position == Position(3, 5)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, "`a` is there twice (first in line 1)"),
        ("a:\n\tb: 1", 2, "YAML allows no tabs"),
        ("a: 1\n---\nb: 2", 2, "a second document"),
        ("subject: Hi: there", 1, "put text with a colon in quotes"),
        ("subject: {{ area.place }}", 1, "quote {{ }} in values"),
        ("from: @someone", 1, "begins with a special sign in quotes"),
        ("a: !!python/object:os.system x", 1, "the YAML tag"),
        ("a: &x 1\nb:\n  <<: *x", 3, "merge keys (<<) are not supported"),
        ("a: &x [*x]", 1, "an alias (*) that contains itself"),
        ("a: *nobody", 1, "not YAML"),
        ("a: [1, 2", 1, "not YAML"),
        ("a: 1\nb: \x07", 2, "a control character"),
        ("[" * 80 + "]" * 80, 1, "nested more than"),
        ("[" * 5_000 + "]" * 5_000, 1, ""),
        ("{{ x", 1, ""),
        ("? [a, b]\n: c", 1, "a field without a name"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, line: int, message: str) -> None:
    problems = FileProblems("f")
    assert parse_yaml(text, problems) is None
    assert any(message in str(problem) for problem in problems.problems)
    if message:
        assert problems.problems[0].line == line


def test_a_flood_of_aliases_is_stopped() -> None:
    levels = ["a0: &a0 [" + "x, " * 99 + "x]"]
    levels += [f"a{n}: &a{n} [" + f"*a{n - 1}, " * 99 + f"*a{n - 1}]" for n in range(1, 5)]
    problems = FileProblems("f")
    assert parse_yaml("\n".join(levels), problems) is None
    assert "more than 250,000 values" in str(problems.problems[0])


def test_an_empty_file_is_an_empty_mapping() -> None:
    node = parse_yaml("# nothing\n", FileProblems("f"))
    assert isinstance(node, Fields)
    assert not node.entries
