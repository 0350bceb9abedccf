"""A small whole programme as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FILES = {
    "campaign.yaml": """\
name: forth
organisation: Forth Valley Together
from_name: Forth Valley Together
from_address: hello@example.org
reply_to: team@example.org
postal_address: 1 High Street, Falkirk
timezone: Europe/London
disclaimer:
  jurisdiction: none
  reason: a test
""",
    "segments/members.yaml": "description: Everybody who joined\nwhere:\n  tag: member\n",
    "templates/letter/template.yaml": "subject: Hello\n",
    "templates/letter/mail.html.j2": (
        "<p>Hello</p><p><a href='{{ unsubscribe_url }}'>No more</a></p>{{ disclaimer }}\n"
    ),
    "templates/letter/mail.txt.j2": "Hello\n{{ unsubscribe_url }}\n{{ disclaimer }}\n",
    "sends/ask.yaml": "segment: members\nvariants:\n  - {name: only, template: letter}\n",
}


def write_programme(folder: Path, changed: Mapping[str, str | None] | None = None) -> Path:
    """The files, with some changed (or left out)."""
    files: dict[str, str | None] = {**FILES, **(changed or {})}
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder
