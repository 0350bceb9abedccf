"""The first look through a file: how many rows, what each attribute is, who shares an inbox. Pure.

Known before the first record is written, so that what a row becomes does not depend on how far a
service has read, or on what stands further down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from services.console.csv_files import BadRow, Row
from services.console.supporter_rows import Shape, Shapes
from shared.ids import BadAddress, normalise_address


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What is known of the whole file. `shared`: marks of addresses that several people have."""

    rows: int
    shapes: Mapping[str, Shape]
    shared: frozenset[bytes] = frozenset()

    def shares_inbox(self, email: str | None) -> bool:
        """Whether the file names several people at this normalised address."""
        return email is not None and mark(email) in self.shared


@dataclass(slots=True)
class _Inboxes:
    seen: dict[bytes, bytes] = field(default_factory=dict)
    shared: set[bytes] = field(default_factory=set)

    def look(self, email: str, external_id: str) -> None:
        try:
            key = mark(normalise_address(email))
        except BadAddress:
            return
        person = mark(external_id)
        if self.seen.setdefault(key, person) != person:
            self.shared.add(key)


def survey(
    rows: Iterable[Row | BadRow],
    columns: Mapping[str, int],
    step: Callable[[int], None] = lambda _: None,
) -> Surveyed:
    """Look through all rows. `step` is told how many rows have been seen, now and then."""
    shapes, inboxes = Shapes(columns), _Inboxes()
    email, external = columns.get("email"), columns.get("external_id")
    count = 0
    for row in rows:
        count += 1
        if count % 1_000 == 0:
            step(count)
        if isinstance(row, BadRow):
            continue
        shapes.look(row)
        if email is not None and row.cells[email]:
            inboxes.look(row.cells[email], row.cells[external] if external is not None else "")
    return Surveyed(count, shapes.found(), frozenset(inboxes.shared))


def mark(text: str) -> bytes:
    """Eight bytes that stand for a text, to keep millions of them in memory."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
