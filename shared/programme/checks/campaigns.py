"""Checks of the campaign: who speaks, and what every mail must carry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from shared.programme.checks.wording import (
    Wrong,
    bad_address,
    bad_language,
    bad_zone,
    refuses_replies,
)
from shared.programme.definitions import Campaign
from shared.programme.findings import Finding
from shared.programme.shapes import Path

_CONFIGURATION_SET: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_campaign(campaign: Campaign) -> Iterator[Finding]:
    """Addresses, words and the disclaimer of one campaign."""
    for field, (message, hint) in _wrong_words(campaign):
        path: Path = (field,)
        yield Finding("campaign", campaign.name, path, f"`{field}`: {message}", hint)
    for index, address in enumerate(campaign.seeds):
        if wrong := bad_address(address):
            message, hint = wrong
            yield Finding("campaign", campaign.name, ("seeds", index), f"`seeds`: {message}", hint)
    for field, hint in _missing_in_disclaimer(campaign):
        path = ("disclaimer", field)
        yield Finding("campaign", campaign.name, path, f"`disclaimer.{field}` is missing", hint)
    if refuses_replies(campaign.reply_to):
        yield Finding(
            "campaign",
            campaign.name,
            ("reply_to",),
            "`reply_to` tells people not to answer",
            "use an address somebody reads: answers are the best thing a campaign gets",
            warning=True,
        )


def _wrong_words(campaign: Campaign) -> Iterator[tuple[str, tuple[str, str]]]:
    """Fields whose text cannot be right, with message and hint."""
    checks: dict[str, Wrong] = {
        "from_address": bad_address(campaign.from_address),
        "reply_to": bad_address(campaign.reply_to),
        "timezone": bad_zone(campaign.timezone),
        "language": bad_language(campaign.language),
    }
    yield from ((field, wrong) for field, wrong in checks.items() if wrong)
    for field in ("organisation", "from_name", "postal_address"):
        if not getattr(campaign, field).strip():
            yield field, ("it is empty", "every mail shows it")
    if "\n" in campaign.from_name:
        yield "from_name", ("it has several lines", "write one line")
    if not _CONFIGURATION_SET.fullmatch(campaign.configuration_set):
        message = f'"{campaign.configuration_set}" cannot be one'
        yield "configuration_set", (message, "SES allows letters, digits, _ and -, at most 64")


def _missing_in_disclaimer(campaign: Campaign) -> Iterator[tuple[str, str]]:
    """Fields that the jurisdiction asks for and that are empty, with the reason."""
    disclaimer = campaign.disclaimer
    if disclaimer.jurisdiction == "uk":
        imprint = "the imprint needs the promoter's name and postal address (Elections Act 2022)"
        for field in ("promoter", "promoter_address"):
            if not getattr(disclaimer, field).strip():
                yield field, imprint
        if disclaimer.on_behalf_of.strip() and not disclaimer.on_behalf_of_address.strip():
            yield "on_behalf_of_address", "the imprint needs the address of whom it is on behalf of"
    elif disclaimer.jurisdiction == "none" and not disclaimer.reason.strip():
        yield "reason", "say why these mails need no disclaimer, for the record"
