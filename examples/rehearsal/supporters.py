"""Made-up supporters on known postcodes: a CSV as a campaign would export it, warts and all.

Names by Faker with a fixed seed, addresses at example.org. About 4 % have given no consent, some
share an inbox, a few have postcodes nobody knows, a few rows are broken.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faker import Faker

COLUMNS = (
    "external_id", "email", "first_name", "last_name", "postcode", "language", "tags",
    "consent_wording", "consent_source", "consent_at", "attribute.pixel_consent",
)  # fmt: skip
WORDING = "Yes, email me about what is happening in my neighbourhood."


def write_supporters(path: Path, postcodes: list[str], count: int, seed: int = 1874) -> None:
    """Write `count` rows. The same arguments give the same file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(_rows(postcodes, count, seed))


def _rows(postcodes: list[str], count: int, seed: int) -> Iterator[dict[str, Any]]:
    dice = random.Random(seed)
    fake = Faker("en_GB")
    fake.seed_instance(seed)
    first_names = [fake.first_name() for _ in range(400)]
    last_names = [fake.last_name() for _ in range(600)]
    earlier = ""
    for number in range(1, count + 1):
        first, last = dice.choice(first_names), dice.choice(last_names)
        address = f"{first}.{last}.{number}@example.org".lower().replace("'", "").replace(" ", "")
        row = {
            "external_id": f"FV{number:06}",
            "email": address,
            "first_name": first,
            "last_name": last,
            "postcode": _spelling(dice, dice.choice(postcodes)),
            "language": "gd" if dice.random() < 0.01 else "en",
            "tags": "supporter" if dice.random() < 0.9 else "supporter;newsletter",
            "consent_wording": WORDING,
            "consent_source": "website sign-up",
            "consent_at": f"2026-0{dice.randint(1, 9)}-1{dice.randint(0, 9)}T12:00:00+00:00",
            "attribute.pixel_consent": "true" if dice.random() < 0.85 else "false",
        }
        yield _wart(dice, row, earlier)
        earlier = address


def _wart(dice: random.Random, row: dict[str, Any], earlier: str) -> dict[str, Any]:
    chance = dice.random()
    if chance < 0.04:
        return row | {"consent_wording": "", "consent_source": "", "consent_at": ""}
    if chance < 0.055 and earlier:
        return row | {"email": earlier}
    if chance < 0.06:
        return row | {"postcode": "FK99 9ZZ"}
    if chance < 0.0605:
        return row | {"email": "not an address"}
    return row


def _spelling(dice: random.Random, postcode: str) -> str:
    """Postcodes as people type them."""
    chance = dice.random()
    if chance < 0.1:
        return postcode.lower()
    if chance < 0.2:
        return postcode.replace(" ", "")
    return postcode
