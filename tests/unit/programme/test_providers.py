"""Mailbox providers: read from campaign.yaml, checked, and whose an address is."""

from __future__ import annotations

import pytest

from shared.programme.definitions import Campaign
from shared.programme.providers import Providers
from tests.unit.programme.small_programme import CAMPAIGN, parse, said

PROVIDERS = """\
providers:
  gmail: {domains: [gmail.com, googlemail.com], rate: 20}
  yahoo: {domains: [yahoo.com, yahoo.co.uk], rate: 2.5}
  uk: {domains: [uk], rate: 9}
"""


def campaign(text: str) -> dict[str, str | bytes | None]:
    return {"campaign.yaml": CAMPAIGN + text}


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        ("ada@gmail.com", "gmail"),
        ("Ada@Mail.GMAIL.com", "gmail"),
        ("ada@yahoo.co.uk", "yahoo"),
        ("ada@notgmail.com", None),
        ("ada@gmail.com.example.org", None),
        ("", None),
    ],
)
def test_an_address_belongs_to_the_longest_end_of_its_domain(
    address: str, provider: str | None
) -> None:
    text = PROVIDERS.replace("  uk: {domains: [uk], rate: 9}\n", "")
    [made] = [d for d in parse(campaign(text)).definitions if isinstance(d, Campaign)]
    providers = Providers.of_campaign(made.model_dump(mode="json"))
    assert providers.of(address) == provider
    assert providers.rates == {"gmail": 20.0, "yahoo": 2.5}
    assert Providers.of_campaign({}).of(address) is None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (PROVIDERS, '"uk" is no domain'),
        (PROVIDERS.replace("yahoo.com,", "gmail.com,"), "gmail.com belongs to gmail already"),
        (PROVIDERS.replace("20", "0"), "`rate`: must be more than 0"),
        (PROVIDERS.replace("[gmail.com, googlemail.com]", "[]"), "`domains`: must not be empty"),
    ],
)
def test_what_cannot_be_meant_is_said(wrong: str, sentence: str) -> None:
    assert sentence in said(campaign(wrong))
