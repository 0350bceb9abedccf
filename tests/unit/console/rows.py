"""Builders of rows and readings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from services.console.csv_files import Row
from services.console.supporter_rows import (
    GivenConsent,
    Reading,
    Refusal,
    Shape,
    Supporter,
    read_supporter,
)

SECRET = b"a secret of thirty-two bytes ...."
NOW = datetime(2026, 5, 7, 20, 40, tzinfo=UTC)
CONSENTED = {"consent_wording": "Yes", "consent_source": "web", "consent_at": "2026-03-01"}


def read_with(
    cells: Mapping[str, str],
    *,
    line: int = 2,
    consent: GivenConsent | None = None,
    language: str | None = None,
    shapes: Mapping[str, Shape] | None = None,
) -> Supporter | Refusal:
    """One row, read, with what was said beside the file."""
    columns = {name: index for index, name in enumerate(cells)}
    reading = Reading(columns, shapes or {}, SECRET, NOW, language, consent or GivenConsent())
    return read_supporter(Row(line, tuple(cells.values())), reading)


def read(line: int = 2, /, **cells: str) -> Supporter | Refusal:
    """One row, read. Dots in field names are written as double underscores."""
    return read_with({name.replace("__", "."): cell for name, cell in cells.items()}, line=line)


def taken(line: int = 2, /, **cells: str) -> Supporter:
    """A row that is taken."""
    found = read(line, **cells)
    assert isinstance(found, Supporter), found
    return found


def refused(line: int = 2, /, **cells: str) -> str:
    """Why a row is refused."""
    found = read(line, **cells)
    assert isinstance(found, Refusal), found
    return found.reason
