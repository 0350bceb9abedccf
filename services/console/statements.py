"""From a row about a supporter, and who that is, to the record of a change. Pure.

The same row of the same file gives the same record whenever it is made: id, time and content. So a
second import of a file changes nothing, and one that broke off is simply begun again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from services.console.identities import Known
from services.console.supporter_rows import Supporter
from shared.ids import SupporterId, event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import SUPPORTERS
from shared.wire.cloudevents import encode
from shared.wire.supporters import ExternalIdentity, SupporterChanged

SOURCE: Final = "console"

Effect = Literal["new", "changed", "unchanged"]


def statement(
    supporter: Supporter, supporter_id: SupporterId, source: str, at: datetime
) -> SupporterChanged:
    """What the row says of the supporter. An import never says anything of the subscription."""
    identity = None
    if supporter.external_id is not None:
        identity = ExternalIdentity(source=source, external_id=supporter.external_id)
    profile: dict[str, str | None] = dict(supporter.profile)
    if supporter.email is not None:
        profile["email"] = supporter.email
    return SupporterChanged(
        supporter_id=supporter_id,
        stated_by="import",
        source=source,
        at=at,
        identity=identity,
        profile=profile,
        attributes=dict(supporter.attributes),
        tags_added=supporter.tags,
        given_areas=dict(supporter.areas),
        consent=supporter.consent,
    )


def statement_record(change: SupporterChanged, digest: str, partitions: int) -> Record:
    """The record of a change; `digest` is of its content."""
    return encode(
        change,
        id=event_id("import", change.source, change.supporter_id, change.at.isoformat(), digest),
        source=SOURCE,
        subject=change.supporter_id,
        time=change.at,
        topic=SUPPORTERS,
        partition=partition_of(change.supporter_id, partitions),
        key=change.supporter_id,
    )


def effect(change: SupporterChanged, known: Known | None) -> Effect:
    """What a change would do to somebody, by what the segmenter shows of them."""
    if known is None:
        return "new"
    same = (
        all(known.fields.get(name) == value for name, value in change.profile.items())
        and all(known.attributes.get(name) == value for name, value in change.attributes.items())
        and known.tags.issuperset(change.tags_added)
        and all(known.areas.get(kind) == code for kind, code in change.given_areas.items())
        and not (change.consent is not None and known.standing == "no_consent")
    )
    return "unchanged" if same else "changed"
