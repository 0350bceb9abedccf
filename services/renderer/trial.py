"""The trial render before a launch: every variant and every edition, with made-up people.

A template fault stops the send here, not in front of its audience.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from services.renderer.book import Book
from services.renderer.disclaimers import what_is_missing
from services.renderer.preparing import prepare
from services.renderer.rendering import Signing, render
from services.renderer.template_faults import TemplateFault
from services.renderer.templates import CompiledTemplate
from shared.programme.definitions import Areas, Campaign, Send, Template
from shared.wire.batches import Recipient

SAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "somebody": {
        "first_name": "Ailsa", "last_name": "Muir", "name": "Ailsa Muir", "language": "en",
        "postcode": "FK2 7AA", "attributes": {},
    },
    "somebody without a name": {
        "first_name": "", "last_name": "", "name": "", "language": "en", "postcode": "",
        "attributes": {},
    },
}  # fmt: skip
"""Supporters by what they are called in a fault."""

_DATE: Final = "Mon, 04 May 2026 09:00:00 +0000"
_NOBODY: Final = str(uuid.UUID(int=0))


def trial(
    book: Book, send_name: str, signing: Signing, pinned: Mapping[str, str] | None = None
) -> list[str]:
    """What would go wrong with a send of the programme; empty when all is well.

    `pinned` is that of the order (`"<kind>/<name>"` to version); what is not in it is taken in its
    newest version. Raises RetryLater while a definition has not arrived.
    """

    def version(kind: str, name: str) -> str:
        return (pinned or {}).get(f"{kind}/{name}", "")

    campaigns = [v for name, v in (pinned or {}).items() if name.startswith("campaign/")]
    send = book.send(send_name, version("send", send_name))
    used = {variant.template for variant in send.variants}
    return trial_render(
        send,
        book.campaign(campaigns[0] if campaigns else ""),
        {name: book.template(name, version("template", name)) for name in used},
        book.areas(send.areas, version("areas", send.areas)) if send.areas else None,
        signing,
    )


def trial_render(
    send: Send,
    campaign: Campaign,
    templates: Mapping[str, Template],
    areas: Areas | None,
    signing: Signing,
    samples: Mapping[str, Mapping[str, Any]] = SAMPLES,
) -> list[str]:
    """What would go wrong, a sentence each: a disclaimer that is not complete, a template that
    cannot be compiled or rendered, a mail without disclaimer or way out in either part.
    """
    missing = what_is_missing(campaign)
    if missing:
        return [f"the campaign's disclaimer lacks {', '.join(missing)}: no mail may go without it"]
    faults: list[str] = []
    compiled: dict[str, CompiledTemplate] = {}
    for number, variant in enumerate(send.variants):
        name = variant.template
        try:
            template = compiled.get(name) or CompiledTemplate(
                templates[name], tracked=send.tracking
            )
            prepared = prepare(send, number, campaign, template)
        except TemplateFault as error:
            faults.append(f"variant {variant.name}: {error}")
            continue
        compiled[name] = template
        refusals: dict[str, list[str]] = {}
        for where, recipient in _recipients(send, variant.name, areas, samples):
            refusal = render(recipient, prepared, signing, _DATE).refusal
            if refusal is not None:
                refusals.setdefault(refusal, []).append(where)
        faults += [_sentence(refusal, places) for refusal, places in refusals.items()]
    return faults


def _sentence(refusal: str, places: Sequence[str]) -> str:
    """One fault, with the first place that has it and how many others do."""
    more = f" (and {len(places) - 1} more like it)" if len(places) > 1 else ""
    return f"{places[0]}: {refusal}{more}"


def _recipients(
    send: Send, variant: str, areas: Areas | None, samples: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Recipient]]:
    """A recipient for each edition and sample, with the words that say which it is."""
    for edition, area in _editions(areas).items():
        for who, supporter in samples.items():
            where = f"variant {variant}" + (f", edition {edition}" if edition else "") + f", {who}"
            yield where, Recipient(
                message_id=_NOBODY, send_id=send.name, send_version="", variant=variant,
                edition=edition, supporter_id=_NOBODY, address_key="0" * 32,
                to="somebody@example.org", pixel=send.pixel,
                merge={"supporter": supporter, "area": area},
            )  # fmt: skip


def _editions(areas: Areas | None) -> dict[str, dict[str, Any]]:
    """Area data by edition; the edition called "" is of people without an area of their own."""
    if areas is None:
        return {"": {}}
    without_area = {} if areas.default is None else {"": areas.default}
    return {**areas.by_code, **without_area}
