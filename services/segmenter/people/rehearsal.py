"""What changes would do, without doing it: the dry run of an import.

The changes are folded as they would be for good, over what the store holds now, and the result is
thrown away; so a dry run cannot promise what the real one does not keep. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from services.segmenter.people.profile_store import read_kept
from services.segmenter.people.profiles import NOBODY_YET, Profile, fold
from services.segmenter.people.standing import Standing, address_flags, standing_of
from services.segmenter.people.statements import read_statement
from services.segmenter.people.suppressions import reasons_of
from shared.errors import NeverRetry
from shared.store.database import Database
from shared.wire.supporters import SupporterChanged


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one change would do. `changed` names what would be different: field names, `tags`,
    `attributes`, `areas`, `consent`, `subscription`. `reason` is a sentence when refused.

    `resubscribed` is whether somebody who unsubscribed would get mail again; `suppressed` why the
    address would get none all the same, whoever it belongs to.
    """

    outcome: Literal["new", "changed", "unchanged", "refused"]
    supporter_id: str
    changed: tuple[str, ...] = ()
    standing: Standing | None = None
    resubscribed: bool = False
    address_key: str | None = None
    suppressed: str | None = None
    flags: tuple[str, ...] = ()
    reason: str = ""


def rehearse(
    connection: Database, changes: Sequence[SupporterChanged], secret: bytes, now: datetime
) -> list[Verdict]:
    """A verdict for each change, in the same order; each is folded over those before it."""
    kept = read_kept(connection, {change.supporter_id for change in changes})
    profiles = {supporter_id: held.profile for supporter_id, held in kept.items()}
    verdicts = []
    for change in changes:
        before = profiles.get(change.supporter_id)
        try:
            statement = read_statement(change, secret, now)
        except NeverRetry as error:
            verdicts.append(Verdict("refused", change.supporter_id, reason=str(error)))
            continue
        after = fold(before or NOBODY_YET, statement)
        profiles[change.supporter_id] = after
        verdicts.append(_verdict(change.supporter_id, before, after))
    keys = {verdict.address_key for verdict in verdicts if verdict.address_key is not None}
    reasons = reasons_of(connection, keys)
    return [replace(v, suppressed=reasons.get(v.address_key or "")) for v in verdicts]


def _verdict(supporter_id: str, before: Profile | None, after: Profile) -> Verdict:
    earlier = before or NOBODY_YET
    differences = tuple(_differences(earlier, after))
    return Verdict(
        outcome="new" if before is None else "changed" if differences else "unchanged",
        supporter_id=supporter_id,
        changed=differences,
        standing=standing_of(after),
        resubscribed=earlier.unsubscribed_at is not None and after.unsubscribed_at is None,
        address_key=after.address_key,
        flags=tuple(address_flags(after)),
    )


def _differences(before: Profile, after: Profile) -> Iterable[str]:
    names = before.fields.keys() | after.fields.keys()
    yield from sorted(name for name in names if before.text(name) != after.text(name))
    if _values(before.attributes) != _values(after.attributes):
        yield "attributes"
    if _values(before.tags, absent=False) != _values(after.tags, absent=False):
        yield "tags"
    if _values(before.areas) != _values(after.areas):
        yield "areas"
    if before.consent != after.consent:
        yield "consent"
    if (before.unsubscribed_at is None) != (after.unsubscribed_at is None):
        yield "subscription"


def _values(stated: Any, *, absent: Any = None) -> dict[str, Any]:
    """Name to value, without what was taken back."""
    return {name: entry[1] for name, entry in stated.items() if entry[1] is not absent}
