"""Settings: read once from the environment (or files), frozen, handed down from the wiring.

Every name begins with DOORSTEP_; sections are joined by two underscores
(`DOORSTEP_SENDER__WINDOW=32`). An unknown name with our prefix is an error, so that a misspelt
setting is never silently the default. Secrets may come from a file: `DOORSTEP_SECRET_FILE`.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import Misconfigured
from shared.standard_webhooks import read_secret

PREFIX = "DOORSTEP_"
SIGNATURE_SECONDS = 900.0
"""No AWS service takes a signed request that is older (Signature Version 4)."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoopSettings(Section):
    """The consumer loop, the same for every service."""

    poll_seconds: float = Field(0.25, gt=0, description="longest wait for records in one turn")
    max_records: int = Field(500, ge=1, description="records handled in one commit")
    lease_seconds: float = Field(10.0, gt=0, description="a silent member is dead after this")
    retry_seconds: float = Field(300.0, gt=0, description="how long a batch is retried")
    dead_letter_budget: int = Field(100, ge=0, description="dead letters an hour before a stop")
    stuck_seconds: float = Field(120.0, gt=0, description="the watchdog ends a loop this silent")


class DiskSettings(Section):
    """How much room the disk of `home` must have."""

    warn_mb: int = Field(2_000, ge=0, description="with less room free, the log warns")
    stop_mb: int = Field(200, ge=0, description="with less, no new work is taken in; 0: never")


class SegmenterSettings(Section):
    port: int = Field(8701, description="health, metrics, questions")
    wave_recipients: int = Field(2_000, ge=1, description="released ahead of outcomes, a partition")
    sweep_seconds: float = Field(2.0, gt=0, description="how often time alone may move people")
    hit_seconds: float = Field(2.0, gt=0, description="an open or click waits before it counts")
    doubtful_hit_seconds: float = Field(
        60.0, gt=0, description="and so long when one sign speaks for a machine"
    )


class RendererSettings(Section):
    port: int = Field(8702, description="health, metrics, trial renders")


class SenderSettings(Section):
    port: int = Field(8703, description="health, metrics, questions")
    ses_endpoint: str = Field("", description="empty: Amazon's own endpoint of the region")
    region: str = Field("eu-west-2", description="region of SES")
    gateway: Literal["lean", "boto3"] = Field(
        "lean", description="how SES is called; behind a proxy it is boto3 in any case"
    )
    window: int = Field(16, ge=1, le=64, description="calls in flight, and in doubt after a kill")
    rate: float | None = Field(
        None, gt=0,
        description="most messages a second, of all senders together; unset: 0.9 of SES's limit",
    )  # fmt: skip
    account_seconds: float = Field(60.0, ge=1, description="how often SES is asked of the account")
    daily_reserve: int = Field(0, ge=0, description="of SES's daily quota, left for other mail")
    connect_timeout_seconds: float = Field(5.0, gt=0, description="to reach SES")
    read_timeout_seconds: float = Field(30.0, gt=0, description="then the answer is in doubt")
    settle_seconds: float = Field(3600.0, gt=0, description="wait for a SES event when in doubt")
    last_look_seconds: float = Field(2.0, gt=0, description="a look older than this is repeated")
    table_age_seconds: float = Field(30.0, gt=0, description="no call on older tables")
    deadline_margin_seconds: float = Field(10.0, ge=0, description="clock skew and margin")

    breaker_window: int = Field(10_000, ge=1, description="newest fates that breakers look at")
    breaker_least: int = Field(200, ge=1, description="fewer fates of a send trip nothing")
    breaker_bounces: float = Field(
        0.05, ge=0, lt=1, description="a larger share of hard bounces holds a send; 0: never"
    )
    breaker_complaints: float = Field(
        0.001, ge=0, lt=1, description="a larger share of complaints holds a send; 0: never"
    )
    breaker_failures: int = Field(
        25, ge=0, description="so many refusals by SES in a row hold a send; 0: never"
    )

    soft_bounces: int = Field(
        3, ge=0, description="so many soft bounces suppress an inbox for a while; 0: never"
    )
    soft_bounce_days: float = Field(14.0, gt=0, description="within so many days")
    soft_suppressed_days: float = Field(30.0, gt=0, description="for so many days")

    suppression_list_seconds: float = Field(
        3600.0, ge=0, description="how often SES's own suppression list is read on; 0: never"
    )

    def check_settle_window(self) -> None:
        """Raises Misconfigured when Amazon could still take a request that we have settled.

        For the sender itself: others read these settings without knowing where SES is.
        """
        least = SIGNATURE_SECONDS + self.read_timeout_seconds
        if not self.ses_endpoint and self.settle_seconds < least:
            raise Misconfigured(
                f"{PREFIX}SENDER__SETTLE_SECONDS is {self.settle_seconds:.0f}, it must be at least "
                f"{least:.0f}: Amazon takes a signed request that long, and what is settled "
                "earlier could be mailed twice"
            )


