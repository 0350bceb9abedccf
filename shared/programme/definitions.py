"""The definitions a programme is made of, as checked models.

Files are read into these by `shared.programme.reading`; the programme topic carries them as JSON.
A definition is immutable: its version is a hash of its content.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.programme.rules import Rule

Jurisdiction = Literal["uk", "us", "none"]


class Checked(BaseModel):
    """A definition; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def version(self) -> str:
        """Twelve hex digits over the content: the same content, the same version.

        The order of keys is no content: areas may be sorted anew, and stores may sort keys.
        """
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(content.encode(), digest_size=6).hexdigest()


class Disclaimer(Checked):
    """The block every mail must carry.

    `uk`: promoter and address, and on whose behalf. `us`: paid for by, with postal address (the
    campaign's organisation and address where these are empty). `none` needs a recorded reason.
    """

    jurisdiction: Jurisdiction
    promoter: str = ""
    promoter_address: str = ""
    on_behalf_of: str = ""
    on_behalf_of_address: str = ""
    reason: str = ""


class Webhook(Checked):
    """Somebody who is told of events, by signed webhooks to `url`.

    `events` are kinds; `actions` narrows `acted` down to some. The secret that signs is no part of
    the programme: it is set under the webhook's name where the tracker runs.
    """

    name: str
    url: str
    events: tuple[str, ...] = Field(min_length=1)
    actions: tuple[str, ...] = ()


class WarmUp(Checked):
    """How many mails a new sending domain sends on each of its first days.

    Mailbox providers distrust a domain that nobody knows and that sends much. Days are the
    campaign's; after the last there is no limit.
    """

    begins: date
    days: tuple[int, ...] = Field(min_length=1)

    def most_on(self, day: date) -> int | None:
        """The limit of a day, None when there is none. Nothing goes before it begins."""
        number = (day - self.begins).days
        if number < 0:
            return 0
        return self.days[number] if number < len(self.days) else None


class Provider(Checked):
    """A mailbox provider: the ends of its mail domains, and how fast it likes mail (a second)."""

    domains: tuple[str, ...] = Field(min_length=1)
    rate: float = Field(gt=0)


class Campaign(Checked):
    """Who is speaking, and the defaults of every send. `seeds`: addresses that tests go to.

    `topics`: what people can leave and join by themselves, the name that sends say to what they
    read on the page. `languages` likewise: a code to the language's own name.
    `warm_up`: by sending domain. `providers`: by a name of the campaign's own.
    """

    name: str
    organisation: str
    from_name: str
    from_address: str
    reply_to: str
    postal_address: str
    timezone: str = "Europe/London"
    language: str = "en"
    topics: dict[str, str] = Field(default_factory=dict)
    languages: dict[str, str] = Field(default_factory=dict)
    webhooks: tuple[Webhook, ...] = ()
    configuration_set: str = "doorstep"
    seeds: tuple[str, ...] = ()
    disclaimer: Disclaimer
    warm_up: dict[str, WarmUp] = Field(default_factory=dict)
    providers: dict[str, Provider] = Field(default_factory=dict)


class Areas(Checked):
    """Data of the areas of one kind, by code: organiser, venue, whatever a template uses.

    `default` serves people whose area has no entry or who have no area.
    """

    name: str
    kind: str
    by_code: dict[str, dict[str, Any]]
    default: dict[str, Any] | None = None


class Segment(Checked):
    """A named rule."""

    name: str
    description: str = ""
    rule: Rule


class Template(Checked):
    """Jinja2 sources of one mail, self-contained: `partials` holds what it extends or includes.

    Partials that end in `.txt.j2` belong to the text part, all others to the HTML part.

    Merge data: `supporter` (first_name, last_name, name, language, postcode, and `attributes`),
    `area` (the area's data), `send` (name, deadline), `campaign`. Links may use `area`, `send` and
    `campaign` only. The renderer adds `unsubscribe_url`, `disclaimer`, `preferences_url` and
    `preheader` for both parts, and both must show the first two.
    """

    name: str
    subject: str
    preheader: str = ""
    html: str
    text: str
    partials: dict[str, str] = Field(default_factory=dict)


class Variant(Checked):
    """One way to put the ask. Empty fields fall back to the template and the campaign."""

    name: str
    template: str
    weight: int = Field(default=1, ge=1)
    subject: str = ""
    from_name: str = ""


class Send(Checked):
    """One planned mailing.

    `mode`: "once" freezes an audience when due; "newly_qualifies" mails everyone who enters the
    segment from then on, once each, until `until`. `areas` names the Areas whose data (and
    editions) this send uses. `unless_done`: actions that exclude a supporter up to the last look.
    Without `tracking`, links are plain and there is no pixel; `pixel: false` leaves out the pixel.
    """

    name: str
    segment: str
    variants: tuple[Variant, ...] = Field(min_length=1)
    mode: Literal["once", "newly_qualifies"] = "once"
    areas: str = ""
    topic: str = "campaign"
    priority: Literal["urgent", "normal", "low"] = "normal"
    deadline: datetime | None = None
    until: datetime | None = None
    reply_to: str = ""
    per_inbox: bool = True
    tracking: bool = True
    pixel: bool = True
    unconfirmed: Literal["leave", "resend"] = "leave"
    unless_done: tuple[str, ...] = ()


Definition = Campaign | Areas | Segment | Template | Send

MODELS: dict[str, type[Campaign | Areas | Segment | Template | Send]] = {
    "campaign": Campaign,
    "areas": Areas,
    "segment": Segment,
    "template": Template,
    "send": Send,
}


def kind_of(definition: Definition) -> str:
    """The kind word of a definition, as in programme keys."""
    return next(kind for kind, model in MODELS.items() if isinstance(definition, model))
