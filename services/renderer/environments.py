"""The two environments of a mail's templates: plain lines, and parts that come out encoded.

What generated code calls hangs on the environment here; templates cannot reach it.
"""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import FunctionLoader

from services.renderer import quoted_printable
from services.renderer.compiling import MailCodeGenerator
from services.renderer.encoded_output import EncodedCodeGenerator, EncodedTemplate
from services.renderer.limits import Meter, bounded, joined
from services.renderer.template_faults import SOURCE
from shared.programme.template_language import TemplateEnvironment


class LineEnvironment(TemplateEnvironment):
    """For subject and preheader: the language of templates, with the bounds on a mail."""

    code_generator_class = MailCodeGenerator
    bounded, joined = staticmethod(bounded), staticmethod(joined)

    def __init__(self, meter: Meter, sources: Mapping[str, str], *, autoescape: bool) -> None:
        """The loader gives each source a file name, so that faults can say where they are."""

        def found(name: str) -> tuple[str, str, None] | None:
            return (sources[name], SOURCE + name, None) if name in sources else None

        super().__init__(autoescape=autoescape, loader=FunctionLoader(found))
        self.meter = meter


class PartEnvironment(LineEnvironment):
    """For the two parts, which come out encoded."""

    code_generator_class = EncodedCodeGenerator
    template_class = EncodedTemplate
    concat = staticmethod(quoted_printable.decoded)  # what `super()` joins is encoded
    encoded = staticmethod(quoted_printable.encoded)
    decoded = staticmethod(quoted_printable.decoded)
    values_text = staticmethod(quoted_printable.values_text)
    values_html = staticmethod(quoted_printable.values_html)
    written_text = staticmethod(quoted_printable.written_text)
    written_html = staticmethod(quoted_printable.written_html)