class TrackerSettings(Section):
    port: int = Field(8704, description="what people's mail programs and SES reach")
    host: str = Field("127.0.0.1", description="address to listen on")
    own_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="where this one alone answers, when several share `port`; 0: none shares it",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description='networks whose X-Forwarded-For is believed, as JSON: `["10.0.0.0/8"]`'
    )
    rate_per_address: float = Field(
        200.0, ge=0, description="requests a second from one address; 0: as many as it likes"
    )
    burst_per_address: float = Field(2_000.0, ge=1, description="requests it may make at once")
    topic_arns: tuple[str, ...] = Field(
        ("arn:aws:sns:eu-west-2:000000000000:doorstep-ses-events",),
        description="SNS topics whose messages are taken",
    )
    queue_url: str = Field("", description="SQS queue that SES's events are read from; empty: none")
    queue_region: str = Field("eu-west-2", description="its region, where the URL does not say it")
    certificates: Path | None = Field(None, description="folder of pinned SNS certificates")
    max_body_bytes: int = Field(262_144, ge=1_024, description="larger bodies are refused")
    sns_oldest_seconds: float = Field(3_900.0, gt=0, description="an older message is a replay")


class KafkaSettings(Section):
    """How the brokers named by DOORSTEP_LOG are spoken to, and how topics are made there."""

    prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,40}$", description="before every name")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="TLS and SASL, or neither"
    )
    ssl_cafile: Path | None = Field(None, description="certificates of authorities, PEM")
    ssl_certfile: Path | None = Field(None, description="our certificate, PEM")
    ssl_keyfile: Path | None = Field(None, description="its key, PEM")
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "", description="how we say who we are"
    )
    sasl_username: str = Field("", description="the user of SASL")
    sasl_password: SecretStr = Field(SecretStr(""), description="its password")
    sasl_password_file: Path | None = Field(None, description="file that holds the password")
    transaction_seconds: float = Field(
        15.0, ge=1, description="a transaction left open by a dead process ends after this"
    )
    replication: int = Field(3, ge=1, description="copies of a topic, for `topics apply`")
    min_insync: int = Field(2, ge=1, description="copies that must have a record, for the same")

    def sasl_secret(self) -> str:
        """The password. Raises Misconfigured when its file cannot be read."""
        if self.sasl_password_file is None:
            return self.sasl_password.get_secret_value()
        try:
            return self.sasl_password_file.read_text().strip()
        except OSError as error:
            raise Misconfigured(f"{PREFIX}KAFKA__SASL_PASSWORD_FILE: {error}") from error


