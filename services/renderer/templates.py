"""Templates compiled once a version: links numbered, pixel and preheader put in their places.

A compiled template is a pure function from a context to subject, HTML and text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from jinja2 import DictLoader, TemplateError
from markupsafe import Markup

from shared.programme.definitions import Template
from shared.programme.links import BadLinks, number_template
from shared.programme.template_language import TemplateEnvironment, compiled

HTML, TEXT = "mail.html.j2", "mail.txt.j2"
MOST_CHARACTERS = 2_000_000
BODY_START = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
NAMES_PREHEADER = re.compile(r"\{\{[^}]*\bpreheader\b")
PREHEADER = (
    '<div style="display:none;max-height:0;overflow:hidden;opacity:0;">{{ preheader }}</div>'
)


class TemplateFault(Exception):
    """A template that cannot be compiled, or not rendered with these data. Says where and what."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template makes of one context."""

    subject: str
    html: str
    text: str


class CompiledTemplate:
    """One template version, ready to render. Raises TemplateFault when it cannot be compiled."""

    def __init__(self, template: Template) -> None:
        self.name = template.name
        try:
            numbered = number_template(template)
        except BadLinks as error:
            raise TemplateFault(f"template {template.name}: {error}") from error
        sources = _with_furniture(numbered.html, numbered.partials)
        pages = TemplateEnvironment(autoescape=True, loader=DictLoader(sources))
        plain = TemplateEnvironment(
            autoescape=False, loader=DictLoader({**numbered.partials, TEXT: numbered.text})
        )
        try:
            self._html = pages.get_template(HTML)
            self._text = plain.get_template(TEXT)
            self._subject = plain.from_string(template.subject)
            self._preheader = plain.from_string(template.preheader)
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            raise TemplateFault(
                f"template {template.name}: {getattr(error, 'name', None) or 'source'}"
                f"{f', line {line}' if line else ''}: {error.message}"
            ) from error

    def render(
        self,
        context: Mapping[str, Any],
        subject: str | None,
        disclaimer: tuple[Markup, str],
        tracked: Callable[[int], str],
        pixel: str,
    ) -> Rendered:
        """Subject, HTML and text. `subject` is a variant's own source, or None.

        `pixel` is the address of the pixel, empty for none. Raises TemplateFault.
        """
        part = "subject"
        try:
            source = self._subject if subject is None else compiled(subject)
            line = " ".join(source.render(context).split(" "))
            part = "preheader"
            preheader = self._preheader.render(context)
            given = {**context, "tracked": tracked, "preheader": preheader}
            part = "html"
            html = self._html.render(given, disclaimer=disclaimer[0], pixel=_pixel(pixel))
            part = "text"
            text = self._text.render(given, disclaimer=disclaimer[1])
        except Exception as error:
            raise TemplateFault(f"template {self.name}: {_where(error, part)}") from error
        if len(html) + len(text) > MOST_CHARACTERS:
            raise TemplateFault(f"template {self.name}: it made {len(html) + len(text)} characters")
        return Rendered(line, html, text)


def _with_furniture(html: str, partials: Mapping[str, str]) -> dict[str, str]:
    """The sources with the pixel before </body> and, if none names it, the preheader after <body>."""
    sources = {**partials, HTML: html}
    wants_preheader = not any(NAMES_PREHEADER.search(source) for source in sources.values())
    for name, source in sources.items():
        start, end = BODY_START.search(source), BODY_END.search(source)
        if end is not None:
            source = source[: end.start()] + "{{ pixel }}" + source[end.start() :]
        if start is not None and wants_preheader:
            source = source[: start.end()] + PREHEADER + source[start.end() :]
        sources[name] = source
    if not any("{{ pixel }}" in source for source in sources.values()):
        sources[HTML] += "{{ pixel }}"
    return sources


def _pixel(address: str) -> Markup:
    if not address:
        return Markup("")
    return Markup('<img src="{}" width="1" height="1" alt="" style="display:block;border:0;">').format(
        address
    )


def _where(error: Exception, part: str) -> str:
    """The place in the template and what was wrong, for people."""
    line = None
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if "__jinja_template__" in trace.tb_frame.f_globals or trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    said = str(error) or type(error).__name__
    return f"{part}{f', line {line}' if line else ''}: {said}"
