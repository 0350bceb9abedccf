"""Which names every mail of a template is sure to show, whoever it goes to.

Follows `extends`, overridden blocks, `super()`, includes and macros; what stands only under a
condition or in a loop does not count. Errs on the side of saying that something is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from jinja2 import nodes

Names = frozenset[str]
NONE: Names = frozenset()


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where the walk stands: blocks from the most derived on, and what is open already."""

    blocks: Mapping[str, tuple[nodes.Block, ...]]
    block: tuple[str, int] | None
    open: frozenset[str]


def names_always_shown(main: str, trees: Mapping[str, nodes.Template]) -> Names:
    """Names that every rendering of the source `main` evaluates; `trees` holds its family."""
    return _Flow(trees).template(main, frozenset())


def parents(main: str, trees: Mapping[str, nodes.Template]) -> list[str]:
    """The source and those it extends, in order; stops where one is missing or comes again."""
    chain = [main]
    while parent := _parent(trees[chain[-1]]):
        if parent not in trees or parent in chain:
            break
        chain.append(parent)
    return chain


def blocks_of(
    chain: Iterable[str], trees: Mapping[str, nodes.Template]
) -> dict[str, tuple[nodes.Block, ...]]:
    """The blocks of a source and those it extends (see `parents`), the most derived first."""
    blocks: dict[str, tuple[nodes.Block, ...]] = {}
    for name in chain:
        for block in trees[name].find_all(nodes.Block):
            blocks[block.name] = (*blocks.get(block.name, ()), block)
    return blocks


def macros_of(trees: Mapping[str, nodes.Template]) -> dict[str, nodes.Macro]:
    """The macros of all sources by name."""
    return {macro.name: macro for tree in trees.values() for macro in tree.find_all(nodes.Macro)}


def _parent(tree: nodes.Template) -> str | None:
    for node in tree.body:
        if isinstance(node, nodes.Extends) and isinstance(node.template, nodes.Const):
            return str(node.template.value)
    return None


class _Flow:
    def __init__(self, trees: Mapping[str, nodes.Template]) -> None:
        self._trees = trees
        self._macros = macros_of(trees)

    def template(self, name: str, open_already: frozenset[str]) -> Names:
        if name not in self._trees or name in open_already:
            return NONE
        chain = parents(name, self._trees)
        scope = _Scope(blocks_of(chain, self._trees), None, open_already | set(chain))
        return self._all(self._trees[chain[-1]].body, scope)

    def _all(self, several: Iterable[nodes.Node], scope: _Scope) -> Names:
        return NONE.union(*(self._node(node, scope) for node in several))

    def _node(self, node: nodes.Node, scope: _Scope) -> Names:  # noqa: PLR0911 - a case each
        match node:
            case nodes.Name(ctx="load"):
                return frozenset({node.name})
            case nodes.If():
                return self._node(node.test, scope) | self._branches(node, scope)
            case nodes.CondExpr():
                return self._node(node.test, scope)
            case nodes.For():
                return self._node(node.iter, scope)
            case nodes.Macro():
                return NONE
            case nodes.Block():
                return self._block(node.name, 0, scope)
            case nodes.Include():
                name = node.template.value if isinstance(node.template, nodes.Const) else ""
                return self.template(str(name), scope.open)
            case nodes.Call():
                return self._all(node.iter_child_nodes(), scope) | self._called(node.node, scope)
        return self._all(node.iter_child_nodes(), scope)

    def _branches(self, node: nodes.If, scope: _Scope) -> Names:
        """What all branches show; nothing without an `else`."""
        if not node.else_:
            return NONE
        bodies = [node.body, *(each.body for each in node.elif_), node.else_]
        shown = [self._all(body, scope) for body in bodies]
        return shown[0].intersection(*shown)

    def _block(self, name: str, index: int, scope: _Scope) -> Names:
        definitions = scope.blocks.get(name, ())
        if index >= len(definitions):
            return NONE
        return self._all(definitions[index].body, replace(scope, block=(name, index)))

    def _called(self, callee: nodes.Node, scope: _Scope) -> Names:
        name = callee.name if isinstance(callee, nodes.Name) else getattr(callee, "attr", "")
        if name == "super" and scope.block:
            return self._block(scope.block[0], scope.block[1] + 1, scope)
        macro, mark = self._macros.get(name), f"macro {name}"
        if macro is None or mark in scope.open:
            return NONE
        return self._all(macro.body, replace(scope, open=scope.open | {mark}))
