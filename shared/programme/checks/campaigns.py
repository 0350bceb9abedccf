"""Checks of the campaign: who speaks, and what every mail must carry."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from shared.programme.checks.wording import (
    Wrong,
    bad_address,
    bad_language,
    bad_slug,
    bad_webhook_url,
    bad_word,
    bad_zone,
    refuses_replies,
)
from shared.programme.definitions import Campaign
from shared.programme.findings import Finding
from shared.programme.problems import no_such
from shared.programme.shapes import Path
from shared.wire.events import MEANING

_DOMAIN: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
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
    for path, (message, hint) in (*_wrong_choices(campaign), *_wrong_webhooks(campaign)):
        yield Finding("campaign", campaign.name, path, f"`{path[0]}`: {message}", hint)
    yield from _check_warm_up(campaign)
    yield from _check_providers(campaign)
    if refuses_replies(campaign.reply_to):
        yield Finding(
            "campaign",
            campaign.name,
            ("reply_to",),
            "`reply_to` tells people not to answer",
            "use an address somebody reads: answers are the best thing a campaign gets",
            warning=True,
        )


def _check_warm_up(campaign: Campaign) -> Iterator[Finding]:
    """Domains that could not be meant, and days on which nothing could go."""
    sending = campaign.from_address.rpartition("@")[2].casefold()
    for domain, warm_up in campaign.warm_up.items():
        path: Path = ("warm_up", domain)
        if not _DOMAIN.fullmatch(domain):
            message = f'`warm_up`: "{domain}" is no domain'
            hint = f"write the domain that mails come from, in small letters: {sending}"
            yield Finding("campaign", campaign.name, path, message, hint)
        elif domain != sending:
            message = f"`warm_up`: {domain} is not the domain of `from_address`, which is {sending}"
            hint = "it limits nothing: take it out, or mend the name"
            yield Finding("campaign", campaign.name, path, message, hint, warning=True)
        for number, most in enumerate(warm_up.days):
            if most < 1:
                message = f"`days`: on day {number + 1} {most} mails could go"
                at: Path = (*path, "days", number)
                yield Finding("campaign", campaign.name, at, message, "write at least 1")


def _check_providers(campaign: Campaign) -> Iterator[Finding]:
    """Domains that are none, or two providers'."""
    owner: dict[str, str] = {}
    for name, provider in campaign.providers.items():
        for number, domain in enumerate(provider.domains):
            path: Path = ("providers", name, "domains", number)
            if not _DOMAIN.fullmatch(domain):
                message, hint = f'`domains`: "{domain}" is no domain', "write it as gmail.com"
                yield Finding("campaign", campaign.name, path, message, hint)
            elif domain in owner:
                message = f"`domains`: {domain} belongs to {owner[domain]} already"
                yield Finding("campaign", campaign.name, path, message, "name it once")
            owner.setdefault(domain, name)


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


def _wrong_choices(campaign: Campaign) -> Iterator[tuple[Path, tuple[str, str]]]:
    """What is wrong with what people choose among on the preference page."""
    hint = "write what people are to read on the preference page"
    for field, names, bad in (
        ("topics", campaign.topics, bad_word),
        ("languages", campaign.languages, bad_language),
    ):
        for name, title in names.items():
            if wrong := bad(name):
                yield (field, name), wrong
            elif not title.strip() or "\n" in title:
                yield (field, name), (f'"{name}" has no words, or several lines of them', hint)
    if campaign.languages and campaign.language not in campaign.languages:
        said = f'the campaign\'s own language "{campaign.language}" is not among them'
        yield ("languages",), (said, "add it, so that people can choose it again")


def _wrong_webhooks(campaign: Campaign) -> Iterator[tuple[Path, tuple[str, str]]]:
    """Names, addresses and kinds of events of those who are told."""
    counts = Counter(webhook.name for webhook in campaign.webhooks)
    for index, webhook in enumerate(campaign.webhooks):
        at = ("webhooks", index)
        if wrong := bad_slug(webhook.name):
            yield (*at, "name"), wrong
        elif counts[webhook.name] > 1:
            yield (*at, "name"), (f'two webhooks are called "{webhook.name}"', "rename one")
        if wrong := bad_webhook_url(webhook.url):
            yield (*at, "url"), wrong
        for kind in webhook.events:
            if kind not in MEANING:
                yield (*at, "events"), no_such("kind of event", kind, MEANING)
        for action in webhook.actions:
            if wrong := bad_word(action):
                yield (*at, "actions"), wrong
        if webhook.actions and "acted" not in webhook.events:
            hint = "add `acted` to its events, or leave its actions out"
            yield (*at, "actions"), ("actions are told as `acted`, which it is not told of", hint)


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
