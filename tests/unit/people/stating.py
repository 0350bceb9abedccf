"""Builders of statements and changes for tests of people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.segmenter.people.statements import Statement, read_statement
from shared.wire.supporters import Consent, SupporterChanged

NOON = datetime(2026, 5, 7, 12, 0, tzinfo=UTC)
SECRET = b"a secret of thirty-two bytes here"
ADA = "3b6f0c0e-8f1d-8c3a-9a51-0d6c1f2e3a4b"


def at(minutes: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def consent(minutes: float = 0) -> Consent:
    return Consent(wording="Yes, mail me", source="web form", at=at(minutes))


def change(minutes: float = 0, **stated: Any) -> SupporterChanged:
    """A change by an import, unless said otherwise."""
    stated = {"supporter_id": ADA, "stated_by": "import", "source": "crm", **stated}
    return SupporterChanged(at=at(minutes), **stated)


def statement(minutes: float = 0, **stated: Any) -> Statement:
    return read_statement(change(minutes, **stated), SECRET, at(24 * 60))
