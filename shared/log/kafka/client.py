"""What every Kafka client of ours is configured with, and what its errors mean to us.

kafka-python has no types for its users: `Any` stays in this package.
"""

from __future__ import annotations

import importlib.util
import re
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from kafka import errors
from kafka.structs import TopicPartition as KafkaPartition

from shared.errors import DoorstepError, Fenced, Misconfigured, PositionOutsideLog, RetryLater
from shared.log.kafka.mends import AskingClient
from shared.log.record import TopicPartition
from shared.settings import KafkaSettings

LARGEST_RECORD: Final = 2_000_000
"""Bytes: a dead letter holds a whole batch of 900 KB as base64. `topics apply` sets the same."""
FETCH_BYTES: Final = 16_000_000
REQUEST_MS: Final = 15_000
BOOTSTRAP_MS: Final = 20_000

BROKER: Final = re.compile(r"[^\s/,:]+|[^\s/,]+:\d+")
"""A host, or a host and its port."""

FENCED: Final = (
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.FencedInstanceIdError,
    errors.RebalanceInProgressError,
)
"""The group has moved on without us: what was polled is somebody else's now."""

WRONG_SETTINGS: Final = (
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.AuthorizationError,
    errors.KafkaConfigurationError,
    errors.UnsupportedVersionError,
    errors.InvalidSessionTimeoutError,
)


class Names:
    """Topics, groups and transactional ids of this installation, which may share a cluster."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def topic(self, name: str) -> str:
        """The topic's name at the brokers."""
        return f"{self._prefix}{name}"

    def own(self, topic: str) -> str:
        """The inverse of `topic`."""
        return topic.removeprefix(self._prefix)

    def group(self, name: str) -> str:
        """The group's name at the brokers."""
        return f"{self._prefix}{name}"

    def kafka(self, place: TopicPartition) -> KafkaPartition:
        return KafkaPartition(self.topic(place.topic), place.partition)

    def ours(self, place: KafkaPartition) -> TopicPartition:
        return TopicPartition(self.own(place.topic), place.partition)

    def all_ours(self, places: Iterable[KafkaPartition]) -> list[TopicPartition]:
        return [self.ours(place) for place in places]


def require_crc32c() -> None:
    """Raises Misconfigured without it: the pure-Python checksum is a thousand times slower."""
    if importlib.util.find_spec("crc32c") is None:
        raise Misconfigured(
            "Kafka needs the package crc32c: install Doorstep's requirements/run.txt, which has it"
        )


def connection(bootstrap: str, settings: KafkaSettings) -> dict[str, Any]:
    """What all clients have in common: where the brokers are, TLS, SASL.

    Raises Misconfigured for what no broker can mend. The client would try it again and again.
    """
    require_crc32c()
    _check_tls(settings)
    found: dict[str, Any] = {
        "bootstrap_servers": _servers(bootstrap),
        "security_protocol": settings.security_protocol,
        "request_timeout_ms": REQUEST_MS,
        "bootstrap_timeout_ms": BOOTSTRAP_MS,
        "reconnect_backoff_max_ms": 2_000,
    }
    if settings.ssl_cafile is not None:
        found["ssl_cafile"] = str(settings.ssl_cafile)
    if settings.ssl_certfile is not None:
        found["ssl_certfile"] = str(settings.ssl_certfile)
    if settings.ssl_keyfile is not None:
        found["ssl_keyfile"] = str(settings.ssl_keyfile)
    if settings.sasl_mechanism:
        found["sasl_mechanism"] = settings.sasl_mechanism
        found["sasl_plain_username"] = settings.sasl_username
        found["sasl_plain_password"] = settings.sasl_secret()
    return found


def _servers(bootstrap: str) -> list[str]:
    found = [server.strip() for server in bootstrap.split(",") if server.strip()]
    for server in found or [bootstrap]:
        if not BROKER.fullmatch(server):
            raise Misconfigured(
                f"DOORSTEP_LOG={bootstrap}: {server!r} is no broker: write `host:port`, several "
                "between commas, or `embedded`"
            )
    return found


def _check_tls(settings: KafkaSettings) -> None:
    if settings.security_protocol not in ("SSL", "SASL_SSL"):
        return
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile is not None:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except OSError as error:  # ssl's own errors are such
        raise Misconfigured(
            f"TLS to Kafka: {error}: look at the files that DOORSTEP_KAFKA__SSL_CAFILE, "
            "SSL_CERTFILE and SSL_KEYFILE name"
        ) from error


def consumer_settings(connected: Mapping[str, Any]) -> dict[str, Any]:
    """Reads what is committed, from positions we name: never a silent jump, never a commit."""
    return {
        **connected,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "max_partition_fetch_bytes": LARGEST_RECORD,
        "fetch_max_bytes": FETCH_BYTES,
        "metrics_enabled": False,
    }


def producer_settings(connected: Mapping[str, Any], transaction_seconds: float) -> dict[str, Any]:
    """Idempotent, transactional, acknowledged by all replicas in sync. Our values are packed."""
    transaction_ms = int(transaction_seconds * 1000)
    return {
        **connected,
        "enable_idempotence": True,
        "acks": "all",
        "compression_type": None,
        "linger_ms": 2,
        "batch_size": 262_144,
        "max_request_size": 2 * LARGEST_RECORD,
        "allow_auto_create_topics": False,
        "transaction_timeout_ms": transaction_ms,
        "delivery_timeout_ms": max(transaction_ms, REQUEST_MS + 1_000),
        "max_block_ms": REQUEST_MS,
        "kafka_client": AskingClient,
        "metrics_enabled": False,
    }


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Foreign exceptions in ours. `what` is where it happened, for the person who reads it."""
    try:
        yield
    except errors.KafkaError as error:
        raise meaning(error, what) from error


def meaning(error: errors.KafkaError, what: str) -> DoorstepError:
    """Ours for one of theirs: not ever, not ours any more, or not now."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, FENCED):
        return Fenced(f"{what}: the group has moved on ({said})")
    if isinstance(error, errors.OffsetOutOfRangeError | errors.LogTruncationError):
        return PositionOutsideLog(
            f"{what}: the position is not in the log ({said}): records were removed before they "
            "were read, or this log belongs to another installation. See docs/how-to/restore.md"
        )
    if isinstance(error, errors.InconsistentGroupProtocolError):
        return Misconfigured(
            f"{what}: the members of this group read other topics: stop the members of the older "
            "version first"
        )
    if isinstance(error, WRONG_SETTINGS):
        return Misconfigured(f"{what}: Kafka refuses us ({said}). Look at the DOORSTEP_KAFKA names")
    if isinstance(error, errors.UnknownTopicOrPartitionError | errors.InvalidTopicError):
        return Misconfigured(f"{what}: {said}. Make the topics with `doorstep topics apply`")
    return RetryLater(f"{what}: Kafka cannot do it now ({said})", after_seconds=0.5)


class Closing:
    """Closes something once, in a bounded time, whatever it says."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False

    def first(self) -> bool:
        """True at the first call only."""
        with self._lock:
            was, self._closed = self._closed, True
            return not was
