"""Builds a small, whole, right programme as files; tests change one thing and look."""

from __future__ import annotations

from shared.programme.parsing import parse_programme
from shared.programme.problems import Problem, ProgrammeErrors
from shared.programme.programme import Programme

CAMPAIGN = """\
name: small
organisation: Small Campaign
from_name: Small Campaign
from_address: hello@small.example.org
reply_to: office@small.example.org
postal_address: 1 Test Lane
disclaimer:
  jurisdiction: uk
  promoter: A. Person
  promoter_address: 1 Test Lane
"""
AREAS = """\
kind: postcode_sector
default: {venue: the office}
by_code:
  FK1 1: {venue: the hall}
  FK2 7: {venue: the barn}
"""
SEGMENT = """\
where:
  all:
    - tag: supporter
    - did_not: volunteered
"""
HEAD = """\
subject: Hello
preheader: Come along
"""
HTML = """\
<p>Hello {{ supporter.first_name }}</p>
<a href="https://example.org/join">Join</a>
<a href="{{ unsubscribe_url }}">Leave</a>
{{ disclaimer }}
"""
TEXT = """\
Hello {{ supporter.first_name }}
https://example.org/join
{{ unsubscribe_url }}
{{ disclaimer }}
"""
SEND = """\
segment: everyone
variants:
  - name: only
    template: ask
"""


def files(**changed: str | bytes | None) -> dict[str, bytes]:
    """The files, with some changed or added by path (`/` and `.` as in the path); None removes."""
    texts: dict[str, str | bytes | None] = {
        "campaign.yaml": CAMPAIGN,
        "areas/places.yaml": AREAS,
        "segments/everyone.yaml": SEGMENT,
        "templates/ask/template.yaml": HEAD,
        "templates/ask/mail.html.j2": HTML,
        "templates/ask/mail.txt.j2": TEXT,
        "sends/ask.yaml": SEND,
        **changed,
    }
    return {
        path: text.encode() if isinstance(text, str) else text
        for path, text in texts.items()
        if text is not None
    }


def parse(changes: dict[str, str | bytes | None] | None = None) -> Programme:
    """The small programme with changes."""
    return parse_programme(files(**(changes or {})))


def problems(changes: dict[str, str | bytes | None]) -> list[Problem]:
    """What is wrong with the small programme after changes; empty when nothing is."""
    try:
        parse(changes)
    except ProgrammeErrors as errors:
        return list(errors.problems)
    return []


def warnings(changes: dict[str, str | bytes | None]) -> list[str]:
    """Messages of the warnings after changes that leave the programme right."""
    return [problem.message for problem in parse(changes).warnings]


def said(changes: dict[str, str | bytes | None]) -> str:
    """All problems after changes, as a producer sees them."""
    return "\n".join(str(problem) for problem in problems(changes))
