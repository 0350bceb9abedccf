"""Templates compiled once a version, straight to the encoded parts of a mail.

A compiled template is a pure function from a context to subject, HTML and text. It knows nothing
of recipients, tokens or headers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jinja2
from jinja2 import TemplateError
from jinja2.runtime import Context
from markupsafe import Markup

from services.renderer.css_inlining import BadStyles
from services.renderer.environments import LineEnvironment, PartEnvironment
from services.renderer.limits import Meter, TookTooLong, joined, pieces_of
from services.renderer.page_sources import HTML, TEXT, sources_of
from services.renderer.quoted_printable import (
    ReadyMarkup,
    ReadyText,
    ended,
    ready_markup,
    ready_text,
)
from services.renderer.template_faults import TemplateFault, compile_fault, render_fault
from shared.programme.definitions import Template
from shared.programme.links import BadLinks
from shared.programme.template_language import TRACKED

SLOW_AT_MOST: Final = 10
"""Mails that took too long: then the template is given up, for it would hold all the others."""


class Printed:
    """What a template prints in both parts: ready for HTML and ready for text."""

    __slots__ = ("html", "text")

    def __init__(self, text: str, html: Markup | None = None) -> None:
        """`html` is what stands for the text in HTML, if not the text itself.

        Raises UnicodeEncodeError for lone surrogates.
        """
        self.text: ReadyText = ready_text(text)
        self.html: ReadyMarkup = ready_markup(text if html is None else html, self.text)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template makes of one context: the subject, and both parts encoded, in pieces."""

    subject: str
    html: list[str]
    text: list[str]


class CompiledTemplate:
    """One template version, ready to render, by one thread at a time.

    Without `tracked` its links stay as they were written; render it with `links` and `pixel` empty.
    Raises TemplateFault when it cannot be compiled. `clock`: CPU seconds, from any start.
    """

    def __init__(
        self,
        template: Template,
        clock: Callable[[], float] = time.thread_time,
        *,
        tracked: bool = True,
    ) -> None:
        self.name, self.tracked = template.name, tracked
        self._meter = Meter(clock)
        self._slow = 0
        self._variants: dict[str, jinja2.Template] = {}
        try:
            sources = sources_of(template, tracked=tracked)
            html = PartEnvironment(self._meter, sources.pages, autoescape=True)
            text = PartEnvironment(self._meter, sources.texts, autoescape=False)
            self._html, self._text = html.get_template(HTML), text.get_template(TEXT)
            self._lines = LineEnvironment(self._meter, {}, autoescape=False)
            self._subject = self._lines.from_string(template.subject)
            self._preheader = self._lines.from_string(template.preheader)
        except (BadLinks, BadStyles, UnicodeEncodeError) as error:
            raise TemplateFault(f"template {template.name}: {error}") from error
        except TemplateError as error:
            raise compile_fault(template.name, error) from error

    def render(
        self,
        context: Mapping[str, Any],
        *,
        subject: str,
        disclaimer: Printed,
        unsubscribe_url: Printed,
        links: Printed,
        pixel: str,
    ) -> Rendered:
        """Subject, HTML and text. Raises TemplateFault.

        `subject` is a variant's own source, empty for the template's. `links` is the address that
        a link's number is put behind; `pixel` is the address of the pixel, empty for none.
        """
        if self._slow >= SLOW_AT_MOST:
            raise TemplateFault(
                f"template {self.name}: it is given up, {SLOW_AT_MOST} mails took too long: "
                "look at its loops"
            )
        self._meter.start()
        part = "subject"
        try:
            given = {**self._lines.globals, **context, "unsubscribe_url": unsubscribe_url.text}
            line = joined(_pieces(self._subject_of(subject), given)).strip(" ")
            part = "preheader"
            given["preheader"] = joined(_pieces(self._preheader, given))
            part = HTML
            given |= {
                "disclaimer": disclaimer.html, "unsubscribe_url": unsubscribe_url.html,
                TRACKED: links.html, "pixel": ready_markup(pixel),
            }  # fmt: skip
            html = ended(_pieces(self._html, given))
            part = TEXT
            given |= {
                "disclaimer": disclaimer.text, "unsubscribe_url": unsubscribe_url.text,
                TRACKED: links.text,
            }  # fmt: skip
            del given["pixel"]
            text = ended(_pieces(self._text, given))
        except Exception as error:
            # Whatever goes wrong inside of a template is this recipient's alone.
            self._slow += isinstance(error, TookTooLong)
            raise render_fault(self.name, part, error) from error
        return Rendered(line, html, text)

    def _subject_of(self, source: str) -> jinja2.Template:
        """A variant's own subject, compiled once."""
        if not source:
            return self._subject
        known = self._variants.get(source)
        if known is None:
            known = self._variants[source] = self._lines.from_string(source)
        return known


def _pieces(template: jinja2.Template, given: dict[str, Any]) -> list[str]:
    """What the template makes, in the pieces it is written in, unless it becomes too long.

    `Template.generate` without its copies of what is given, which must hold the globals.
    """
    environment = template.environment
    try:
        context = Context(environment, given, template.name, template.blocks)
        return pieces_of(template.root_render_func(context))
    except Exception:  # noqa: BLE001 - raised again, with the lines of the template
        environment.handle_exception()
