"""YAML nodes into the models of definitions, by what each field is declared to hold.

A field added to a model is readable at once. Where text is expected, what is written is what is
meant, be it `no`, `02139` or `19:30`. Checks that need other definitions are made elsewhere.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from shared.programme.moments import HOW_TO, BadMoment, parse_moment
from shared.programme.problems import FileProblems, Position, did_you_mean
from shared.programme.yaml_positions import Entry, Fields, Items, Node, Scalar, plain_value

Path: TypeAlias = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_YES: Final = frozenset({"true", "yes", "on"})
_NO: Final = frozenset({"false", "no", "off"})


class _Missing:
    """Stands for a value that could not be read; why has been noted."""


MISSING: Final = _Missing()


class ShapeReader:
    """Reads one file's nodes; `positions` gathers where each field of the model stands."""

    def __init__(self, problems: FileProblems) -> None:
        self.problems = problems
        self.positions: dict[Path, Position] = {}

    def model(
        self,
        model: type[Model],
        fields: Fields,
        path: Path = (),
        given: Mapping[str, Any] | None = None,
        read_elsewhere: tuple[str, ...] = (),
    ) -> Model | None:
        """The model, or None with every reason noted. Unknown fields are noted and passed over.

        `given` are fields that do not come from this mapping; `read_elsewhere` are names in the
        mapping that the caller reads itself.
        """
        values = dict(given or {})
        own = [name for name in model.model_fields if name not in values]
        readable = True
        for name, entry in fields.entries.items():
            if name in read_elsewhere:
                continue
            self.positions[(*path, name)] = entry.value.position
            if name in own:
                readable &= self._field(model, name, entry, path, values)
            elif name == "name" and name in values:
                self._name_of_file(entry, str(values["name"]))
            else:
                self.unknown_field(entry.key_position, name, (*own, *read_elsewhere))
        for name in own:
            if model.model_fields[name].is_required() and name not in fields.entries:
                readable = False
                self.problems.add(
                    fields.position, f"`{name}` is missing", f"add a line `{name}: ...`"
                )
        return self._validated(model, values, fields.position, path) if readable else None

    def unknown_field(self, position: Position, name: str, known: tuple[str, ...]) -> None:
        """Note a field that does not exist here, with the nearest that does."""
        hint = did_you_mean(name, known) or f"fields here: {', '.join(known)}"
        self.problems.add(position, f"`{name}`: there is no such field", hint)

    def text(self, node: Node, name: str) -> str | _Missing:
        """A line or block of text, as written."""
        if not isinstance(node, Scalar):
            return self._wrong(node, name, "text")
        if node.is_null:
            self.problems.add(
                node.position, f"`{name}` is empty", 'write its text, or "" if it is meant empty'
            )
            return MISSING
        if node.plain and isinstance(plain_value(node), bool):
            self.problems.add(
                node.position,
                f"`{name}` should be text, and {node.text} without quotes is a yes/no value",
                f'write "{node.text}" in quotes if the word is meant (Norwegian is no, not false)',
            )
            return MISSING
        return node.text

    def number(self, node: Node, name: str) -> float | int | _Missing:
        """A number, whole or not."""
        value = plain_value(node) if isinstance(node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self._wrong(node, name, "a number")
        return value

    def whole_number(self, node: Node, name: str) -> int | _Missing:
        """A count."""
        value = plain_value(node) if isinstance(node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int):
            return self._wrong(node, name, "a whole number")
        return value

    def flag(self, node: Node, name: str) -> bool | _Missing:
        """Yes or no."""
        word = node.text.casefold() if isinstance(node, Scalar) else ""
        if word in _YES or word in _NO:
            return word in _YES
        return self._wrong(node, name, "true or false")

    def moment(self, node: Node, name: str) -> datetime | _Missing:
        """A date and time with its zone."""
        if not isinstance(node, Scalar) or node.is_null:
            return self._wrong(node, name, "a date and time", HOW_TO)
        try:
            return parse_moment(node.text)
        except BadMoment as error:
            self.problems.add(node.position, f"`{name}`: {error}", error.hint)
            return MISSING

    def day(self, node: Node, name: str) -> date | _Missing:
        """A date."""
        try:
            return date.fromisoformat(node.text if isinstance(node, Scalar) else "")
        except ValueError:
            return self._wrong(node, name, "a date", "write it as 2026-05-07")

    def data(self, node: Node, name: str, path: Path = ()) -> Any:
        """Free data for templates: text, numbers, true and false, lists and mappings."""
        self.positions[path] = node.position
        if isinstance(node, Items):
            parts = [self.data(item, name, (*path, i)) for i, item in enumerate(node.items)]
            return MISSING if any(part is MISSING for part in parts) else parts
        if isinstance(node, Fields):
            found = {
                key: self.data(entry.value, key, (*path, key))
                for key, entry in node.entries.items()
            }
            return MISSING if any(part is MISSING for part in found.values()) else found
        return self.typed_scalar(node, name)

    def typed_scalar(self, node: Scalar, name: str) -> str | int | float | bool | _Missing:
        """A scalar whose type matters: yes and no without quotes are ambiguous, so refused."""
        if node.plain and node.text.casefold() in {"yes", "no", "on", "off"}:
            meant = "true" if node.text.casefold() in _YES else "false"
            self.problems.add(
                node.position,
                f"`{name}`: {node.text} could be a word or a yes/no value",
                f'write {meant}, or "{node.text}" in quotes for the word',
            )
            return MISSING
        value = plain_value(node)
        if value is None:
            self.problems.add(
                node.position, f"`{name}` is empty", 'write its value, or "" if it is meant empty'
            )
            return MISSING
        return value

    def of_type(self, annotation: Any, node: Node, name: str, path: Path) -> Any:
        """The value of one field declared as `annotation`; MISSING when it cannot be."""
        self.positions[path] = node.position
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin in (Union, types.UnionType):
            inner = [each for each in arguments if each is not type(None)]
            return self.of_type(inner[0], node, name, path)
        if origin is Literal:
            return self._choice(arguments, node, name)
        if origin is tuple:
            return self._several(arguments[0], node, name, path)
        if origin is dict:
            return self._mapping(arguments[1], node, name, path)
        return self._simple(annotation, node, name, path)

    def _field(
        self, model: type[BaseModel], name: str, entry: Entry, path: Path, values: dict[str, Any]
    ) -> bool:
        """Read one field into `values`, nothing for an empty one that need not be given."""
        field, node = model.model_fields[name], entry.value
        if not field.is_required() and isinstance(node, Scalar) and node.is_null:
            return True
        values[name] = self.of_type(field.annotation, node, name, (*path, name))
        return values[name] is not MISSING

    def _simple(self, annotation: Any, node: Node, name: str, path: Path) -> Any:
        readers: dict[Any, Callable[[Node, str], Any]] = {
            str: self.text,
            bool: self.flag,
            int: self.whole_number,
            float: self.number,
            datetime: self.moment,
            date: self.day,
        }
        if annotation in readers:
            return readers[annotation](node, name)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if not isinstance(node, Fields):
                return self._wrong(node, name, "a mapping (lines of `field: value` below it)")
            return self.model(annotation, node, path) or MISSING
        return self.data(node, name, path)

    def _choice(self, choices: tuple[Any, ...], node: Node, name: str) -> Any:
        value = self.text(node, name)
        if isinstance(value, _Missing) or value in choices:
            return value
        words = [str(choice) for choice in choices]
        hint = did_you_mean(value, words)
        self.problems.add(
            node.position,
            f'`{name}` cannot be "{value}"',
            " ".join(part for part in (hint, f"choose one of: {', '.join(words)}") if part),
        )
        return MISSING

    def _several(self, annotation: Any, node: Node, name: str, path: Path) -> Any:
        if isinstance(node, Fields):
            return self._wrong(node, name, "a list (lines that begin with a dash)")
        items = node.items if isinstance(node, Items) else (node,)
        values = [
            self.of_type(annotation, item, name, (*path, index)) for index, item in enumerate(items)
        ]
        return MISSING if any(value is MISSING for value in values) else tuple(values)

    def _mapping(self, annotation: Any, node: Node, name: str, path: Path) -> Any:
        if not isinstance(node, Fields):
            return self._wrong(node, name, "a mapping (lines of `name: value` below it)")
        found = {
            key: self.of_type(annotation, entry.value, key, (*path, key))
            for key, entry in node.entries.items()
        }
        return MISSING if any(value is MISSING for value in found.values()) else found

    def _name_of_file(self, entry: Entry, name: str) -> None:
        value = self.text(entry.value, "name")
        if isinstance(value, str) and value != name:
            self.problems.add(
                entry.value.position,
                f'`name` says "{value}", but the file is called "{name}"',
                "leave `name` out: the name of the file is the name",
            )

    def _wrong(self, node: Node, name: str, wanted: str, hint: str = "") -> _Missing:
        found = {Items: "a list", Fields: "a mapping"}.get(type(node))
        if isinstance(node, Scalar):
            found = "empty" if node.is_null else f'"{node.text}"'
        self.problems.add(node.position, f"`{name}` should be {wanted}, and is {found}", hint)
        return MISSING

    def _validated(
        self, model: type[Model], values: Mapping[str, Any], position: Position, path: Path
    ) -> Model | None:
        try:
            return model.model_validate(values)
        except ValidationError as errors:
            for error in errors.errors():
                location: Path = (*path, *error["loc"])
                name = next((str(part) for part in reversed(location) if isinstance(part, str)), "")
                self.problems.add(
                    self.positions.get(location, position),
                    f"`{name}`: {_in_words(error['type'], error.get('ctx', {}), error['msg'])}",
                )
            return None


def _in_words(kind: str, context: Mapping[str, Any], otherwise: str) -> str:
    """What pydantic found, in the words of the other messages."""
    words = {
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "greater_than": f"must be more than {context.get('gt')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "too_short": "must not be empty: write at least one",
    }
    return words.get(kind, otherwise)
