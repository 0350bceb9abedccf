"""What is wrong with a template, in plain sentences that name template, source, line and field.

They travel as refusals into the ledger and the events, so they never repeat a value: a value may
be somebody's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from services.renderer.limits import TookTooLong

SOURCE: Final = "template source "
"""What the file name of a compiled source begins with; its name follows."""

_NO_FIELD: Final = re.compile(r".* has no (?:attribute|element) (.*)")
_NO_NAME: Final = re.compile(r"'([^']*)' is undefined")
_LONGEST: Final = 500


class TemplateFault(Exception):
    """A template that cannot be compiled, or not rendered with these data. Says where and what."""


def compile_fault(template: str, error: TemplateError) -> TemplateFault:
    """For a source that is not a template, or that names another that does not exist."""
    name, line = None, None
    if isinstance(error, TemplateSyntaxError):
        name, line = error.name, error.lineno
    place = f"template {template}: {name or 'source'}" + (f", line {line}" if line else "")
    return TemplateFault(f"{place}: {error.message}"[:_LONGEST])


def render_fault(template: str, part: str, error: Exception) -> TemplateFault:
    """For what went wrong while `part` was made: the innermost place of the template's own."""
    source, line = part, None
    for name, number in _places(error):
        source, line = name or part, number
    place = f"template {template}: {source}" + (f", line {line}" if line else "")
    return TemplateFault(f"{place}: {_sentence(error)}"[:_LONGEST])


def _places(error: Exception) -> Iterator[tuple[str, int]]:
    """Sources and lines on the way to the error, outermost first; "" for a source without a name.

    Jinja rewrites the traceback, so that its lines are those of the template.
    """
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith(SOURCE):
            yield name.removeprefix(SOURCE), trace.tb_lineno
        elif name == "<template>":
            yield "", trace.tb_lineno
        trace = trace.tb_next


def _sentence(error: Exception) -> str:
    match error:
        case UndefinedError():
            return _about_undefined(error.message or "")
        case SecurityError():
            return f"not allowed in a template: {error.message}"
        case TemplateError():
            return error.message or type(error).__name__
        case OverflowError() | RecursionError() | TookTooLong():
            return str(error)
        case UnicodeEncodeError():
            return "characters that cannot be mailed (lone surrogates)"
        case _:
            return f"an expression does not fit its data ({type(error).__name__})"


def _about_undefined(said: str) -> str:
    """Jinja's words about an undefined value, in ours."""
    if field := _NO_FIELD.fullmatch(said):
        return f"there is no field {field[1]}; give it a default if it may be missing"
    if name := _NO_NAME.fullmatch(said):
        return f"nothing is called {name[1]!r}"
    return said
