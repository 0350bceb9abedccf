"""Which fields of a supporter a template shows, and whether it says something else without them.

A field that is empty leaves a gap ("Dear ,"); an attribute that somebody does not have is refused.
`or`, `if` and `default` are what a template can do about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from jinja2 import TemplateError, nodes

from shared.programme.definitions import Template
from shared.programme.template_language import attributes_used, fields_used, parse

ATTRIBUTES: Final = "attributes"

Field = tuple[str, bool]
"""A field's name, and whether it is an attribute (`supporter.attributes.name`)."""


class Shown(NamedTuple):
    """One place that shows a field. `part`: "html", "text", "subject", "preheader" or a partial.

    `bare`: nothing stands in for it. `default_only`: a `default(...)` stands in, which for a field
    that is there and empty does nothing.
    """

    name: str
    attribute: bool
    part: str
    line: int
    bare: bool
    default_only: bool = False


def fields_shown(template: Template, subject: str = "") -> list[Shown]:
    """Every place, part by part. `subject` is a variant's own, empty for the template's."""
    parts = {
        "subject": subject or template.subject, "preheader": template.preheader,
        "html": template.html, "text": template.text, **template.partials,
    }  # fmt: skip
    return [shown for part, source in parts.items() for shown in _in_source(part, source)]


def _in_source(part: str, source: str) -> Iterator[Shown]:
    try:
        tree = parse(source)
    except TemplateError:
        return  # other checks say so better
    for (name, attribute), line, stand_in in _places(tree, _Seen(frozenset(), frozenset())):
        yield Shown(name, attribute, part, line, stand_in == "", stand_in == "default")


class _Seen(NamedTuple):
    """Fields that something stands in for: whenever they are empty, or only when they lack."""

    empty: frozenset[Field]
    lacking: frozenset[Field]


def _places(node: nodes.Node, seen: _Seen) -> Iterator[tuple[Field, int, str]]:
    """Field, line, and what stands in: "", "default" or "always"."""
    own = _own_field(node)
    if own is not None:
        stand_in = "always" if own in seen.empty else "default" if own in seen.lacking else ""
        yield own, node.lineno, stand_in
        return
    for child, after in _children(node, seen):
        yield from _places(child, after)


def _children(node: nodes.Node, seen: _Seen) -> Iterator[tuple[nodes.Node, _Seen]]:
    match node:
        case nodes.If() | nodes.CondExpr():
            asked = _with(seen, _fields(node.test))
            yield from ((child, asked) for child in node.iter_child_nodes())
        case nodes.Or() | nodes.And():
            yield node.left, _with(seen, _fields(node.left))
            yield node.right, _with(seen, _fields(node.left)) if _is_and(node) else seen
        case nodes.Filter(name="default" | "d"):
            inner = _fields(node.node) if node.node is not None else frozenset[Field]()
            always = _replaces_empty(node)
            after = _with(seen, inner) if always else _Seen(seen.empty, seen.lacking | inner)
            yield from ((child, after) for child in node.iter_child_nodes())
        case nodes.Test():
            asked = _with(seen, _fields(node.node))
            yield from ((child, asked) for child in node.iter_child_nodes())
        case _:
            yield from ((child, seen) for child in node.iter_child_nodes())


def _with(seen: _Seen, more: frozenset[Field]) -> _Seen:
    return _Seen(seen.empty | more, seen.lacking)


def _is_and(node: nodes.Node) -> bool:
    return isinstance(node, nodes.And)


def _replaces_empty(node: nodes.Filter) -> bool:
    """Whether it is `default(..., true)`."""
    given = [*node.args[1:2], *(each.value for each in node.kwargs if each.key == "boolean")]
    return any(isinstance(each, nodes.Const) and bool(each.value) for each in given)


def _own_field(node: nodes.Node) -> Field | None:
    """The field that the node itself is, if it is one."""
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return None
    for name, found in attributes_used(_around(node)):
        if found is node:
            return name, True
    for name, found in fields_used(_around(node), "supporter"):
        if found is node and name != ATTRIBUTES:
            return name, False
    return None


def _fields(node: nodes.Node) -> frozenset[Field]:
    """All fields inside of an expression."""
    around = _around(node)
    attributes = {(name, True) for name, _ in attributes_used(around)}
    fields = {(name, False) for name, _ in fields_used(around, "supporter")}
    return frozenset(attributes | {each for each in fields if each[0] != ATTRIBUTES})


def _around(node: nodes.Node) -> nodes.Node:
    """A node around one, since trees are searched below their root."""
    return nodes.Output([node])
