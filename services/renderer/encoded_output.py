"""Templates whose output is quoted-printable as it comes.

Static text is encoded once, when the template is compiled, and values as they are written. Only
what leaves the template is encoded. What a macro, `set`, `filter` or `call` gathers stays plain,
and what `super()` or an import takes from encoded output is decoded again: a template means the
same as anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.compiler import Frame
from jinja2.environment import TemplateModule
from markupsafe import Markup

from services.renderer.compiling import MailCodeGenerator
from services.renderer.quoted_printable import SOFT_BREAK, decoded, encoded
from shared.programme.template_language import TRACKED

READY: Final = frozenset({"unsubscribe_url", "disclaimer", "pixel", TRACKED})
"""Names whose values bring their encoded form with them, as a rule."""
_VALUES_AT_ONCE: Final = 8
"""Looked at together: one among them that needs care costs the others a look of their own."""


def _is_ready(value: nodes.Expr) -> bool:
    return isinstance(value, nodes.Name) and value.name in READY


class EncodedCodeGenerator(MailCodeGenerator):
    """Writes what leaves the template encoded; frames with a buffer stay as Jinja writes them."""

    def write_commons(self) -> None:
        super().write_commons()
        self.writeline("encoded, decoded = environment.encoded, environment.decoded")
        for name in ("values_text", "values_html", "written_text", "written_html"):
            self.writeline(f"{name} = environment.{name}")

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802
        """One piece for all that stands between two statements."""
        if frame.buffer is not None:
            super().visit_Output(node, frame)
            return
        if frame.require_output_check:  # what stands beside the blocks of a child is not written
            if self.has_known_extends:
                return
            self.writeline("if parent_template is None:")
            self.indent()
        items = self._static_joined(node, frame, self._make_finalize())
        values = [item for item in items if isinstance(item, nodes.Expr) and not _is_ready(item)]
        names: dict[nodes.Expr, str] = {}
        while values:
            together, values = values[:_VALUES_AT_ONCE], values[_VALUES_AT_ONCE:]
            names |= self._evaluate(together, frame)
        self.writeline("yield ''.join((")
        self.indent()
        after_value = ""
        for item in items:
            if isinstance(item, str):
                self.writeline(f"{after_value + encoded(item)!r},")
                after_value = ""
            else:
                if after_value:
                    self.write(f" {after_value!r},")
                if item in names:
                    self.writeline(f"{names[item]},")
                    after_value = SOFT_BREAK
                else:
                    self.writeline(f"{self._writer('written', frame)}(", item)
                    self.visit(item, frame)
                    self.write("),")
                    after_value = ""
        self.write(f"{after_value!r},))")
        self.outdent()
        if frame.require_output_check:
            self.outdent()

    def _evaluate(self, values: list[nodes.Expr], frame: Frame) -> dict[nodes.Expr, str]:
        """Write what encodes these values; the names of the variables that then hold them."""
        names = {value: self.temporary_identifier() for value in values}
        plain = self.temporary_identifier()
        self.writeline(f"{plain} = (", values[0])
        for value in values:
            self.newline(value)
            self.visit(value, frame)
            self.write(",")
        self.write(")")
        self.writeline("try:")
        self.indent()
        self.writeline(f"{', '.join(names.values())}, = {self._writer('values', frame)}({plain})")
        self.outdent()
        # One by one, so that a fault has the line of the value that has it.
        self.writeline("except Exception:")
        self.indent()
        for number, value in enumerate(values):
            self.writeline(f"{self._writer('written', frame)}({plain}[{number}])", value)
        self.writeline("raise")
        self.outdent()
        return names

    @staticmethod
    def _writer(kind: str, frame: Frame) -> str:
        html, text = f"{kind}_html", f"{kind}_text"
        if frame.eval_ctx.volatile:
            return f"({html} if context.eval_ctx.autoescape else {text})"
        return html if frame.eval_ctx.autoescape else text

    def _static_joined(
        self, node: nodes.Output, frame: Frame, finalize: Any
    ) -> list[str | nodes.Expr]:
        """What an output writes: text that is known already, and expressions."""
        items: list[str | nodes.Expr] = []
        for child in node.nodes:
            try:
                text = self._output_child_to_const(child, frame, finalize)
            except Exception:  # noqa: BLE001 - as Jinja does: it fails again when it is rendered
                items.append(child)
                continue
            before = items.pop() if items and isinstance(items[-1], str) else ""
            items.append(f"{before}{text}")
        return items

    def start_write(self, frame: Frame, node: nodes.Node | None = None) -> None:
        """For the results of `call` and `filter` blocks and of recursive loops: plain strings."""
        super().start_write(frame, node)
        if frame.buffer is None:
            self.write("encoded(")

    def end_write(self, frame: Frame) -> None:
        if frame.buffer is None:
            self.write(")")
        super().end_write(frame)

    def simple_write(self, s: str, frame: Frame, node: nodes.Node | None = None) -> None:
        """For the pieces of a block or an include, which are encoded."""
        if frame.buffer is None:
            self.writeline(f"yield {s}", node)
        else:
            super().simple_write(f"decoded({s})", frame, node)


class EncodedTemplate(jinja2.Template):
    """A template that is decoded where another takes its output as a value."""

    def make_module(
        self,
        vars: dict[str, Any] | None = None,
        shared: bool = False,
        locals: Mapping[str, Any] | None = None,
    ) -> TemplateModule:
        return _EncodedModule(self, self.new_context(vars, shared, locals))


class _EncodedModule(TemplateModule):
    """An imported template. What it writes is not looked at but by `{{ module }}`."""

    def __html__(self) -> Markup:
        return Markup(decoded(self.__dict__["_body_stream"]))  # noqa: S704 - escaped by its template

    def __str__(self) -> str:
        return decoded(self.__dict__["_body_stream"])
