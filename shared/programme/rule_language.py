"""Rules as producers write them in YAML, read into the rule tree.

One condition is a mapping with one key: `all`, `any`, `none`, or the name of a fact. Facts about
behaviour have a `not_` (or `did_not`) twin, which is `none` of that fact. `printing` is the way
back; reading what it prints gives the same tree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from shared.programme.problems import FileProblems, ProgrammeErrors, did_you_mean, in_order
from shared.programme.rules import (
    ActedOn,
    AllOf,
    AnyOf,
    Attribute,
    Clicked,
    Comparison,
    Did,
    Got,
    HasTag,
    InArea,
    NoneOf,
    Opened,
    Rule,
    Sample,
    Speaks,
)
from shared.programme.shapes import MISSING, Path, ShapeReader
from shared.programme.yaml_positions import Fields, Items, Node, Scalar, parse_yaml

COMBINATORS: Final[dict[str, type[AllOf | AnyOf | NoneOf]]] = {
    "all": AllOf,
    "any": AnyOf,
    "none": NoneOf,
}
COMPARISONS: Final[tuple[Comparison, ...]] = ("is", "is not", "<", "<=", ">", ">=", "in", "exists")
NEGATED: Final = {
    "did_not": "did",
    "not_got": "got",
    "not_opened": "opened",
    "not_clicked": "clicked",
    "not_acted": "acted",
}
_OTHER_SPELLINGS: Final = {
    "=": "is",
    "==": "is",
    "!=": "is not",
    "<>": "is not",
    "=>": ">=",
    "=<": "<=",
}

_Leaf = TypeVar("_Leaf", Did, Got, ActedOn, Opened, Clicked, Sample)


def parse_rule(text: str, file: str = "rule") -> Rule:
    """One rule from its YAML text alone. Raises ProgrammeErrors."""
    problems = FileProblems(file)
    node = parse_yaml(text, problems)
    rule = read_rule(node, ShapeReader(problems), ()) if node is not None else None
    if rule is None or problems.problems:
        raise ProgrammeErrors(in_order(problems.problems))
    return rule


def read_rule(node: Node, reader: ShapeReader, path: Path) -> Rule | None:
    """The rule at `node`, or None with every reason noted.

    `reader.positions` learns where each part of the tree stands, by its path in the model.
    """
    reader.positions[path] = node.position
    if not isinstance(node, Fields) or len(node.entries) != 1:
        _not_one_condition(node, reader)
        return None
    [(word, entry)] = node.entries.items()
    if word in COMBINATORS:
        return _combination(word, entry.value, reader, path)
    if word in NEGATED:
        positive = NEGATED[word]
        reader.positions[(*path, "parts", 0)] = entry.value.position
        rule = _LEAVES[positive](entry.value, reader, (*path, "parts", 0))
        return NoneOf(parts=(rule,)) if rule is not None else None
    if word in _LEAVES:
        return _LEAVES[word](entry.value, reader, path)
    _unknown_word(word, entry.key_position, reader)
    return None


def _combination(word: str, node: Node, reader: ShapeReader, path: Path) -> Rule | None:
    if not isinstance(node, Items):
        reader.problems.add(
            node.position,
            f"`{word}` should be a list of conditions",
            "put each condition on its own line, with a dash before it",
        )
        return None
    parts = [
        read_rule(item, reader, (*path, "parts", index)) for index, item in enumerate(node.items)
    ]
    whole = tuple(part for part in parts if part is not None)
    return COMBINATORS[word](parts=whole) if len(whole) == len(parts) else None


def _not_one_condition(node: Node, reader: ShapeReader) -> None:
    if isinstance(node, Items):
        message, hint = "a list of conditions", "say `all:`, `any:` or `none:` above the list"
    elif isinstance(node, Fields) and node.entries:
        several = ", ".join(f"`{word}`" for word in node.entries)
        message = f"several conditions in one place: {several}"
        hint = "put each on its own line with a dash, under `all:`, `any:` or `none:`"
    else:
        message, hint = "no condition here", "write one like `tag: supporter`"
    reader.problems.add(node.position, message, hint)


def _unknown_word(word: str, position: Any, reader: ShapeReader) -> None:
    known = (*COMBINATORS, *_LEAVES, *NEGATED)
    if word.removeprefix("not_") in _LEAVES:
        hint = f"write `none: [{word.removeprefix('not_')}: ...]`"
    else:
        hint = did_you_mean(word, known) or f"conditions are: {', '.join(known)}"
    reader.problems.add(position, f"`{word}`: there is no such condition", hint)


def _area(node: Node, reader: ShapeReader, path: Path) -> Rule | None:
    if not isinstance(node, Fields) or len(node.entries) != 1:
        reader.problems.add(
            node.position,
            "`area` should name one kind of area with its codes",
            "write `area: {postcode_sector: [FK1 1, FK2 7]}`; join several kinds by `any:`",
        )
        return None
    [(kind, entry)] = node.entries.items()
    codes = reader.of_type(tuple[str, ...], entry.value, kind, (*path, "codes"))
    if codes is MISSING or _empty(codes, entry.value, kind, reader):
        return None
    return InArea(kind=kind, codes=codes)


def _tag(node: Node, reader: ShapeReader, _path: Path) -> Rule | None:
    tag = reader.text(node, "tag")
    if not isinstance(tag, str) or _empty(tag, node, "tag", reader):
        return None
    return HasTag(tag=tag)


def _language(node: Node, reader: ShapeReader, path: Path) -> Rule | None:
    languages = reader.of_type(tuple[str, ...], node, "language", (*path, "languages"))
    if languages is MISSING or _empty(languages, node, "language", reader):
        return None
    return Speaks(languages=languages)


def _attribute(node: Node, reader: ShapeReader, _path: Path) -> Rule | None:
    """`{age: {">=": 18}}`, `{age: 18}` for `is`, or `{name: age, ">=": 18}`."""
    if isinstance(node, Fields) and "name" in node.entries and len(node.entries) > 1:
        name = reader.text(node.entries["name"].value, "name")
        return _comparison(name, node.without("name"), reader) if isinstance(name, str) else None
    if isinstance(node, Fields) and len(node.entries) == 1:
        [(name, entry)] = node.entries.items()
        if isinstance(entry.value, Fields):
            return _comparison(name, entry.value, reader)
        if isinstance(entry.value, Scalar) and name != "name":
            value = _operand(entry.value, name, reader)
            return _attribute_is(name, value)
    reader.problems.add(
        node.position,
        "`attribute` should name one attribute and compare it",
        'write `attribute: {age: {">=": 18}}`',
    )
    return None


def _attribute_is(name: str, value: Any) -> Rule | None:
    return None if value is MISSING else Attribute(name=name, comparison="is", values=(value,))


def _comparison(name: str, fields: Fields, reader: ShapeReader) -> Rule | None:
    if len(fields.entries) != 1:
        reader.problems.add(
            fields.position,
            f"`{name}` should be compared in one way",
            "put two comparisons under `all:`, each as an `attribute:` of its own",
        )
        return None
    [(word, entry)] = fields.entries.items()
    comparison = next((known for known in COMPARISONS if known == word.replace("_", " ")), None)
    if comparison is None:
        nearest = did_you_mean(_OTHER_SPELLINGS.get(word, word), COMPARISONS)
        reader.problems.add(
            entry.key_position,
            f"`{word}`: there is no such comparison",
            nearest or f"comparisons are: {', '.join(COMPARISONS)}",
        )
        return None
    if comparison == "exists":
        return _exists(name, entry.value, reader)
    values = _operands(comparison, name, entry.value, reader)
    return Attribute(name=name, comparison=comparison, values=values) if values else None


def _operands(
    comparison: Comparison, name: str, node: Node, reader: ShapeReader
) -> tuple[Any, ...]:
    """The values to compare with; empty when they cannot be used, and why is noted."""
    items = node.items if isinstance(node, Items) else (node,)
    values = tuple(_operand(item, name, reader) for item in items)
    if any(value is MISSING for value in values) or _empty(values, node, comparison, reader):
        return ()
    if len(values) > 1 and comparison != "in":
        reader.problems.add(
            node.position,
            f"`{comparison}` compares `{name}` with one value",
            "write `in: [...]` for several",
        )
        return ()
    return values


def _exists(name: str, node: Node, reader: ShapeReader) -> Rule | None:
    wanted = reader.flag(node, "exists")
    if not isinstance(wanted, bool):
        return None
    rule = Attribute(name=name, comparison="exists")
    return rule if wanted else NoneOf(parts=(rule,))


def _operand(node: Node, name: str, reader: ShapeReader) -> Any:
    """A value to compare with; a number with a leading zero could be meant either way."""
    if not isinstance(node, Scalar):
        reader.problems.add(
            node.position, f"`{name}` should be compared with a value", "or with `in: [a, b]`"
        )
        return MISSING
    if node.plain and len(node.text) > 1 and node.text[0] == "0" and node.text.isdigit():
        reader.problems.add(
            node.position,
            f"`{name}`: {node.text} could be a number or text",
            f'write {node.text.lstrip("0") or "0"}, or "{node.text}" in quotes for text',
        )
        return MISSING
    return reader.typed_scalar(node, name)


def _leaf(model: type[_Leaf], word: str, short: str) -> Callable[..., Rule | None]:
    """A fact with fields; text alone stands for its field `short`, where that is all it needs."""

    def read(node: Node, reader: ShapeReader, path: Path) -> Rule | None:
        if isinstance(node, Fields):
            rule = reader.model(model, node, path, given={"op": word})
            named = getattr(rule, short, None)
            if isinstance(named, str) and _empty(named, node, short, reader):
                return None
            return rule
        if word == "sample":
            example = "sample: {percent: 10, seed: spring}"
            reader.problems.add(node.position, "`sample` should be a mapping", f"write `{example}`")
            return None
        name = reader.text(node, word)
        if not isinstance(name, str) or _empty(name, node, word, reader):
            return None
        return model.model_validate({short: name})

    return read


def _empty(value: Any, node: Node, name: str, reader: ShapeReader) -> bool:
    if value:
        return False
    reader.problems.add(node.position, f"`{name}` is empty", "name at least one")
    return True


_LEAVES: Final[dict[str, Callable[[Node, ShapeReader, Path], Rule | None]]] = {
    "area": _area,
    "tag": _tag,
    "attribute": _attribute,
    "language": _language,
    "did": _leaf(Did, "did", "action"),
    "got": _leaf(Got, "got", "send"),
    "opened": _leaf(Opened, "opened", "send"),
    "clicked": _leaf(Clicked, "clicked", "send"),
    "acted": _leaf(ActedOn, "acted", "send"),
    "sample": _leaf(Sample, "sample", "percent"),
}
