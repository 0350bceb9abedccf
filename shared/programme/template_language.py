"""The template language: what a template may name, and how its sources are parsed.

Jinja2, sandboxed, with undefined names as errors. Renderer and tracker take their environments
from here, so that a template means the same when it is checked, rendered and looked up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, Template, meta, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shared.programme.definitions import Campaign

SUPPORTER_FIELDS: Final = frozenset(
    {"first_name", "last_name", "name", "language", "postcode", "attributes"}
)
SEND_FIELDS: Final = frozenset({"name", "deadline"})
CAMPAIGN_FIELDS: Final = frozenset(Campaign.model_fields) - {
    "configuration_set",
    "disclaimer",
    "webhooks",
    "seeds",
}

MERGE_DATA: Final = frozenset({"supporter", "area", "send", "campaign"})
"""What every source may name."""
PROVIDED: Final = frozenset({"unsubscribe_url", "preferences_url", "preheader", "disclaimer"})
"""What the renderer adds for the HTML and the text part. It requires the way out and the disclaimer
of both."""
LINK_DATA: Final = frozenset({"area", "send", "campaign"})
"""What an address may name: nothing about the supporter."""
GLOBALS: Final = frozenset({"range", "dict", "cycler", "joiner", "namespace"})

TRACKED: Final = "tracked"
"""The function that numbered sources call with the number of a link."""


LONGEST: Final = 10_000_000
"""Characters or elements that an operator may make."""
MOST_BITS: Final = 10_000
"""Of a whole number that an operator may make."""


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Immutable sandbox, strict about undefined names; `a.b` looks for a key before a method.

    Sums, products and powers have a bound: one expression must not fill the memory or never end.
    """

    intercepted_binops = frozenset({"+", "*", "**"})

    def __init__(self, *, autoescape: bool, **options: Any) -> None:
        super().__init__(autoescape=autoescape, undefined=StrictUndefined, **options)
        self.globals = {name: self.globals[name] for name in GLOBALS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of a mapping first: merge data is mappings, and may have a key called `items`."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Raises OverflowError for what would be too large, before it is made."""
        if _is_too_large(operator, left, right):
            raise OverflowError(f"{operator} makes something too large")
        return super().call_binop(context, operator, left, right)


def _is_too_large(operator: str, left: Any, right: Any) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length()
        needed = {"*": bits + right.bit_length(), "**": bits * right}.get(operator, 0)
        return needed > MOST_BITS
    if operator == "*":
        times = left if isinstance(left, int) else right
        return isinstance(times, int) and (_length(left) + _length(right)) * times > LONGEST
    return operator == "+" and _length(left) + _length(right) > LONGEST


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 0


@cache
def plain_environment() -> TemplateEnvironment:
    """For parsing, and for rendering what is not HTML. Holds no loader and no state."""
    return TemplateEnvironment(autoescape=False)


@lru_cache(maxsize=4096)
def compiled(source: str) -> Template:
    """A source without partials, compiled for plain text. Raises jinja2.TemplateSyntaxError."""
    return plain_environment().from_string(source)


@lru_cache(maxsize=1024)
def parse(source: str) -> nodes.Template:
    """The syntax tree, shared by all who ask: not to be changed.

    Raises jinja2.TemplateSyntaxError with its line.
    """
    return _analysis_environment().parse(source)


class _AnyFunction(dict[str, Callable[..., Any]]):
    """Knows every name, so that one unknown filter does not hide all else that is wrong."""

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name, default or repr)


@cache
def _analysis_environment() -> TemplateEnvironment:
    environment = TemplateEnvironment(autoescape=False)
    words: dict[str, Any] = {"filters": environment.filters, "tests": environment.tests}
    for kind, known in words.items():
        setattr(environment, kind, _AnyFunction(known))
    return environment


