"""Builds what the tracker's tests need: a small programme, tokens of it, stored hits."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from services.tracker.facts import Mailing, Making
from services.tracker.raw_hits import Bearer, RawHit, pack
from shared.ids import message_id
from shared.log.record import Record, Stored
from shared.log.topics import PROGRAMME
from shared.programme.definitions import Areas, Campaign, Disclaimer, Send, Template, Variant
from shared.programme.definitions import Definition as Checked
from shared.tokens import Token, edition_hash, send_hash, sign
from shared.wire.cloudevents import Envelope, decode, encode
from shared.wire.events import Event
from shared.wire.programme import Definition, DefinitionKind, SendOrder
from shared.wire.suppressions import Suppression

SECRET = bytes(range(32))
SECRET_TEXT = base64.b64encode(SECRET).decode()
TOKEN_KEY = bytes(range(32, 64))
TOKEN_KEY_TEXT = base64.b64encode(TOKEN_KEY).decode()
NOW = datetime(2026, 5, 7, 18, 30, tzinfo=UTC)
ADA = "018f3c5a-9e10-8b1d-8c44-5e6f4a7b8c9d"
BEN = "018f3c5a-9e10-8b1d-8c44-5e6f4a7b0000"
SEND = "eve-of-poll"
PARTITIONS = 24

CAMPAIGN = Campaign(
    name="hilltop",
    organisation="Hilltop & Vale Together",
    from_name="Hilltop",
    from_address="news@hilltop.example",
    reply_to="office@hilltop.example",
    postal_address="1 Hill Street",
    topics={
        "campaign": "Our campaign",
        "events": "Events near you",
        "jumble & sales": "Jumble <sales>",
    },
    languages={"en": "English", "cy": "Cymraeg", "pa": "ਪੰਜਾਬੀ"},
    disclaimer=Disclaimer(jurisdiction="none", reason="a rehearsal"),
)
AREAS = Areas(
    name="wards",
    kind="ward",
    by_code={
        "E05000001": {"page": "https://hilltop.example/north", "venue": "North Hall"},
        "E05000002": {"page": "https://hilltop.example/zürich straße#map", "venue": "South Hall"},
    },
    default={"page": "https://hilltop.example/", "venue": "Town Hall"},
)
TEMPLATE = Template(
    name="ask",
    subject="Tomorrow",
    html='<a href="https://hilltop.example/volunteer?from=mail#form">Help</a>'
    '<a href="{{ area.page }}">Your ward</a>'
    '<a href="mailto:office@hilltop.example">Write</a>'
    '<a href="https://hilltop.example/s/{{ send.name }}">About</a>',
    text="Help: https://hilltop.example/volunteer?from=mail#form",
)
SECOND_TEMPLATE = TEMPLATE.model_copy(
    update={"name": "ask-b", "html": '<a href="https://hilltop.example/b">B</a>', "text": "Hello"}
)
MAILING = Send(
    name=SEND,
    segment="pledged",
    areas="wards",
    variants=(
        Variant(name="plain", template="ask"),
        Variant(name="warm", template="ask-b"),
    ),
)
PROGRAMME_PARTS: tuple[tuple[DefinitionKind, Checked], ...] = (
    ("campaign", CAMPAIGN),
    ("areas", AREAS),
    ("template", TEMPLATE),
    ("template", SECOND_TEMPLATE),
    ("send", MAILING),
)


def definition_records(kind: DefinitionKind, definition: Checked) -> list[Record]:
    """The two records by which the console publishes a version."""
    body = Definition(
        kind=kind,
        name=definition.name,
        version=definition.version(),
        body=definition.model_dump(mode="json"),
        applied_at=NOW,
    )
    name = f"definition/{kind}/{definition.name}"
    return [programme_record(key, body) for key in (name, f"{name}@{body.version}")]


def programme_record(key: str, data: Definition | SendOrder) -> Record:
    return encode(
        data, id=key, source="console", subject=key, time=NOW,
        topic=PROGRAMME, partition=0, key=key,
    )  # fmt: skip


def programme_records() -> list[Record]:
    """The whole small programme."""
    return [record for kind, part in PROGRAMME_PARTS for record in definition_records(kind, part)]


def token(
    *,
    supporter: str = ADA,
    send: str = SEND,
    occurrence: int = 0,
    variant: int = 0,
    edition: str = "",
    key: bytes = TOKEN_KEY,
    key_id: int = 1,
) -> str:
    """A token as the renderer makes them."""
    said = Token(supporter, send_hash(send), occurrence, variant, edition_hash(edition))
    return sign(said, key_id, key)


def bearer(**of: Any) -> Bearer:
    """What the tracker makes of such a token."""
    supporter, send = of.get("supporter", ADA), of.get("send", SEND)
    said = Token(
        supporter, send_hash(send), of.get("occurrence", 0), of.get("variant", 0),
        edition_hash(of.get("edition", "")),
    )  # fmt: skip
    return Bearer.of(said)


def making(mailing: Mailing | None = None) -> Making:
    """Facts are made with this; every token belongs to the one mailing (or to none)."""
    return Making(lambda _: mailing, PARTITIONS, SECRET)


def stored(record: Record, offset: int = 0) -> Stored:
    """The record as the log gives it back."""
    return Stored(
        record.topic, record.partition, offset, record.key, record.value, record.headers,
        record.timestamp_ms,
    )  # fmt: skip


def row(hit: RawHit, offset: int = 0) -> Stored:
    """The hit as it stands in the spool."""
    return Stored("hits", 0, offset, None, pack(hit), (), 0)


def envelopes(records: list[Record]) -> list[Envelope]:
    """What readers see of the records."""
    return [decode(stored(record)) for record in records]


def events(records: list[Record]) -> list[Event]:
    return [one.data for one in envelopes(records) if isinstance(one.data, Event)]


def suppressions(records: list[Record]) -> list[Suppression]:
    return [one.data for one in envelopes(records) if isinstance(one.data, Suppression)]


def message_of(supporter: str = ADA, send: str = SEND, occurrence: int = 0) -> str:
    return message_id(send, supporter, occurrence)
