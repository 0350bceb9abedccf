"""Templates compiled once a version: links numbered, pixel and preheader put in their places.

A compiled template is a pure function from a context to subject, HTML and text. It knows nothing
of recipients, tokens or headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import jinja2
from jinja2 import FunctionLoader, TemplateError, nodes
from markupsafe import Markup, escape

from services.renderer.template_faults import SOURCE, TemplateFault, compile_fault, render_fault
from shared.programme.definitions import Template
from shared.programme.links import HIDDEN_LINK, BadLinks, NumberedTemplate, number_template
from shared.programme.template_language import TRACKED, TemplateEnvironment, compiled, parse

HTML, TEXT = "mail.html.j2", "mail.txt.j2"
MOST_CHARACTERS: Final = 2_000_000
_PIECES_AT_ONCE: Final = 5_000
_BODY_START: Final = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_BODY_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)
_NAMES_PREHEADER: Final = re.compile(r"\{[{%][^}]*\bpreheader\b")
_NUMBERED: Final = re.compile(rf"\{{\{{ {TRACKED}\((\d+)\) \}}\}}")
_PREHEADER: Final = (
    '<div style="display:none;max-height:0;overflow:hidden;opacity:0;">{{ preheader }}</div>'
)
_PIXEL: Final = (
    '{% if pixel %}<img src="{{ pixel }}" width="1" height="1" alt="" '
    'style="display:block;border:0;">{% endif %}'
)
_HIDDEN_LINK: Final = (
    f'{{% if {TRACKED} %}}<a href="{{{{ {TRACKED} }}}}{HIDDEN_LINK}" '
    'style="display:none;max-height:0;overflow:hidden;font-size:0;" tabindex="-1" '
    'aria-hidden="true" rel="nofollow"></a>{% endif %}'
)
_FURNITURE: Final = _HIDDEN_LINK + _PIXEL


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template makes of one context."""

    subject: str
    html: str
    text: str


class CompiledTemplate:
    """One template version, ready to render. Raises TemplateFault when it cannot be compiled.

    Without `tracked` its links stay as they were written; render it with `links` and `pixel` empty.
    """

    def __init__(self, template: Template, *, tracked: bool = True) -> None:
        self.name, self.tracked = template.name, tracked
        try:
            numbered = number_template(template)
        except BadLinks as error:
            raise TemplateFault(f"template {template.name}: {error}") from error
        if not tracked:
            numbered = NumberedTemplate(template.html, template.text, template.partials, ())
        pages = {name: _links_prefixed(source) for name, source in numbered.partials.items()}
        texts = {**pages, TEXT: _links_prefixed(numbered.text)}
        pages[HTML] = _links_prefixed(numbered.html)
        try:
            pages = _with_furniture(pages, with_preheader=bool(template.preheader))
            self._html = _environment(pages, autoescape=True).get_template(HTML)
            plain = _environment(texts, autoescape=False)
            self._text = plain.get_template(TEXT)
            self._subject = plain.from_string(template.subject)
            self._preheader = plain.from_string(template.preheader)
            self._globals = dict(plain.globals)
        except TemplateError as error:
            raise compile_fault(template.name, error) from error

    def render(
        self,
        context: Mapping[str, Any],
        *,
        subject: str,
        disclaimer: tuple[Markup, str],
        links: str,
        pixel: str,
    ) -> Rendered:
        """Subject, HTML and text. Raises TemplateFault.

        `subject` is a variant's own source, empty for the template's. `disclaimer` is for the HTML
        and for the text. `links` is the address that a link's number is put behind; `pixel` is the
        address of the pixel, empty for none.
        """
        part = "subject"
        try:
            given = {**self._globals, **context}
            line = _output(compiled(subject) if subject else self._subject, given).strip(" ")
            part = "preheader"
            given["preheader"] = _output(self._preheader, given)
            part = HTML
            page = {"disclaimer": disclaimer[0], "pixel": escape(pixel), TRACKED: escape(links)}
            html = _output(self._html, given | page)
            part = TEXT
            text = _output(self._text, given | {"disclaimer": disclaimer[1], TRACKED: links})
        except Exception as error:
            # Whatever goes wrong inside of a template is this recipient's alone.
            raise render_fault(self.name, part, error) from error
        return Rendered(line, html, text)


class _MailEnvironment(TemplateEnvironment):
    """The language of templates, quicker with merge data: they are exactly dicts, from JSON."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict:
            try:
                return obj[attribute]
            except KeyError:
                pass
        return super().getattr(obj, attribute)


def _environment(sources: Mapping[str, str], *, autoescape: bool) -> _MailEnvironment:
    """The loader gives each source a file name, so that faults can say where they are."""

    def found(name: str) -> tuple[str, str, None] | None:
        return (sources[name], SOURCE + name, None) if name in sources else None

    return _MailEnvironment(autoescape=autoescape, loader=FunctionLoader(found))


def _links_prefixed(source: str) -> str:
    """Numbered links by variable and digits instead of by a call: a fifth of the rendering."""
    return _NUMBERED.sub(rf"{{{{ {TRACKED} }}}}\1", source)


def _with_furniture(sources: Mapping[str, str], *, with_preheader: bool) -> dict[str, str]:
    """The sources with pixel, hidden link and preheader in their places.

    Pixel and the link that no person sees go before `</body>`, or to the end of the page; the
    preheader after `<body>`, unless a source places it.
    """
    placed = any(_NAMES_PREHEADER.search(source) for source in sources.values())
    furnished: dict[str, str] = {}
    for name, source in sources.items():
        page = _BODY_END.sub(lambda end: _FURNITURE + end[0], source, count=1)
        if with_preheader and not placed:
            page = _BODY_START.sub(lambda start: start[0] + _PREHEADER, page, count=1)
        furnished[name] = page
    if not any(_BODY_END.search(source) for source in sources.values()):
        furnished[_outermost(sources)] += _FURNITURE
    return furnished


def _outermost(sources: Mapping[str, str]) -> str:
    """The source that the mail extends in the end: what stands outside of blocks counts there."""
    name = HTML
    for _ in sources:
        try:
            extends = parse(sources[name]).find(nodes.Extends)
        except TemplateError:
            break  # compiling it will say so better
        if extends is None or not isinstance(extends.template, nodes.Const):
            break
        parent = extends.template.value
        if parent not in sources:
            break
        name = parent
    return name


def _output(template: jinja2.Template, context: dict[str, Any]) -> str:
    """What the template makes, unless it becomes too long: then it is not made to the end.

    `Template.render` without its copies of the context, which must hold the globals.
    """
    parts: list[str] = []
    size = 0
    try:
        stream = template.root_render_func(template.new_context(context, shared=True))
        while pieces := list(islice(stream, _PIECES_AT_ONCE)):
            parts.append("".join(pieces))
            size += len(parts[-1])
            if size > MOST_CHARACTERS:
                raise OverflowError(f"it makes more than {MOST_CHARACTERS} characters")
    except Exception:  # noqa: BLE001 - raised again, with the lines of the template
        template.environment.handle_exception()
    return "".join(parts)