def unknown_words(tree: nodes.Template) -> Iterator[tuple[str, str, list[str], int]]:
    """Filters and tests that do not exist: "filter" or "test", its name, those there are, line."""
    environment = plain_environment()
    for each in tree.find_all(nodes.Filter):
        if each.name not in environment.filters:
            yield "filter", each.name, list(environment.filters), each.lineno
    for test in tree.find_all(nodes.Test):
        if test.name not in environment.tests:
            yield "test", test.name, list(environment.tests), test.lineno


@lru_cache(maxsize=1024)
def names_needed(tree: nodes.Template) -> Mapping[str, int]:
    """Names a source needs from outside, each with the line of its first use.

    Raises jinja2.TemplateAssertionError for what only compiling finds, like a block defined twice.
    """
    undeclared = meta.find_undeclared_variables(tree) - GLOBALS - {"self", "super"}
    lines: dict[str, int] = {}
    for name in tree.find_all(nodes.Name):
        if name.name in undeclared and name.ctx == "load":
            lines[name.name] = min(name.lineno, lines.get(name.name, name.lineno))
    return lines


def names_set(tree: nodes.Template) -> set[str]:
    """Names a source sets or imports at its top level: its blocks and its parents see them."""
    found: set[str] = set()
    waiting: list[nodes.Node] = list(tree.body)
    while waiting:
        node = waiting.pop()
        match node:
            case nodes.Assign() | nodes.AssignBlock():
                found |= {name.name for name in _names_in(node.target)}
            case nodes.Macro():
                found.add(node.name)
            case nodes.Import():
                found.add(node.target)
            case nodes.FromImport():
                found |= {name if isinstance(name, str) else name[1] for name in node.names}
            case nodes.If():
                waiting += [*node.body, *node.elif_, *node.else_]
    return found


def names_bound(tree: nodes.Template) -> set[str]:
    """Names a source binds anywhere, loops included: what it includes may see them."""
    return names_set(tree) | {
        name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")
    }


def _names_in(target: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(target, nodes.Name):
        yield target
    yield from target.find_all(nodes.Name)


def fields_used(tree: nodes.Node, root: str) -> Iterator[tuple[str, nodes.Node]]:
    """Each `root.field` or `root['field']`, with its node."""
    for dotted in tree.find_all(nodes.Getattr):
        if _is_name(dotted.node, root):
            yield dotted.attr, dotted
    for item in tree.find_all(nodes.Getitem):
        if _is_name(item.node, root) and isinstance(item.arg, nodes.Const):
            yield str(item.arg.value), item


def guards(tree: nodes.Node) -> Iterator[nodes.Node]:
    """Expressions that bear an undefined value: tests for it, and defaults."""
    yield from (t for t in tree.find_all(nodes.Test) if t.name in ("defined", "undefined"))
    yield from (f for f in tree.find_all(nodes.Filter) if f.name in ("default", "d"))


def fields_guarded(tree: nodes.Node, root: str) -> set[str]:
    """Fields of `root` that stand in a guard somewhere in the tree."""
    return {field for guard in guards(tree) for field, _ in fields_used(guard, root)}


def attributes_used(tree: nodes.Node) -> Iterator[tuple[str, nodes.Node]]:
    """Each `supporter.attributes.field`, with its node."""
    for node in tree.find_all(nodes.Getattr):
        owner = node.node
        if isinstance(owner, nodes.Getattr) and owner.attr == "attributes":
            yield node.attr, node


def attributes_guarded(tree: nodes.Node) -> set[str]:
    """Attributes that stand in a guard somewhere in the tree."""
    return {field for guard in guards(tree) for field, _ in attributes_used(guard)}


def references(tree: nodes.Template) -> Iterator[tuple[str | None, nodes.Node]]:
    """Names of the sources that this one extends, includes or imports; None when computed."""
    for kind in (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport):
        for node in tree.find_all(kind):
            template: Any = getattr(node, "template")  # noqa: B009 - all four kinds have it
            if isinstance(template, nodes.Const) and isinstance(template.value, str):
                yield template.value, node
            else:
                yield None, node


def _is_name(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Name) and node.name == name
