"""The sources of a template as they are compiled: links numbered, styles inlined, pixel, hidden
link and preheader placed.

Lines stay where they were, so that a fault names the line its author wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from jinja2 import TemplateError

from services.renderer.css_inlining import with_styles_inlined
from shared.programme.definitions import Template
from shared.programme.links import HIDDEN_LINK, NumberedTemplate, number_template
from shared.programme.template_flow import parents
from shared.programme.template_language import TRACKED, parse

HTML, TEXT = "mail.html.j2", "mail.txt.j2"
PIXEL: Final = (
    '{% if pixel %}<img src="{{ pixel }}" width="1" height="1" alt="" '
    'style="display:block;border:0;">{% endif %}'
)
_HIDDEN_LINK: Final = (
    f'{{% if {TRACKED} %}}<a href="{{{{ {TRACKED} }}}}{HIDDEN_LINK}" '
    'style="display:none;max-height:0;overflow:hidden;font-size:0;" tabindex="-1" '
    'aria-hidden="true" rel="nofollow"></a>{% endif %}'
)
_FURNITURE: Final = _HIDDEN_LINK + PIXEL

_BODY_START: Final = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_BODY_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)
_NAMES_PREHEADER: Final = re.compile(r"\{[{%][^}]*\bpreheader\b")
_NUMBERED: Final = re.compile(rf"\{{\{{ {TRACKED}\((\d+)\) \}}\}}")
_PREHEADER: Final = (
    '<div style="display:none;max-height:0;overflow:hidden;opacity:0;">{{ preheader }}</div>'
)


class Sources(NamedTuple):
    """Sources by name, for the HTML part and for the text part; both with the partials.

    `{{ tracked }}N` stands for link N, `{{ pixel }}` for the address of the pixel, if any.
    """

    pages: dict[str, str]
    texts: dict[str, str]


def sources_of(template: Template, *, tracked: bool = True) -> Sources:
    """Without `tracked` links stay as they were written.

    Raises BadLinks or BadStyles, or jinja2.TemplateSyntaxError.
    """
    numbered = number_template(template)
    if not tracked:
        numbered = NumberedTemplate(template.html, template.text, template.partials, ())
    partials = {name: _links_prefixed(source) for name, source in numbered.partials.items()}
    pages = {**partials, HTML: _links_prefixed(numbered.html)}
    texts = {**partials, TEXT: _links_prefixed(numbered.text)}
    pages = with_styles_inlined(pages, HTML)
    return Sources(_with_furniture(pages, with_preheader=bool(template.preheader)), texts)


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
    try:
        trees = {name: parse(source) for name, source in sources.items()}
    except TemplateError:
        return HTML  # compiling it will say so better
    return parents(HTML, trees)[-1]
