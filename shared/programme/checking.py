"""All checks over a whole programme: each definition by itself, and what they say of each other.

Pure; works on definitions wherever they come from. `reading` adds files and lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import assert_never

from shared.programme.checks.areas import check_areas
from shared.programme.checks.campaigns import check_campaign
from shared.programme.checks.rules import check_segment
from shared.programme.checks.sends import check_send
from shared.programme.checks.templates import check_template
from shared.programme.checks.wording import bad_slug
from shared.programme.definitions import Areas, Campaign, Definition, Segment, Send, Template
from shared.programme.findings import Catalogue, Finding, Key, catalogue_of, key_of


def check_programme(
    definitions: Iterable[Definition],
    also_there: frozenset[Key] = frozenset(),
    partials: frozenset[str] = frozenset(),
) -> tuple[Finding, ...]:
    """Everything wrong or doubtful, each once.

    `also_there`: definitions that exist but could not be read, so that naming them is no second
    error. `partials`: names of shared sources beyond those the templates hold already.
    """
    definitions = tuple(definitions)
    catalogue = catalogue_of(definitions, also_there, partials)
    findings = [*_check_keys(definitions, also_there)]
    for definition in definitions:
        findings += check_definition(definition, catalogue)
    return tuple(dict.fromkeys(findings))


def check_definition(definition: Definition, catalogue: Catalogue) -> Iterator[Finding]:
    """One definition, seen within the programme it belongs to."""
    match definition:
        case Campaign():
            yield from check_campaign(definition)
        case Areas():
            yield from check_areas(definition)
        case Segment():
            yield from check_segment(definition, catalogue)
        case Template():
            yield from check_template(definition, catalogue)
        case Send():
            yield from check_send(definition, catalogue)
        case _:
            assert_never(definition)


def _check_keys(
    definitions: tuple[Definition, ...], also_there: frozenset[Key]
) -> Iterator[Finding]:
    counts = Counter(key_of(definition) for definition in definitions)
    for kind, name in sorted({*counts, *also_there}):
        if name and (wrong := bad_slug(name)):
            yield Finding(kind, name, ("name",), *wrong)
    for (kind, name), count in counts.items():
        if count > 1:
            yield Finding(kind, name, ("name",), f'two {kind} definitions "{name}"', "rename one")
    campaigns = [name for kind, name in {*counts, *also_there} if kind == "campaign"]
    if not campaigns:
        hint = "write campaign.yaml: who speaks, from which address, with which disclaimer"
        yield Finding("campaign", "", (), "there is no campaign", hint)
    elif len(campaigns) > 1:
        message = f"several campaigns: {', '.join(sorted(campaigns))}"
        yield Finding("campaign", campaigns[0], ("name",), message, "a programme has exactly one")
