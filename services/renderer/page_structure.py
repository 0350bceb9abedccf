"""The page that the sources of an HTML part make together, for a look at its structure.

All that may be written is written: every branch of a condition, the inside of a loop once, a macro
where it is called. Values are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from jinja2 import nodes

from shared.programme.template_flow import blocks_of, macros_of, parents
from shared.programme.template_language import parse


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where the walk stands: blocks from the most derived on, what is open, what `caller` is."""

    blocks: Mapping[str, tuple[nodes.Block, ...]]
    block: tuple[str, int] | None
    open: frozenset[str]
    caller: tuple[nodes.Node, ...] = ()


def whole_page(main: str, sources: Mapping[str, str]) -> str:
    """The page of the source called `main`. Raises jinja2.TemplateSyntaxError."""
    return _Walk({name: parse(source) for name, source in sources.items()}).source(
        main, frozenset()
    )


class _Walk:
    def __init__(self, trees: Mapping[str, nodes.Template]) -> None:
        self._trees = trees
        self._macros = macros_of(trees)

    def source(self, name: str, open_already: frozenset[str]) -> str:
        if name not in self._trees or name in open_already:
            return ""
        chain = parents(name, self._trees)
        scope = _Scope(blocks_of(chain, self._trees), None, open_already | set(chain))
        return self._all(self._trees[chain[-1]].body, scope)

    def _all(self, several: Iterable[nodes.Node], scope: _Scope) -> str:
        return "".join(self._node(node, scope) for node in several)

    def _node(self, node: nodes.Node, scope: _Scope) -> str:  # noqa: PLR0911 - a case each
        match node:
            case nodes.TemplateData():
                return node.data
            case nodes.Macro():
                return ""
            case nodes.Block():
                return self._block(node.name, 0, scope)
            case nodes.Include():
                name = node.template.value if isinstance(node.template, nodes.Const) else ""
                return self.source(str(name), scope.open)
            case nodes.CallBlock():
                return self._node(node.call, replace(scope, caller=tuple(node.body)))
            case nodes.Call():
                return self._called(node.node, scope)
        return self._all(node.iter_child_nodes(), scope)

    def _block(self, name: str, index: int, scope: _Scope) -> str:
        definitions, mark = scope.blocks.get(name, ()), f"block {name} {index}"
        if index >= len(definitions) or mark in scope.open:
            return ""
        inside = replace(scope, block=(name, index), open=scope.open | {mark})
        return self._all(definitions[index].body, inside)

    def _called(self, callee: nodes.Node, scope: _Scope) -> str:
        name = callee.name if isinstance(callee, nodes.Name) else getattr(callee, "attr", "")
        if name == "super" and scope.block:
            return self._block(scope.block[0], scope.block[1] + 1, scope)
        if name == "caller":
            return self._all(scope.caller, replace(scope, caller=()))
        macro, mark = self._macros.get(name), f"macro {name}"
        if macro is None or mark in scope.open:
            return self._block(name, 0, scope)  # `self.name()`, if that is what it is
        return self._all(macro.body, replace(scope, open=scope.open | {mark}))