class Settings(BaseSettings):
    """All settings of all services. `home` holds stores, spool and the embedded log."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    home: Path = Field(Path(".doorstep"), description="folder of stores, spool and embedded log")
    log: str = Field("embedded", description='"embedded", or the bootstrap servers of Kafka')
    postgres: SecretStr = Field(
        SecretStr(""), description="connection string; empty: stores are SQLite files in home"
    )
    postgres_file: Path | None = Field(None, description="file that holds the connection string")
    admin_host: str = Field(
        "127.0.0.1",
        description="where health, metrics and questions listen; 0.0.0.0 only on a closed network",
    )
    ask_hosts: dict[Literal["segmenter", "renderer", "sender", "tracker"], str] = Field(
        default_factory=dict,
        description="as JSON, service to hosts (`a,b:8713`): where the command line asks, if not "
        "on this machine; a name with several addresses is several instances",
    )
    instance: str = Field(
        "",
        pattern=r"^[a-z0-9-]{0,40}$",
        description="which of several on one machine this is: a tracker's spool and cursor are its",
    )
    partitions: int = Field(24, ge=1, le=255, description="P; never altered in place")
    secret: SecretStr = Field(SecretStr(""), description="base64, 32 bytes: identities, addresses")
    secret_file: Path | None = Field(None, description="file that holds the secret")
    token_keys: dict[int, SecretStr] = Field(
        default_factory=dict, description="key id to base64 key; derived from the secret if empty"
    )
    token_keys_file: Path | None = Field(
        None, description="file of the keys, read again when it changes; without it as above"
    )
    action_keys: tuple[SecretStr, ...] = Field((), description="API keys for POST /actions")
    action_secrets: tuple[SecretStr, ...] = Field(
        (), description="whsec_...: whose signed webhooks POST /actions takes"
    )
    webhook_secrets: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="as JSON, name of a webhook to whsec_...: signs what it is told",
    )
    tracking_url: str = Field("http://127.0.0.1:8704", description="what links in mails begin with")
    postcodes: Path | None = Field(None, description="cache folder of the postcode directory")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )
    fail_at: str = Field("", description="commit point at which to end the process; tests only")

    kafka: KafkaSettings = KafkaSettings()
    loop: LoopSettings = LoopSettings()
    disk: DiskSettings = DiskSettings()
    segmenter: SegmenterSettings = SegmenterSettings()
    renderer: RendererSettings = RendererSettings()
    sender: SenderSettings = SenderSettings()
    tracker: TrackerSettings = TrackerSettings()

    @field_validator("tracking_url")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with https:// (http:// for a rehearsal)")
        return value.rstrip("/")

    def postgres_dsn(self) -> str:
        """The connection string of PostgreSQL, "" for SQLite. Holds a password: never log it."""
        if self.postgres_file is None:
            return self.postgres.get_secret_value()
        text = _read(f"{PREFIX}POSTGRES_FILE", self.postgres_file)
        if not text:
            raise Misconfigured(f"{PREFIX}POSTGRES_FILE: {self.postgres_file} is empty")
        return text

    def identity_secret(self) -> bytes:
        """The 32 bytes that key identities and address keys. Raises Misconfigured."""
        return _secret_bytes(self)

    def action_signers(self) -> list[bytes]:
        """The keys of those who sign what they report. Raises Misconfigured."""
        name = f"{PREFIX}ACTION_SECRETS"
        return [read_secret(name, each.get_secret_value()) for each in self.action_secrets]

    def webhook_keys(self) -> dict[str, bytes]:
        """Name of a webhook to the key that signs what it is told. Raises Misconfigured."""
        return {
            name: read_secret(f"{PREFIX}WEBHOOK_SECRETS: {name}", each.get_secret_value())
            for name, each in self.webhook_secrets.items()
        }

    def token_key_ring(self) -> dict[int, bytes]:
        """Key id to key. The highest id signs; all verify."""
        if self.token_keys:
            return {
                key_id: _decode(f"{PREFIX}TOKEN_KEYS[{key_id}]", key.get_secret_value())
                for key_id, key in self.token_keys.items()
            }
        return {1: _derived(self.identity_secret(), b"doorstep tokens")}


def read_settings(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings of this process. Raises Misconfigured, naming every bad or unknown name."""
    environment = os.environ if environment is None else environment
    problems = unknown_names(environment)
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            name = PREFIX + "__".join(str(part) for part in one["loc"]).upper()
            problems.append(f"{name}: {one['msg']}")
        raise Misconfigured("settings: " + "; ".join(problems)) from error
    if problems:
        raise Misconfigured("settings: " + "; ".join(problems))
    return settings


def unknown_names(environment: Mapping[str, str]) -> list[str]:
    """A complaint for each DOORSTEP_ name that no setting has."""
    known = known_names()
    return [
        f"{name}: there is no such setting (see docs/reference/settings.md)"
        for name in sorted(environment)
        if name.startswith(PREFIX)
        and name not in known
        and not name.startswith(f"{PREFIX}TOKEN_KEYS__")
    ]


def known_names() -> dict[str, str]:
    """Every environment name and its description."""
    names: dict[str, str] = {}
    for field, info in Settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            for inner, detail in info.annotation.model_fields.items():
                names[f"{PREFIX}{field}__{inner}".upper()] = detail.description or ""
            names[f"{PREFIX}{field}".upper()] = "a section, as JSON"
        else:
            names[f"{PREFIX}{field}".upper()] = info.description or ""
    return names


def _secret_bytes(settings: Settings) -> bytes:
    text = settings.secret.get_secret_value()
    if settings.secret_file is not None:
        text = _read(f"{PREFIX}SECRET_FILE", settings.secret_file)
    if not text:
        raise Misconfigured(
            f"{PREFIX}SECRET (or {PREFIX}SECRET_FILE) is not set: 32 random bytes in base64. "
            "`doorstep up` makes one in its home folder; keep it for ever, identities hang on it"
        )
    return _decode(f"{PREFIX}SECRET", text)


def _read(name: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise Misconfigured(f"{name}: cannot read it: {error}") from error


def _decode(name: str, text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Misconfigured(f"{name}: is not base64") from error
    if not 16 <= len(raw) <= 64:
        raise Misconfigured(f"{name}: {len(raw)} bytes; wanted 16 to 64 (32 is right)")
    return raw


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(purpose, key=secret, digest_size=32).digest()
