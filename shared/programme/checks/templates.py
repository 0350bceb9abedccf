"""Checks of a template as a whole: what its sources use of each other, what every mail must show,
and its links.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jinja2 import nodes

from shared.programme.checks.page_sources import page_flaws, text_flaws
from shared.programme.checks.template_sources import (
    Flaw,
    check_line,
    field_flaws,
    parts_of,
    path_of,
    tree_of,
    unknown_names,
)
from shared.programme.definitions import Template
from shared.programme.findings import Catalogue, Finding
from shared.programme.links import TEXT_ENDING, link_problems
from shared.programme.problems import no_such
from shared.programme.template_flow import names_always_shown
from shared.programme.template_language import (
    MERGE_DATA,
    PROVIDED,
    attributes_guarded,
    names_bound,
    names_needed,
    names_set,
    references,
)

CLIPPED_AT: Final = 100_000
"""Bytes of HTML after which much web mail cuts a message off, unsubscribe link and all."""

_REQUIRED: Final = {
    "unsubscribe_url": "every mail must offer a way out: link to {{ unsubscribe_url }}",
    "disclaimer": "every mail must say who is behind it: write {{ disclaimer }}",
}

_RESERVED: Final = frozenset({"html", "text", "mail.html.j2", "mail.txt.j2"})
"""What the two parts are called themselves."""

Trees = dict[str, nodes.Template]


def check_template(template: Template, catalogue: Catalogue) -> Iterator[Finding]:
    """One template with its partials."""
    for field in ("subject", "preheader"):
        source = getattr(template, field)
        yield from check_line("template", template.name, (field,), source)
    if not template.subject.strip():
        yield Finding("template", template.name, ("subject",), "`subject` is empty", "write one")
    trees: Trees = {}
    for part, flaw in _flaws(template, catalogue, trees):
        path = path_of(part)
        yield Finding(
            "template", template.name, path, flaw.message, flaw.hint, flaw.warning, flaw.line
        )


def _flaws(template: Template, catalogue: Catalogue, trees: Trees) -> Iterator[tuple[str, Flaw]]:
    """Every flaw with its part; `trees` is filled with what can be read."""
    sources = parts_of(template)
    for name in sorted(_RESERVED & set(template.partials)):
        yield name, Flaw(f'a shared source cannot be called "{name}"', "give it another name")
    for part, source in sources.items():
        tree, flaws = tree_of(source)
        yield from ((part, flaw) for flaw in flaws)
        if tree is not None:
            trees[part] = tree
    known = catalogue.partials | set(template.partials)
    for part in trees:
        yield from ((part, flaw) for flaw in _reference_flaws(part, template, trees, known))
    for main in ("html", "text"):
        yield from _family_flaws(main, trees)
    # Links are numbered over all parts, so they are only looked at when all parts can be read.
    if len(trees) == len(sources):
        for part, line, message, hint in link_problems(template):
            yield part, Flaw(message, hint, line)
    for part, source in sources.items():
        yield from ((part, flaw) for flaw in _looks(part, source))
    kilobytes = len(template.html.encode()) // 1000
    if kilobytes * 1000 > CLIPPED_AT:
        hint = f"stay below {CLIPPED_AT // 1000} kB: web mail cuts off what is longer"
        yield "html", Flaw(f"the HTML has {kilobytes} kB", hint, warning=True)


def _reference_flaws(
    part: str, template: Template, trees: Trees, known: set[str] | frozenset[str]
) -> Iterator[Flaw]:
    """Other sources that this one names: they must be there, fit the part, and see their data."""
    for reference, node in references(trees[part]):
        if reference is None:
            hint = 'write it like {% include "name.html.j2" %}'
            yield Flaw("the name of a source must be written out", hint, node.lineno)
        elif reference not in template.partials:
            message, hint = no_such("shared source", reference, known)
            hint += " (shared sources are the files in templates/_shared, by their bare names)"
            yield Flaw(message, hint, node.lineno)
        elif _is_text(part) != _is_text(reference):
            message = f'"{reference}" belongs to the {"text" if _is_text(reference) else "HTML"}'
            hint = f"shared sources of the text part end in {TEXT_ENDING}, no others do"
            yield Flaw(f"{message} part, and this is the other", hint, node.lineno)
        elif reference in trees and getattr(node, "with_context", True) is False:
            # Such an import sees no merge data, nor the function that tracks links.
            for name in sorted(names_needed(trees[reference]))[:1]:
                message = f'"{reference}" uses `{name}`, which this import does not see'
                yield Flaw(message, "add `with context`, or hand it over", node.lineno)
    if circle := _circle(part, trees):
        message = f"sources use each other in a circle: {' -> '.join(circle)}"
        yield Flaw(message, "break the circle")


def _family_flaws(main: str, trees: Trees) -> Iterator[tuple[str, Flaw]]:
    """Names used in the HTML or the text part, and what that part must show."""
    family = _family(main, trees)
    if main not in family:
        return
    known = MERGE_DATA | PROVIDED
    set_on_top = frozenset[str]().union(*(names_set(tree) for tree in family.values()))
    bound = frozenset[str]().union(*(names_bound(tree) for tree in family.values()))
    guarded = set[str]().union(*(attributes_guarded(tree) for tree in family.values()))
    for part, tree in family.items():
        visible = known | (set_on_top if part == main else bound)
        yield from ((part, flaw) for flaw in unknown_names(tree, visible))
        yield from ((part, flaw) for flaw in field_flaws(tree, guarded))
    if any(name not in trees for tree in family.values() for name, _ in references(tree)):
        return
    shown = names_always_shown(main, family)
    for word, why in _REQUIRED.items():
        if word not in shown:
            somewhere = any(word in names_needed(tree) for tree in family.values())
            missing = "is not shown in every mail" if somewhere else "is missing"
            yield main, Flaw(f"{{{{ {word} }}}} {missing}, in the {main} part", why)


def _family(main: str, trees: Trees) -> Trees:
    """The source and all it refers to, directly or not."""
    found: Trees = {}
    waiting = [main]
    while waiting:
        part = waiting.pop()
        if part in trees and part not in found:
            found[part] = trees[part]
            waiting += [name for name, _ in references(trees[part]) if name]
    return found


def _circle(start: str, trees: Trees) -> list[str] | None:
    """A way from a source back to itself, told once: from the first of its sources by name."""
    ways: list[list[str]] = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for reference, _ in references(trees[way[-1]]):
            if reference == start:
                return [*way, start] if start == min(way) else None
            if reference in trees and reference not in seen:
                seen.add(reference)
                ways.append([*way, reference])
    return None


def _looks(part: str, source: str) -> Iterator[Flaw]:
    return text_flaws(source) if _is_text(part) else page_flaws(source)


def _is_text(part: str) -> bool:
    return part == "text" or part.endswith(TEXT_ENDING)
