"""Finds the Jinja parts of a template source and hides them at the same length.

What is left can be scanned as HTML or as text, quotes and angle brackets of expressions being out
of sight, and every offset still points into the source. Broken Jinja is left for the parser of
templates to complain about.
"""

from __future__ import annotations

import re
from typing import Final

EXPRESSION: Final = "\ue000"
"""Stands for each character of `{{ ... }}`."""
STATEMENT: Final = "\ue001"
"""Stands for each character of `{% ... %}` and `{# ... #}`."""
OPAQUE: Final = "\ue002"
"""Stands for each character of `{% raw %} ... {% endraw %}`, which is never rewritten."""

_OPENING: Final = re.compile(r"\{[{%#]")
_TOKEN: Final = re.compile(
    r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[-+]?[%}]\}|[()\[\]{}]", re.DOTALL
)
_RAW: Final = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_ENDRAW: Final = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_RESERVED: Final = re.compile(f"[{EXPRESSION}{STATEMENT}{OPAQUE}]")


def mask(source: str) -> str:
    """The source, equally long, with its Jinja parts replaced by the characters above."""
    pieces: list[str] = []
    at = 0
    while opening := _OPENING.search(source, at):
        start = opening.start()
        pieces.append(_RESERVED.sub("?", source[at:start]))
        end, sign = _part(source, start)
        pieces.append(sign * (end - start))
        at = end
    pieces.append(_RESERVED.sub("?", source[at:]))
    return "".join(pieces)


def _part(source: str, start: int) -> tuple[int, str]:
    """Where the Jinja part that opens at `start` ends, and the sign it is masked with."""
    if raw := _RAW.match(source, start):
        endraw = _ENDRAW.search(source, raw.end())
        return (endraw.end() if endraw else len(source)), OPAQUE
    kind = source[start : start + 2]
    if kind == "{#":
        closed = source.find("#}", start)
        return (closed + 2 if closed >= 0 else len(source)), STATEMENT
    closing = "}}" if kind == "{{" else "%}"
    end = _end_of_code(source, start + 2, closing)
    if end is None:
        return start + 2, "?"
    return end, EXPRESSION if kind == "{{" else STATEMENT


def _end_of_code(source: str, at: int, closing: str) -> int | None:
    """The end of an expression or statement: quotes and brackets inside are respected."""
    depth = 0
    while token := _TOKEN.search(source, at):
        text = token[0]
        if text[-2:] in ("}}", "%}"):
            if depth == 0 and text.endswith(closing):
                return token.end()
            # A brace that closes a bracket of the expression, not the expression itself.
            depth -= text[-2] == "}" and depth > 0
            at = token.end() - 1
            continue
        depth += text in "([{"
        depth -= text in ")]}" and depth > 0
        at = token.end()
    return None
