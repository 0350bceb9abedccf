"""What can be set: the settings of a run, and the switches that may be thrown while it runs.

Every switch is at once a field of `Switches`, a command-line option of the same name (with
dashes) and a key of `PUT /sandbox/switches`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from deploy.ses_sandbox.faults import FAULTS, FaultName

Share = Annotated[float, Field(ge=0, le=1)]
Millis = Annotated[float, Field(ge=0)]


def _split_commas(value: object) -> object:
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


def _pairs_to_shares(value: object) -> object:
    if not isinstance(value, list):
        return value
    return dict(str(pair).partition("=")[::2] for pair in value)


Names = Annotated[tuple[str, ...] | None, BeforeValidator(_split_commas)]
FaultShares = Annotated[dict[FaultName, Share], BeforeValidator(_pairs_to_shares)]


@dataclass(frozen=True, slots=True)
class Settings:
    """Fixed for a run. `port` 0 lets the system choose; `fsync` survives power loss as well."""

    directory: Path
    host: str
    port: int
    topic_arn: str
    fsync: bool


class Switches(BaseModel):
    """May change between two requests; each request is judged by one whole set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # time
    latency_ms: Millis = Field(
        default=0, description="time an answer takes, half before acceptance"
    )
    latency_jitter_ms: Millis = Field(
        default=0, description="up to this much more, drawn per request"
    )
    hold_seconds: Annotated[float, Field(gt=0)] = Field(
        default=60, description="how long a hang lasts"
    )
    validity_seconds: Annotated[float, Field(gt=0)] = Field(
        default=300,
        description="oldest X-Amz-Date that is still obeyed at the moment of acceptance",
    )
    clock_skew_seconds: float = Field(
        default=0, description="how far SES's clock is ahead of this one's"
    )

    # the account
    max_send_rate: Annotated[float, Field(gt=0)] = Field(
        default=5000, description="recipients a second (token bucket of one second); above: 429"
    )
    daily_quota: float = Field(default=-1, description="recipients in 24 h, -1 for no limit")
    sending_paused: bool = Field(
        default=False, description="refuse all with SendingPausedException"
    )
    account_suspended: bool = Field(
        default=False, description="refuse all with AccountSuspendedException"
    )
    mail_from_verified: bool = Field(
        default=True, description="off: refuse all with MailFromDomainNotVerifiedException"
    )
    content_rejected: bool = Field(
        default=False, description="refuse all with MessageRejected, one by one"
    )
    production_access: bool = Field(default=True, description="what GetAccount says")
    enforcement_status: Literal["HEALTHY", "PROBATION", "SHUTDOWN"] = Field(
        default="HEALTHY", description="what GetAccount says"
    )
    verified_identities: Names = Field(
        default=None, description="addresses and domains that may send (default: all)"
    )
    configuration_sets: Names = Field(
        default=None, description="the sets that exist (default: all)"
    )

    # faults
    seed: str = Field(default="doorstep", description="what all chance is drawn from")
    faults: FaultShares = Field(
        default_factory=dict, description="share of requests per fault; together at most 1"
    )

    # mailboxes
    bounce_rate: Share = Field(default=0, description="share of addresses that always bounce")
    complaint_rate: Share = Field(default=0, description="share of addresses that always complain")

    # events
    sns_endpoint: str | None = Field(default=None, description="URL that gets the notifications")
    events_held: bool = Field(default=False, description="keep all events back until switched off")
    events_dropped: bool = Field(
        default=False, description="drop due events unposted, as SNS does when it has given up"
    )
    send_delay_ms: Millis = Field(default=0, description="from acceptance to the Send event")
    delivery_delay_ms: Millis = Field(
        default=200, description="from acceptance to the Delivery event"
    )
    bounce_delay_ms: Millis = Field(default=300, description="from acceptance to the Bounce event")
    complaint_delay_ms: Millis = Field(
        default=500, description="from acceptance to the Complaint event"
    )
    duplicate_rate: Share = Field(default=0, description="share of events posted twice")
    out_of_order_rate: Share = Field(
        default=0, description="share of events that others may overtake"
    )
    out_of_order_ms: Millis = Field(
        default=2000, description="how long an overtaken event is held back"
    )
    signature_version: Literal["1", "2"] = Field(default="2", description="1: SHA-1, 2: SHA-256")
    post_concurrency: Annotated[int, Field(ge=1, le=256)] = Field(
        default=16, description="notifications in flight at once"
    )

    @model_validator(mode="after")
    def _shares_leave_room(self) -> Self:
        if sum(self.faults.values()) > 1 + 1e-9:
            raise ValueError("the shares of all faults together must not exceed 1")
        if self.bounce_rate + self.complaint_rate > 1:
            raise ValueError("bounce_rate and complaint_rate together must not exceed 1")
        if self.sns_endpoint and not self.sns_endpoint.startswith(("http://", "https://")):
            raise ValueError("sns_endpoint must be an http:// or https:// URL")
        return self


class WrongSwitch(ValueError):
    """A switch that does not exist or a value it cannot take; the text says which and why."""


def switches_with(current: Switches, changes: Mapping[str, object]) -> Switches:
    """`current` with the given keys replaced (a map is replaced as a whole).

    Raises WrongSwitch, naming each offending key.
    """
    try:
        return Switches.model_validate({**current.model_dump(), **changes})
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, detail['loc'])) or 'switches'}: {detail['msg']}"
            for detail in error.errors(include_url=False, include_input=False)
        ]
        known = f" Known faults: {', '.join(FAULTS)}." if "faults" in changes else ""
        raise WrongSwitch("; ".join(faults) + "." + known) from error


def read_changes(body: bytes) -> dict[str, object]:
    """The JSON object of a PUT. Raises WrongSwitch when it is none."""
    try:
        changes = json.loads(body)
    except ValueError as error:
        raise WrongSwitch(f"not JSON: {error}") from error
    if not isinstance(changes, dict):
        raise WrongSwitch("expected a JSON object of switches")
    return changes


class SwitchBoard:
    """Holds the switches as they stand now; everyone who must see a change reads them here."""

    def __init__(self, switches: Switches) -> None:
        self.now = switches

    def throw(self, changes: Mapping[str, object]) -> Switches:
        """Apply changes all at once or not at all. Raises WrongSwitch."""
        self.now = switches_with(self.now, changes)
        return self.now
