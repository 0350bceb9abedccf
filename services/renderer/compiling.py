"""How the templates of mails are compiled: with a count in everything that can repeat, a bound on
what can grow, and a short way to the fields of merge data.
"""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.nodes import Node


class MailCodeGenerator(CodeGenerator):
    """For environments that have a `meter`, and `bounded` and `joined` of `limits.py`."""

    _repeated: Iterable[Node] = ()

    def write_commons(self) -> None:
        super().write_commons()
        self.writeline("turn, bounded = environment.meter.turn, environment.bounded")
        self.writeline("concat = environment.joined")
        self.writeline("turn()")

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802
        self._repeated = node.body
        super().visit_For(node, frame)

    def visit_Macro(self, node: nodes.Macro, frame: Frame) -> None:  # noqa: N802
        self._repeated = node.body
        super().visit_Macro(node, frame)

    def visit_CallBlock(self, node: nodes.CallBlock, frame: Frame) -> None:  # noqa: N802
        self._repeated = node.body
        super().visit_CallBlock(node, frame)

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802
        """Merge data are dicts: a field of one is read in place, without a call."""
        self.write(f"(t[{node.attr!r}] if type(t := (")
        self.visit(node.node, frame)
        self.write(f")) is dict and {node.attr!r} in t else environment.getattr(t, {node.attr!r}))")

    def blockvisit(self, nodes: Iterable[Node], frame: Frame) -> None:
        if nodes is self._repeated:
            self.writeline("turn()")
        super().blockvisit(nodes, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("bounded(")
        super().visit_Concat(node, frame)
        self.write(")")
