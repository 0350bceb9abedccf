"""The layout of a programme's folder: which file is part of which definition.

Decides by paths alone, so that a misplaced or misspelled file is named instead of overlooked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from shared.programme.problems import Problem, did_you_mean, nearest_word

CAMPAIGN: Final = "campaign.yaml"
SHARED: Final = "_shared"
FOLDERS: Final = {"areas": "areas", "segments": "segment", "templates": "template", "sends": "send"}
TEMPLATE_FILES: Final = ("template.yaml", "mail.html.j2", "mail.txt.j2")

_ENDINGS: Final = {"areas": (".yaml", ".csv"), "segments": (".yaml",), "sends": (".yaml",)}


class Slot(NamedTuple):
    """What a file is: a `role` of the definition `name` of a kind.

    Role: the ending of a YAML or CSV file, a name of TEMPLATE_FILES, or "partial".
    """

    kind: str
    name: str
    role: str


@dataclass(slots=True)
class Layout:
    """The files of a programme by kind and name, then by role; `errors` and `warnings` are about
    the files that are none of these.
    """

    files: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def names(self, kind: str) -> list[str]:
        """Names of the definitions of that kind that have any file."""
        return sorted(name for each, name in self.files if each == kind)

    def roles(self, kind: str, name: str) -> Mapping[str, str]:
        """The files of one definition by role."""
        return self.files.get((kind, name), {})


def lay_out(paths: Iterable[str]) -> Layout:
    """Sort the files of a folder, given by paths relative to it, with `/`.

    Hidden files and Markdown are nobody's business.
    """
    layout = Layout()
    for path in sorted(paths):
        parts = PurePosixPath(path).parts
        if any(part.startswith(".") for part in parts) or path.lower().endswith(".md"):
            continue
        slot = _slot(parts)
        if slot is not None:
            layout.files.setdefault((slot.kind, slot.name), {})[slot.role] = path
        else:
            _note_stranger(path, parts, layout)
    return layout


def parts_missing(layout: Layout) -> Iterator[Problem]:
    """Definitions of which a file is missing."""
    for name in layout.names("template"):
        there = layout.roles("template", name)
        for role in TEMPLATE_FILES:
            if role not in there:
                folder = f"templates/{name}"
                yield Problem(folder, None, None, f"{role} is missing", _TEMPLATE_PARTS[role])
    for name in layout.names("areas"):
        if ".yaml" not in layout.roles("areas", name):
            message = f"areas/{name}.yaml is missing: the table has rows, but no kind of area"
            hint = f"write areas/{name}.yaml with `kind:`, and `default:` for everybody else"
            yield Problem(f"areas/{name}.csv", None, None, message, hint)


_TEMPLATE_PARTS: Final = {
    "template.yaml": "write it with `subject:` and `preheader:`",
    "mail.html.j2": "every mail has an HTML part",
    "mail.txt.j2": "every mail has a text part: write it, do not let a program guess",
}


def _slot(parts: tuple[str, ...]) -> Slot | None:
    match parts:
        case (name,) if name == CAMPAIGN:
            return Slot("campaign", "", ".yaml")
        case ("areas" | "segments" | "sends" as folder, file):
            path = PurePosixPath(file)
            if path.suffix in _ENDINGS[folder]:
                return Slot(FOLDERS[folder], path.stem, path.suffix)
        case ("templates", folder, file) if folder == SHARED and file.endswith(".j2"):
            return Slot("partial", file, "partial")
        case ("templates", name, file) if name != SHARED and file in TEMPLATE_FILES:
            return Slot("template", name, file)
    return None


def _note_stranger(path: str, parts: tuple[str, ...], layout: Layout) -> None:
    """A file that is part of nothing: an error if it was likely meant to be, else a warning."""
    top = parts[0]
    if len(parts) == 1:
        hint = did_you_mean(top, [CAMPAIGN])
    elif top not in FOLDERS:
        nearest = nearest_word(top, FOLDERS)
        hint = f'did you mean the folder "{nearest}"?' if nearest else ""
    elif top == "templates":
        hint = _hint_in_templates(parts)
    else:
        likely = PurePosixPath(path).suffix.lower() in (".yml", ".yaml", ".csv", ".json")
        wanted = " or ".join(f"{top}/NAME{ending}" for ending in _ENDINGS[top])
        hint = f"files here are called {wanted}, without folders" if likely else ""
    message = "this file is not part of the programme"
    kept = layout.errors if hint else layout.warnings
    kept.append(Problem(path, None, None, message, hint or "it is left out"))


def _hint_in_templates(parts: tuple[str, ...]) -> str:
    if len(parts) == 3 and parts[1] == SHARED:
        return f"shared sources end in .j2: call it {parts[2]}.j2"
    if len(parts) == 3:
        nearest = did_you_mean(parts[2], TEMPLATE_FILES)
        likely = parts[2].endswith((".j2", ".html", ".txt", ".yaml", ".yml"))
        return nearest or (f"files here are {', '.join(TEMPLATE_FILES)}" if likely else "")
    return "templates are templates/NAME/ with " + ", ".join(TEMPLATE_FILES)
