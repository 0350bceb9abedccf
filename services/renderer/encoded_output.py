"""Templates whose output is quoted-printable as it comes (RFC 2045 section 6.7).

Static text is encoded once, when the template is compiled, and values as they are written. Every
text and every value begins at the first column and is followed by a line end of its own or by a
soft break, so they are joined without a look at what stands before them. Only what leaves the
template is encoded. What a macro, `set`, `filter` or `call` gathers stays plain, and what `super()`
or an import takes from encoded output is decoded again: a template means the same as anywhere else.

A line end inside of a value, whichever way it is spelled, is a line end of the mail.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.compiler import Frame
from jinja2.environment import TemplateModule
from markupsafe import Markup, escape

from services.renderer.compiling import MailCodeGenerator
from shared.programme.template_language import TRACKED

SOFT_BREAK: Final = "=\r\n"
READY: Final = frozenset({"unsubscribe_url", "disclaimer", "pixel", TRACKED})
"""Names whose values bring their encoded form with them, as a rule."""
_LONGEST_LINE: Final = 76
_LONGEST_VALUE: Final = 72
_VALUES_AT_ONCE: Final = 8
"""Looked at together: one among them that needs care costs the others a look of their own."""


class ReadyText(str):
    """A value of a text part that is written often: its encoded form comes with it."""

    __slots__ = ("encoded",)
    encoded: str


class ReadyMarkup(Markup):
    """The same for an HTML part; made of text, or of Markup."""

    __slots__ = ("encoded",)
    encoded: str


def ready_text(text: str) -> ReadyText:
    """Raises UnicodeEncodeError for lone surrogates."""
    value = ReadyText(text)
    value.encoded = encoded(text)
    return value


def ready_markup(text: str, known: ReadyText | None = None) -> ReadyMarkup:
    """Escaped, unless it is Markup. Raises UnicodeEncodeError for lone surrogates.

    `known` is the same text ready for a text part: what needs no escape is not encoded again.
    """
    value: ReadyMarkup = str.__new__(ReadyMarkup, escape(text))
    value.encoded = known.encoded if known is not None and str(value) == known else encoded(value)
    return value


def encoded(text: str) -> str:
    """One piece: ASCII, CRLF line ends, no line over 76 characters, the last one broken softly.

    Raises UnicodeEncodeError for lone surrogates.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Line by line: at once, it makes a line too long that ends in a space near the last column.
    lines = [binascii.b2a_qp(line.encode(), istext=True) for line in text.split("\n")]
    piece = b"\n".join(lines).replace(b"\n", b"\r\n").decode("ascii")
    if not piece or piece.endswith("\n"):
        return piece
    if len(piece) - piece.rfind("\n") - 1 == _LONGEST_LINE:
        last = -3 if piece[-3] == "=" else -1
        return piece[:last] + SOFT_BREAK + piece[last:] + SOFT_BREAK
    return piece + SOFT_BREAK


def values_text(values: tuple[Any, ...]) -> tuple[str, ...]:
    """Values written by a text part, without the soft break that follows each.

    One look at all of them together is enough for most names, places and times.
    """
    try:
        together = "".join(values)
    except TypeError:  # not all of them are strings
        together = "="
    if (
        together.isascii()
        and together.isprintable()
        and "=" not in together
        and (len(together) <= _LONGEST_VALUE or max(map(len, values)) <= _LONGEST_VALUE)
    ):
        return values
    return tuple([value_text(value) for value in values])


def values_html(values: tuple[Any, ...]) -> tuple[str, ...]:
    """Values written by an HTML part, escaped unless they are Markup; as `values_text`."""
    try:
        together = "".join(values)
    except TypeError:  # not all of them are strings
        together = "="
    if _has_markup(together):
        return tuple([value_html(value) for value in values])
    if (
        together.isascii()
        and together.isprintable()
        and "=" not in together
        and (len(together) <= _LONGEST_VALUE or max(map(len, values)) <= _LONGEST_VALUE)
    ):
        return values
    return tuple([value_html(value) for value in values])


def value_text(value: object) -> str:
    """One value, likewise."""
    text = value if type(value) is str else str(value)
    if text.isascii() and text.isprintable() and "=" not in text and len(text) <= _LONGEST_VALUE:
        return text
    return encoded(text).removesuffix(SOFT_BREAK)


def value_html(value: object) -> str:
    """One value, likewise."""
    if type(value) is not str:
        return value_text(str(escape(value)))
    return value_text(_escaped(value) if _has_markup(value) else value)


def _has_markup(text: str) -> bool:
    """Whether something in it needs to be escaped."""
    return "&" in text or "'" in text or "<" in text or ">" in text or '"' in text


def _escaped(text: str) -> str:
    """As `markupsafe.escape` does it, without making Markup of it."""
    return (
        text.replace("&", "&amp;")
        .replace(">", "&gt;")
        .replace("<", "&lt;")
        .replace("'", "&#39;")
        .replace('"', "&#34;")
    )


def written_text(value: object) -> str:
    """A value of READY written by a text part, with what follows it."""
    return value.encoded if type(value) is ReadyText else value_text(value) + SOFT_BREAK


def written_html(value: object) -> str:
    """A value of READY written by an HTML part, with what follows it."""
    return value.encoded if type(value) is ReadyMarkup else value_html(value) + SOFT_BREAK


def shows(pieces: Sequence[str], value: ReadyText | ReadyMarkup) -> bool:
    """Whether the value stands in encoded output: written by itself, or within something else."""
    alone = value.encoded.removesuffix(SOFT_BREAK)
    # Backwards, because what must be there stands at the end of most mails.
    return any(alone in piece for piece in reversed(pieces)) or str(value) in decoded(pieces)


def decoded(pieces: Iterable[str]) -> str:
    """What was encoded, with LF line ends."""
    return binascii.a2b_qp("".join(pieces)).decode().replace("\r\n", "\n")


def ended(pieces: list[str]) -> list[str]:
    """The pieces of a whole part, without the last soft break: no more follows it."""
    while pieces:
        if last := pieces.pop().removesuffix(SOFT_BREAK):
            if last.endswith(" "):  # at the end of a line it would be lost on the way
                last = f"{last[:-1]}=20"
            pieces.append(last)
            break
    return pieces


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
        several_lines = len({value.lineno for value in values}) > 1
        if several_lines:
            self.writeline("try:")
            self.indent()
        targets, encode = ", ".join(names.values()), self._writer("values", frame)
        self.writeline(f"{targets}, = {encode}((", values[0])
        for value in values:
            self.newline(value)
            self.visit(value, frame)
            self.write(",")
        self.write("))")
        if several_lines:
            self.outdent()
            self._write_again_one_by_one(values, frame)
        return names

    def _write_again_one_by_one(self, values: list[nodes.Expr], frame: Frame) -> None:
        """So that a fault has the line of the value that has it."""
        self.writeline("except Exception:")
        self.indent()
        for value in values:
            self.writeline(f"{self._writer('written', frame)}(", value)
            self.visit(value, frame)
            self.write(")")
        self.writeline("raise")
        self.outdent()

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
