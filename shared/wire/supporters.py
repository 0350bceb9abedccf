"""Changes to supporters: what an import, the API, the console or a preference page states.

A change is a statement with a source and a time; the segmenter alone folds statements into a
profile, newest per field. Addresses may be inside, so the topic is kept seven days.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final, Literal

from pydantic import Field

from shared.wire.schema import WireModel

AttributeValue = str | int | float | bool | None


class Consent(WireModel):
    """The record of a consent to be mailed: wording, source and time of it."""

    wording: str
    source: str
    at: datetime


TrackingLevel = Literal["all", "links", "none"]
Frequency = Literal["everything", "weekly", "important"]
FREQUENCY: Final = "mail_frequency"
"""The attribute in which a supporter's Frequency stands."""


class TrackingChoice(WireModel):
    """The record of what a supporter lets us see: the pixel and links, links alone, or nothing."""

    allows: TrackingLevel
    wording: str
    source: str
    at: datetime


class ExternalIdentity(WireModel):
    """How another system knows the supporter."""

    source: str
    external_id: str


class SupporterChanged(WireModel):
    """A statement about one supporter.

    `profile` holds any of: email, first_name, last_name, postcode, language. `stated_by`:
    "import" never undoes an unsubscribe; "supporter" (their own hand) may.
    `given_areas`: kind to code, given by the source; they win over derived ones. `topics`: name
    to whether they want mail about it; only their own hand, or the console's, wins one back.
    """

    ce_type: ClassVar[str] = "supporter.changed"

    supporter_id: str
    stated_by: Literal["import", "console", "api", "supporter"]
    source: str
    at: datetime
    identity: ExternalIdentity | None = None
    profile: dict[str, str | None] = Field(default_factory=dict)
    attributes: dict[str, AttributeValue] = Field(default_factory=dict)
    tags_added: tuple[str, ...] = ()
    tags_removed: tuple[str, ...] = ()
    given_areas: dict[str, str] = Field(default_factory=dict)
    consent: Consent | None = None
    subscription: Literal["subscribed", "unsubscribed"] | None = None
    topics: dict[str, bool] = Field(default_factory=dict)
    tracking: TrackingChoice | None = None


class SupporterErased(WireModel):
    """Everything that is known of this supporter is to be forgotten. Holds nothing else."""

    ce_type: ClassVar[str] = "supporter.erased"

    supporter_id: str
    at: datetime
