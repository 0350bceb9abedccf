"""What other services may ask of people, as JSON objects over any reading connection.

Answers are about the people of the owned partitions alone; whoever asks several instances adds
them up. Nothing is written, nothing is logged. Answers about one person carry their data: they are
for people who may see it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from services.segmenter.people.audience import Counted, count, scopes
from services.segmenter.people.explaining import explain
from services.segmenter.people.identity import Meant, by_address, by_external
from services.segmenter.people.ownership import Owned
from services.segmenter.people.profile_store import UNKNOWN, Kept, read_kept
from services.segmenter.people.rules_sql import RuleUnusable
from services.segmenter.people.standing import MEANING, standing_of
from services.segmenter.people.statements import FIELDS
from services.segmenter.people.suppressions import reasons_of
from shared.clock import from_ms
from shared.log.partitioner import partition_of
from shared.programme.definitions import Segment
from shared.programme.rules import Rule
from shared.store.database import Database

JSON = dict[str, Any]

NEWEST: Final = 50
"""How many deliveries and actions a profile shows."""

_PLACE: Final = "select place_status, latitude, longitude from supporter where supporter_id = ?"
_ACTIONS: Final = """
    select action, at, send_id from action where supporter_id = ? order by at desc limit ?"""
_MEMBERSHIPS: Final = """
    select l.segment, m.since from live_segment l
    join membership m on m.segment = l.segment and m.partition = l.partition
        and m.supporter_id = ?
    where l.partition = ? order by l.segment"""
_LIVE: Final = "select segment, partition, version from live_segment where {owned}"
_SIZE: Final = "select count(*) from membership where segment = ? and {owned}"


def count_of(
    connection: Database,
    rule: Rule,
    as_of: datetime,
    owned: Owned,
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> JSON:
    """`matching`, `mailable`, `left_out` (reason to number), `unplaced`. Raises RuleUnusable."""
    return _counted(count(connection, rule, as_of, owned, topic=topic, send_id=send_id))


def listing(
    connection: Database, segments: Iterable[Segment], as_of: datetime, owned: Owned
) -> list[JSON]:
    """Each segment with its counts; `live` is the number of its members where it is live in this
    version in all of the partitions, else null. One that cannot be asked has `unusable`, a
    sentence, instead of counts.
    """
    stands: defaultdict[str, dict[int, str]] = defaultdict(dict)
    sql = _LIVE.format(owned=owned.sql("partition"))
    for name, partition, version in connection.execute(sql):
        stands[name][partition] = version
    listed = []
    for segment in segments:
        version = segment.version()
        entry: JSON = {
            "segment": segment.name, "version": version, "description": segment.description,
            "live": None,
        }  # fmt: skip
        if [stands[segment.name].get(p) for p in owned.partitions] == [version] * len(
            owned.partitions
        ):
            size = _SIZE.format(owned=owned.sql("partition"))
            ((entry["live"],),) = connection.execute(size, (segment.name,))
        try:
            entry |= _counted(count(connection, segment.rule, as_of, owned))
        except RuleUnusable as error:
            entry["unusable"] = str(error)
        listed.append(entry)
    return listed


def known(
    connection: Database, keys: Sequence[Mapping[str, str | None]], owned: Owned
) -> list[JSON]:
    """Who of the owned is meant by each key of an import, in the same order.

    A key has `source` and `external_id`, or `address_key`, or all three; the external id counts
    first. An answer has `supporter_id` (null: nobody of ours), what is known to compare with
    (`fields`, `attributes`, `tags`, `given_areas`), `standing`, `unsubscribed`, and `suppressed`:
    why the address of the key is suppressed, or null. `by` says by what they are known
    (`external_id`, `address`), `since_ms` from when: of several instances' answers the external id
    counts first, then the earliest, then the smaller id.
    """
    external = {i for key in keys if (i := _external(key)) is not None}
    addresses = {key["address_key"] for key in keys if key.get("address_key")}
    by_id = by_external(connection, external, owned)
    by_key = by_address(connection, [address for address in addresses if address], owned)
    found = [_meant(key, by_id, by_key) for key in keys]
    kept = read_kept(connection, {meant.supporter_id for _, meant in found if meant is not None})
    reasons = reasons_of(connection, [address for address in addresses if address])
    return [
        {
            "supporter_id": meant and meant.supporter_id,
            "by": by,
            "since_ms": meant and meant.since,
            **_comparable(kept.get(meant.supporter_id if meant else "", UNKNOWN)),
            "suppressed": reasons.get(key.get("address_key") or ""),
        }
        for key, (by, meant) in zip(keys, found, strict=True)
    ]


def explanation(
    connection: Database,
    rule: Rule,
    supporter_id: str,
    as_of: datetime,
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> JSON:
    """`member`, the `tree` of the rule, and `mailable` with the `reasons` against it.

    Raises RuleUnusable.
    """
    tree = explain(connection, rule, supporter_id, as_of)
    reasons = left_out(connection, supporter_id, topic=topic, send_id=send_id)
    somebody = bool(read_kept(connection, [supporter_id]))
    return {
        "supporter_id": supporter_id,
        "known": somebody,
        "member": somebody and tree.holds,
        "mailable": not reasons,
        "reasons": reasons,
        "tree": tree.as_json(),
    }


def left_out(
    connection: Database,
    supporter_id: str,
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> list[JSON]:
    """Every reason not to mail the supporter, each with a sentence; none when they may be."""
    kept = read_kept(connection, [supporter_id]).get(supporter_id)
    if kept is None:
        return [{"reason": "unknown", "meaning": "Nobody is known by this id."}]
    standing = standing_of(kept.profile)
    reasons: list[JSON] = []
    if standing != "mailable":
        reasons.append({"reason": standing, "meaning": MEANING[standing]})
    wanted = scopes(topic, send_id)
    inbox = kept.profile.address_key
    for subject, whose in ((supporter_id, "They are"), (inbox, "Their inbox is")):
        suppressed = {} if subject is None else reasons_of(connection, [subject], wanted)
        for reason in suppressed.values():
            meaning = f"{whose} suppressed: {reason.replace('_', ' ')}."
            reasons.append({"reason": "suppressed", "meaning": meaning})
    return reasons


def profile(connection: Database, supporter_id: str, owned: Owned) -> JSON | None:
    """Everything known of one owned supporter; None when nothing is. Times are ISO 8601, UTC."""
    kept = read_kept(connection, [supporter_id]).get(supporter_id)
    if kept is None:
        return None
    known_as = kept.profile
    ((place_status, latitude, longitude),) = connection.execute(_PLACE, (supporter_id,)).fetchall()
    consent, joined, tracking = known_as.consent, known_as.joined, known_as.tracking
    return {
        "supporter_id": supporter_id,
        **_comparable(kept),
        "meaning": MEANING[standing_of(known_as)],
        "reasons": left_out(connection, supporter_id),
        "areas": {
            kind: {"code": area.code, "given": area.given, "provenance": area.provenance}
            for kind, area in sorted(kept.areas.items())
        },
        "place": {"status": place_status, "latitude": latitude, "longitude": longitude},
        "consent": consent
        and {"wording": consent.wording, "source": consent.source, "at": _iso(consent.at)},
        "topics_left": sorted(known_as.topics_left()),
        "tracking": tracking
        and {
            "allows": tracking.allows,
            "wording": tracking.wording,
            "source": tracking.source,
            "at": _iso(tracking.at),
        },
        "unsubscribed_at": _iso(known_as.unsubscribed_at),
        "complained_at": _iso(known_as.complained_at),
        "bounced_at": _iso(known_as.bounced_at),
        "joined": joined and {"at": _iso(joined.at), "source": joined.source},
        "identities": [
            {"source": source, "external_id": external_id}
            for source, external_id in sorted(known_as.identities)
        ],
        "actions": [
            {"action": action, "at": _iso(at), "send_id": send_id}
            for action, at, send_id in connection.execute(_ACTIONS, (supporter_id, NEWEST))
        ],
        "segments": [
            {"segment": segment, "since": _iso(since)}
            for segment, since in connection.execute(
                _MEMBERSHIPS, (supporter_id, partition_of(supporter_id, owned.of))
            )
        ],
    }


def _counted(counted: Counted) -> JSON:
    return {
        "matching": counted.matching,
        "mailable": counted.mailable,
        "left_out": dict(counted.left_out),
        "unplaced": counted.unplaced,
    }


def _external(key: Mapping[str, str | None]) -> tuple[str, str] | None:
    source, external_id = key.get("source"), key.get("external_id")
    return (source, external_id) if source and external_id else None


def _meant(
    key: Mapping[str, str | None],
    by_id: Mapping[tuple[str, str], Meant],
    by_key: Mapping[str, Meant],
) -> tuple[str | None, Meant | None]:
    """By what, and who."""
    external = _external(key)
    if external is not None and external in by_id:
        return "external_id", by_id[external]
    meant = by_key.get(key.get("address_key") or "")
    return (None, None) if meant is None else ("address", meant)


def _comparable(kept: Kept) -> JSON:
    shown = kept.profile
    return {
        "fields": {name: shown.text(name) for name in FIELDS},
        "attributes": {
            name: stated.value
            for name, stated in shown.attributes.items()
            if stated.value is not None
        },
        "tags": sorted(tag for tag, stated in shown.tags.items() if stated.value),
        "given_areas": {
            kind: stated.code for kind, stated in shown.areas.items() if stated.code is not None
        },
        "standing": standing_of(shown) if kept.known else None,
        "unsubscribed": shown.unsubscribed_at is not None,
    }


def _iso(ms: int | None) -> str | None:
    return None if ms is None else from_ms(ms).isoformat()
