"""The trial render before a launch: every variant and every edition, with made-up people.

A template fault stops the send here, not in front of its audience.
"""

from __future__ import annotations

import uuid

from services.renderer.book import Book
from services.renderer.disclaimers import what_is_missing
from services.renderer.rendering import Signing, prepare, render
from services.renderer.templates import CompiledTemplate, TemplateFault
from shared.programme.definitions import Areas, Campaign, Send
from shared.wire.batches import Recipient

WELL_KNOWN = {
    "first_name": "Ailsa", "last_name": "Muir", "name": "Ailsa Muir", "language": "en",
    "postcode": "FK2 7AA", "attributes": {},
}  # fmt: skip
BARE = {
    "first_name": "", "last_name": "", "name": "", "language": "en", "postcode": "",
    "attributes": {},
}  # fmt: skip
DATE = "Mon, 04 May 2026 09:00:00 +0000"


def trial(book: Book, send_name: str, signing: Signing) -> list[str]:
    """What would go wrong, a sentence each; empty when all is well. Raises RetryLater."""
    send, campaign = book.send(send_name), book.campaign()
    missing = what_is_missing(campaign)
    if missing:
        return [f"the campaign's disclaimer lacks {', '.join(missing)}: no mail may go without it"]
    areas = book.areas(send.areas) if send.areas else None
    faults: list[str] = []
    for number, variant in enumerate(send.variants):
        try:
            template = CompiledTemplate(book.template(variant.template))
        except TemplateFault as error:
            faults.append(f"variant {variant.name}: {error}")
            continue
        faults.extend(_variant(send, number, campaign, template, areas, signing))
    return list(dict.fromkeys(faults))


def _variant(
    send: Send,
    number: int,
    campaign: Campaign,
    template: CompiledTemplate,
    areas: Areas | None,
    signing: Signing,
) -> list[str]:
    prepared = prepare(send, number, campaign, template)
    editions: dict[str, dict[str, object]] = {"": {}}
    if areas is not None:
        editions = dict(areas.by_code)
        if areas.default is not None:
            editions[""] = areas.default
    faults = []
    name = send.variants[number].name
    for edition, area in editions.items():
        for who, supporter in (("somebody", WELL_KNOWN), ("somebody without a name", BARE)):
            made = render(_recipient(send, name, edition, supporter, area), prepared, signing, DATE)
            where = f"variant {name}" + (f", edition {edition}" if edition else "") + f", {who}"
            if made.refusal is not None:
                faults.append(f"{where}: {made.refusal}")
    rendered = prepared.template.render(
        {
            **prepared.common, "supporter": WELL_KNOWN, "area": next(iter(editions.values())),
            "unsubscribe_url": "https://unsubscribe.invalid/u/x",
        },
        None, prepared.disclaimer, lambda n: f"https://link.invalid/{n}", "",
    ) if not faults else None  # fmt: skip
    if rendered is not None:
        for part, body in (("HTML", rendered.html), ("text", rendered.text)):
            if "https://unsubscribe.invalid/u/x" not in body:
                faults.append(f"variant {name}: no {{{{ unsubscribe_url }}}} in the {part} part")
            words = str(prepared.disclaimer[0 if part == "HTML" else 1])
            if words not in body:
                faults.append(f"variant {name}: no {{{{ disclaimer }}}} in the {part} part")
    return faults


def _recipient(
    send: Send, variant: str, edition: str, supporter: object, area: object
) -> Recipient:
    return Recipient(
        message_id=str(uuid.UUID(int=0)),
        send_id=send.name,
        send_version="",
        variant=variant,
        edition=edition,
        supporter_id=str(uuid.UUID(int=0)),
        address_key="0" * 32,
        to="somebody@example.org",
        merge={"supporter": supporter, "area": area},
    )
