"""A template whose tags say where they are written, so that what is found in a rendered mail can be
told by source and line.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from shared.programme.definitions import Template
from shared.programme.html_links import written_tags
from shared.programme.links import TEXT_ENDING

MARK: Final = "data-at"
_PLACE: Final = re.compile(r"(.+):(\d+)")


class Place(NamedTuple):
    """Where a tag is written. `part`: "html", or the name of a partial."""

    part: str
    line: int


def marked(template: Template) -> Template:
    """The template with a mark in each start tag of its HTML sources. Links keep their numbers."""
    partials = {
        name: source if name.endswith(TEXT_ENDING) else _marked(name, source)
        for name, source in template.partials.items()
    }
    return template.model_copy(
        update={"html": _marked("html", template.html), "partials": partials}
    )


def read_mark(mark: str | None) -> Place | None:
    """The place that a mark names."""
    found = _PLACE.fullmatch(mark or "")
    return Place(found[1], int(found[2])) if found else None


def _marked(part: str, source: str) -> str:
    pieces: list[str] = []
    at = 0
    for tag in written_tags(source):
        line = source.count("\n", 0, tag.name_end) + 1
        pieces += [source[at : tag.name_end], f' {MARK}="{part}:{line}"']
        at = tag.name_end
    return "".join(pieces) + source[at:]
