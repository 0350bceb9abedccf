"""CloudEvents 1.0, Kafka binding, binary mode: attributes as `ce_*` headers, the value JSON.

`encode` makes a log record of a model, `decode` the model of a record. The version of a schema
travels in `ce_dataschema` (`urn:doorstep:schema:<type>:<version>`). Values may be zstd-compressed
as one; `content-encoding` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

import zstandard
from pydantic import ValidationError

from shared.clock import to_ms
from shared.errors import NeverRetry, NewerVersion
from shared.log.record import Record, Stored
from shared.wire.schema import REGISTRY, WireModel

CONTENT_TYPE: Final = b"application/json"
MAX_DECOMPRESSED: Final = 64 * 1024 * 1024


class Malformed(NeverRetry):
    """A record that is not a CloudEvent of ours; goes to the dead letters."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A decoded record: who says what, when, about whom."""

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    data: WireModel


def encode(
    data: WireModel,
    *,
    id: str,
    source: str,
    subject: str,
    time: datetime,
    topic: str,
    partition: int,
    key: str,
    compress: bool = False,
    type_name: str | None = None,
) -> Record:
    """The record that carries `data`. `type_name` overrides the type for families of events."""
    kind = type_name or data.ce_type
    # As `model_dump_json`, without a string in between: a batch of mails is 15 MB.
    value = data.__pydantic_serializer__.to_json(data, exclude_none=True)
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", kind.encode()),
        ("ce_time", time.isoformat().encode()),
        ("ce_subject", subject.encode()),
        ("ce_dataschema", _data_schema(type(data))),
        ("content-type", CONTENT_TYPE),
    ]
    if compress:
        value = zstandard.compress(value, 1)
        headers.append(("content-encoding", b"zstd"))
    return Record(topic, partition, key.encode(), value, tuple(headers), to_ms(time))


@cache
def _data_schema(model: type[WireModel]) -> bytes:
    return f"urn:doorstep:schema:{model.ce_type}:{model.schema_version}".encode()


def decode(stored: Stored) -> Envelope:
    """The envelope of a record.

    Raises Malformed (a header missing, JSON that does not fit, an unknown type) or NewerVersion.
    """
    where = f"{stored.topic}[{stored.partition}]@{stored.offset}"
    headers = dict(stored.headers)
    try:
        if headers["ce_specversion"] != b"1.0":
            raise Malformed(f"{where}: CloudEvents {headers['ce_specversion']!r} is not 1.0")
        kind = headers["ce_type"].decode()
        schema = headers["ce_dataschema"].decode()
        time = datetime.fromisoformat(headers["ce_time"].decode())
        envelope_id = headers["ce_id"].decode()
        source, subject = headers["ce_source"].decode(), headers["ce_subject"].decode()
        family, _, number = schema.removeprefix("urn:doorstep:schema:").rpartition(":")
        version = int(number)
    except KeyError as error:
        raise Malformed(f"{where}: the header {error.args[0]} is missing") from error
    except ValueError as error:
        raise Malformed(f"{where}: a ce_* header cannot be read: {error}") from error
    model = REGISTRY.get(family)
    if model is None:
        raise Malformed(f"{where}: no schema is called {family!r}")
    if version > model.schema_version:
        raise NewerVersion(
            f"{where}: {family} version {version}, this reader knows {model.schema_version}; "
            "upgrade the readers of this topic first"
        )
    if time.tzinfo is None:
        raise Malformed(f"{where}: ce_time has no time zone")
    data = _read(model, _body(stored, headers, where), where)
    return Envelope(envelope_id, kind, source, subject, time, data)


def _body(stored: Stored, headers: dict[str, bytes], where: str) -> bytes:
    if stored.value is None:
        raise Malformed(f"{where}: no value")
    if headers.get("content-encoding") != b"zstd":
        return stored.value
    try:
        return zstandard.ZstdDecompressor().decompress(
            stored.value, max_output_size=MAX_DECOMPRESSED
        )
    except zstandard.ZstdError as error:
        raise Malformed(f"{where}: not a zstd value: {error}") from error


def _read(model: type[WireModel], body: bytes, where: str) -> WireModel:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the value"
        raise Malformed(f"{where}: {model.ce_type}: {place}: {first['msg']}") from error
