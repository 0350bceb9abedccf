"""Checks of one Jinja source: syntax, the names it uses, and their fields.

Everything is read from the syntax tree; nothing is rendered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from jinja2 import TemplateError, TemplateSyntaxError, nodes

from shared.programme.definitions import Template
from shared.programme.findings import Finding
from shared.programme.problems import did_you_mean, no_such
from shared.programme.shapes import Path
from shared.programme.template_language import (
    CAMPAIGN_FIELDS,
    MERGE_DATA,
    SEND_FIELDS,
    SUPPORTER_FIELDS,
    TRACKED,
    attributes_guarded,
    attributes_used,
    fields_guarded,
    fields_used,
    names_needed,
    parse,
    references,
    unknown_words,
)

_FIELDS: Final = {
    "campaign": CAMPAIGN_FIELDS,
    "send": SEND_FIELDS,
    "supporter": SUPPORTER_FIELDS,
}
_LOOK: Final = "look at this line and the ones before it"


class Flaw(NamedTuple):
    """Something wrong in a source, or with `warning` only doubtful. `line` counts from 1."""

    message: str
    hint: str
    line: int | None = None
    warning: bool = False


class Use(NamedTuple):
    """Where a template shows something."""

    part: str
    line: int

    def __str__(self) -> str:
        return f"{self.part}, line {self.line}"


class Uses(NamedTuple):
    """What a template shows without a default: fields of the area, and the deadline."""

    area: dict[str, Use]
    deadline: Use | None


def tree_of(source: str) -> tuple[nodes.Template | None, list[Flaw]]:
    """The syntax tree, None when Jinja cannot read the source; and what is wrong with it."""
    try:
        tree = parse(source)
        names_needed(tree)
    except TemplateSyntaxError as error:
        return None, [Flaw(str(error.message), _LOOK, error.lineno)]
    except (TemplateError, RecursionError) as error:
        return None, [Flaw(f"cannot be compiled: {error}", "say it in simpler parts")]
    unknown = unknown_words(tree)
    return tree, [Flaw(*no_such(what, word, known), line) for what, word, known, line in unknown]


def parts_of(template: Template) -> dict[str, str]:
    """The sources of both parts: "html", "text", and the partials by name."""
    return {"html": template.html, "text": template.text, **template.partials}


def path_of(part: str) -> Path:
    """The path of a part in the model."""
    return (part,) if part in ("html", "text") else ("partials", part)


def check_line(kind: str, name: str, path: Path, source: str) -> Iterator[Finding]:
    """A subject or preheader: one line that names merge data only."""
    tree, flaws = tree_of(source)
    if "\n" in source.strip():
        flaws.append(Flaw("has several lines", "write one line"))
    if tree is not None:
        flaws += unknown_names(tree, MERGE_DATA)
        flaws += field_flaws(tree, attributes_guarded(tree))
        if any(references(tree)):
            flaws.append(Flaw("cannot use other sources", "write the text itself"))
    for flaw in flaws:
        yield Finding(kind, name, path, f"`{path[-1]}`: {flaw.message}", flaw.hint, flaw.warning)


def unknown_names(tree: nodes.Template, known: frozenset[str]) -> Iterator[Flaw]:
    """Names that nobody will provide."""
    fields = {field: f"{root}.{field}" for root, names in _FIELDS.items() for field in names}
    for word, line in names_needed(tree).items():
        if word in known:
            continue
        if word == TRACKED:
            yield Flaw("`tracked` is put in by Doorstep", "write the address into href", line)
            continue
        nearest = f'did you mean "{fields[word]}"?' if word in fields else did_you_mean(word, known)
        others = f"known are {', '.join(sorted(known))}; data of the area is written area.{word}"
        yield Flaw(f"`{word}` is not known here", nearest or others, line)


def field_flaws(tree: nodes.Template, guarded_attributes: set[str]) -> Iterator[Flaw]:
    """Fields that do not exist, and attributes that some people lack."""
    for root, known in _FIELDS.items():
        for field, node in fields_used(tree, root):
            if field not in known:
                hint = did_you_mean(field, known) or f"fields are: {', '.join(sorted(known))}"
                if root == "supporter" and not did_you_mean(field, known):
                    hint += f"; attributes are written supporter.attributes.{field}"
                yield Flaw(f"`{root}.{field}`: there is no such field", hint, node.lineno)
    for field, node in attributes_used(tree):
        if field not in guarded_attributes:
            message = f"`supporter.attributes.{field}`: people without it get no mail"
            hint = f"write {{{{ supporter.attributes.{field} | default(...) }}}}"
            yield Flaw(message, hint, node.lineno, warning=True)


def uses_of(template: Template, subject: str = "") -> Uses:
    """What the template, with the subject of a variant, shows of the area and the send."""
    sources = parts_of(template) | {
        "subject": subject or template.subject,
        "preheader": template.preheader,
    }
    seen = {part: _seen_in(source) for part, source in sources.items()}
    guarded = frozenset[str]().union(*(each.guarded for each in seen.values()))
    area: dict[str, Use] = {}
    for part, each in seen.items():
        for field, line in each.area.items():
            if field not in guarded:
                area.setdefault(field, Use(part, line))
    deadlines = [Use(part, each.deadline) for part, each in seen.items() if each.deadline]
    return Uses(area, deadlines[0] if deadlines else None)


class _Seen(NamedTuple):
    """What one source shows: lines of area fields and of the deadline, and guarded fields."""

    area: Mapping[str, int]
    guarded: frozenset[str]
    deadline: int | None


@lru_cache(maxsize=1024)
def _seen_in(source: str) -> _Seen:
    tree, _ = tree_of(source)
    if tree is None:
        return _Seen({}, frozenset(), None)
    area: dict[str, int] = {}
    for field, node in fields_used(tree, "area"):
        area.setdefault(field, node.lineno)
    lines = [node.lineno for field, node in fields_used(tree, "send") if field == "deadline"]
    bare = lines and "deadline" not in fields_guarded(tree, "send")
    return _Seen(area, frozenset(fields_guarded(tree, "area")), lines[0] if bare else None)
