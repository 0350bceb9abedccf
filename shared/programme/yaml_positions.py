"""YAML text into nodes that remember where they stand.

Syntax only: what a field means is for those who read the nodes. Scalars keep the text as written;
`plain_value` gives an unquoted one its type by the core rules of YAML 1.2, where `no` is a word
(Norwegian), `19:30` a time and `02139` a ZIP code, none of which PyYAML's own rules would keep.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

import yaml

from shared.programme.problems import FileProblems, Position

MAX_DEPTH: Final = 60
MAX_NODES: Final = 250_000

_SPLIT: Final = "split it; many areas are better kept in a table (areas/NAME.csv)"
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,3999})")
_NUMBER: Final = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as written. `plain`: without quotes, so it may mean more than text."""

    text: str
    plain: bool
    position: Position

    @property
    def is_null(self) -> bool:
        """Nothing was written, or an unquoted null."""
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class Entry:
    """The value of one field, and where its key stands."""

    key_position: Position
    value: Node


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping; keys are kept as written."""

    entries: dict[str, Entry]
    position: Position

    def without(self, *names: str) -> Fields:
        """The same mapping less some of its fields."""
        kept = {key: entry for key, entry in self.entries.items() if key not in names}
        return Fields(kept, self.position)


Node: TypeAlias = Scalar | Items | Fields


def plain_value(scalar: Scalar) -> str | int | float | bool | None:
    """The value of a scalar by YAML 1.2 core rules; quoted text stays text.

    Numbers with a leading zero, dates, times, `yes` and `no` stay text.
    """
    text = scalar.text
    if not scalar.plain:
        return text
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def parse_yaml(text: str, problems: FileProblems) -> Node | None:
    """The one document in `text`; None, with the reason noted, when it cannot be read.

    An empty file is an empty mapping.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        _note_syntax_error(error, text, problems)
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.add(
            Position(line),
            "a character that YAML does not allow (a control character)",
            "delete it and type the text again",
        )
        return None
    except RecursionError:
        problems.add(None, "nested too deep to be read", f"at most {MAX_DEPTH} levels")
        return None
    if root is None:
        return Fields({}, Position(1, 1))
    before = len(problems.problems)
    node = _Conversion(problems).node(root, 0)
    return node if len(problems.problems) == before else None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe loader that gives no type to unquoted scalars but marks them as such."""

    yaml_implicit_resolvers = {None: [("plain", re.compile(""))]}  # noqa: RUF012


class _Unreadable(Exception):
    """The document is larger or deeper than any programme file, or endless."""

    def __init__(self, message: str, hint: str, node: yaml.Node) -> None:
        super().__init__(message)
        self.hint = hint
        self.position = _position(node)


class _Conversion:
    """PyYAML's nodes into ours, noting what is not allowed in a programme file."""

    def __init__(self, problems: FileProblems) -> None:
        self._problems = problems
        self._count = 0
        self._open: set[int] = set()

    def node(self, node: yaml.Node, depth: int) -> Node | None:
        try:
            return self._node(node, depth)
        except _Unreadable as reason:
            self._problems.add(reason.position, str(reason), reason.hint)
            return None

    def _node(self, node: yaml.Node, depth: int) -> Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise _Unreadable(f"more than {MAX_NODES:,} values in one file", _SPLIT, node)
        if depth > MAX_DEPTH:
            raise _Unreadable(f"nested more than {MAX_DEPTH} levels", "say it flatter", node)
        if id(node) in self._open:
            raise _Unreadable("an alias (*) that contains itself", "write it out", node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                items = tuple(self._node(item, depth + 1) for item in node.value)
                return Items(items, _position(node))
            assert isinstance(node, yaml.MappingNode)
            return self._fields(node, depth)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode) -> Scalar:
        known = ("plain", "tag:yaml.org,2002:str")
        if node.tag not in known:
            self._problems.add(
                _position(node),
                f"the YAML tag {node.tag} is not used in programme files",
                "remove the tag; put text in quotes",
            )
        text = node.value.rstrip("\n") if node.style in ("|", ">") else node.value
        return Scalar(text, node.tag == "plain", _position(node))

    def _fields(self, node: yaml.MappingNode, depth: int) -> Fields:
        entries: dict[str, Entry] = {}
        for key, value in node.value:
            position = _position(key)
            converted = self._node(value, depth + 1)
            if not isinstance(key, yaml.ScalarNode) or key.value == "":
                self._problems.add(
                    position, "a field without a name", "write `name: value`; quote {{ }} in values"
                )
            elif key.value == "<<" and key.tag == "plain":
                self._problems.add(
                    position, "merge keys (<<) are not supported", "write the fields out"
                )
            elif key.value in entries:
                first = entries[key.value].key_position.line
                self._problems.add(
                    position,
                    f"`{key.value}` is there twice (first in line {first})",
                    "keep one of the two: YAML would silently take the last",
                )
            else:
                entries[key.value] = Entry(position, converted)
        return Fields(entries, _position(node))


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _note_syntax_error(error: yaml.MarkedYAMLError, text: str, problems: FileProblems) -> None:
    lines = text.splitlines()
    marks = [mark for mark in (error.problem_mark, error.context_mark) if mark]
    # What ran into the end of the file is shown where it began, or on the last line.
    mark = next((each for each in marks if each.line < len(lines)), None)
    position = Position(mark.line + 1, mark.column + 1) if mark else Position(max(len(lines), 1))
    line = lines[mark.line] if mark else ""
    said = error.problem or "this is not YAML"
    if "\t" in line[: len(line) - len(line.lstrip())]:
        problems.add(
            position, "a tab at the beginning of a line", "indent with spaces: YAML allows no tabs"
        )
    elif "another document" in said or "single document" in str(error.context):
        problems.add(position, "a second document (---) in one file", "one definition per file")
    elif "mapping values are not allowed" in said:
        problems.add(
            position,
            "a colon where none can be, or a line that is indented too far",
            "put text with a colon in quotes, and align the fields of one mapping",
        )
    elif line.lstrip(" -").partition(":")[2].lstrip().startswith(("{{", "{%", "@", "`", "%", "*")):
        problems.add(
            position, f"not YAML: {said}", "put text that begins with a special sign in quotes"
        )
    else:
        hint = f"while reading this part: {error.context}" if error.context else "look at the line"
        problems.add(position, f"not YAML: {said}", hint)
