"""Complete mails a second on one core: the renderer against stock Jinja2 and `EmailMessage`.

Both make the same mails of the same template in the same run: HTML of about 23 KB, a text part, 12
links, a pixel, MIME. No value comes twice. Reference and renderer take turns, round by round, and
CPU time counts, so that a neighbour on the machine slows both or neither; the median round is told.
`--profile` prints where the time of one mail goes, and what a batch costs around its mails.

    make bench NAME=rendering [BENCH_OPTIONS="--mails 2000 --rounds 5 --profile"]
"""

from __future__ import annotations

import argparse
import email.policy
import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any, Final

import jinja2

from services.renderer.batches import records_of
from services.renderer.disclaimers import disclaimer_html, disclaimer_text
from services.renderer.preparing import Prepared, prepare
from services.renderer.rendering import Signing, bodies_for, render
from services.renderer.templates import CompiledTemplate
from shared.log.record import Stored
from shared.programme.definitions import Campaign, Disclaimer, Send, Template, Variant
from shared.programme.links import number_template
from shared.tokens import Token, edition_hash, send_hash, sign
from shared.wire.batches import AudienceBatch, MessageBatch, Recipient
from shared.wire.cloudevents import decode, encode

SIGNING: Final = Signing("https://t.example.org", 1, b"benchmark-key-of-32-bytes-length")
DATE: Final = "Mon, 04 May 2026 09:00:00 +0000"
NOW: Final = datetime(2026, 5, 4, 9, tzinfo=UTC)
BATCH: Final = 500

FIELDS: Final = ("meeting", "canvass", "stall", "phones", "leaflets", "polling")
_TABLE: Final = 'role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"'
_CELL: Final = (
    "padding:16px 24px;font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;"
    "font-size:16px;line-height:26px;color:#1f2937;background:#ffffff;max-width:600px;"
    "border-bottom:1px solid #e5e7eb;border-collapse:collapse;text-align:left;vertical-align:top;"
    "mso-line-height-rule:exactly;-webkit-text-size-adjust:100%;-ms-text-size-adjust:100%;"
    "mso-table-lspace:0pt;mso-table-rspace:0pt;-webkit-font-smoothing:antialiased;"
    "letter-spacing:normal;text-transform:none;white-space:normal;word-break:break-word;"
)


def _section(number: int, field: str) -> str:
    return (
        f'<tr><td style="{_CELL}"><table {_TABLE}><tbody><tr><td width="64" style="{_CELL}">'
        f'<img src="https://img.example.org/{number}.png" width="48" height="48" alt="" '
        f'style="display:block;border:0;border-radius:6px;"></td><td style="{_CELL}">'
        f'<h2 style="margin:0 0 8px;font-size:19px;">{{{{ area.{field}_head }}}}</h2>'
        f'<p style="margin:0 0 12px;">{{{{ area.{field} }}}} &mdash; whatever the day brings, '
        "whoever is free, whatever the weather; bring a neighbour and good shoes.</p>"
        f'<a href="https://www.example.org/{{{{ area.slug }}}}/{field}?from=mail&amp;n={number}" '
        'style="display:inline-block;padding:10px 18px;background:#14532d;color:#ffffff;'
        'text-decoration:none;border-radius:6px;">Take me there</a>'
        "</td></tr></tbody></table></td></tr>\n"
    )


def _news(number: int) -> str:
    link = f"https://www.example.org/page/{number}?from=mail"
    words = f"Read on: {{{{ area.news_{number} }}}}"
    return f'<tr><td style="{_CELL}"><a href="{link}">{words}</a></td></tr>\n'


def _in_text(number: int, field: str) -> str:
    return (
        f"{{{{ area.{field}_head }}}}: whatever the weather; bring a neighbour, good shoes and an "
        "hour, and we bring the leaflets, a map and tea.\n"
        f"https://www.example.org/{{{{ area.slug }}}}/{field}?from=mail&n={number}\n\n"
    )


BASE: Final = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    "<title>{{ campaign.organisation }}</title></head>\n"
    f'<body style="margin:0;padding:0;background:#eef1ee;">\n<table {_TABLE}><tbody>\n'
    "{% block content %}{% endblock %}"
    f'<tr><td style="{_CELL}"><a href="{{{{ unsubscribe_url }}}}">No more mails, please</a>'
    "<br>{{ disclaimer }}</td></tr>\n</tbody></table>\n</body></html>"
)
PAGE: Final = (
    "{% extends 'base.html.j2' %}{% block content %}"
    f'<tr><td style="{_CELL}"><p>Dear {{{{ supporter.first_name }}}},</p>'
    "<p>{{ area.organiser }} asks you and {{ supporter.attributes.household }} at "
    "{{ supporter.postcode }}.</p>{% if supporter.attributes.pledged %}<p>You pledged on "
    "{{ supporter.attributes.pledged }}: thank you.</p>{% else %}<p>Will you pledge?</p>{% endif %}"
    "</td></tr>\n"
    + "".join(_section(number, field) for number, field in enumerate(FIELDS))
    + "{% for event in area.events %}"
    f'<tr><td style="{_CELL}"><strong>{{{{ event.day }}}}, {{{{ event.time }}}}</strong><br>'
    "{{ event.place }}<br>Ask for {{ event.host }}"
    "{% if event.note %} <em>({{ event.note }})</em>{% endif %}</td></tr>\n{% endfor %}"
    + "".join(_news(number) for number in range(6))
    + "{% endblock %}"
)
TEXT: Final = (
    "Dear {{ supporter.first_name }},\n\n{{ area.organiser }} asks you and "
    "{{ supporter.attributes.household }} at {{ supporter.postcode }}.\n\n"
    + "".join(_in_text(number, field) for number, field in enumerate(FIELDS))
    + "{% for event in area.events %}{{ event.day }}, {{ event.time }}: {{ event.place }}, ask for "
    "{{ event.host }}\n{% endfor %}\n"
    "No more mails, please: {{ unsubscribe_url }}\n\n{{ disclaimer }}"
)
TEMPLATE: Final = Template(
    name="bench",
    subject="{{ supporter.first_name }}, {{ area.name }} needs you",
    preheader="{{ area.organiser }} asks",
    html=PAGE,
    text=TEXT,
    partials={"base.html.j2": BASE},
)
CAMPAIGN: Final = Campaign(
    name="bench", organisation="Bench Town", from_name="Bench Town", from_address="a@example.org",
    reply_to="office@example.org", postal_address="1 Quay, Bench Town",
    disclaimer=Disclaimer(
        jurisdiction="uk", promoter="A. Promoter", promoter_address="2 Quay, Bench Town"
    ),
)  # fmt: skip
SEND: Final = Send(name="bench", segment="all", variants=(Variant(name="a", template="bench"),))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--mails", type=int, default=2_000, help="a round, of the renderer")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--profile", action="store_true")
    given = options.parse_args()
    prepared = prepare(SEND, 0, CAMPAIGN, CompiledTemplate(TEMPLATE))
    reference = Reference()
    few = max(given.mails // 30, 1)
    of_ours, of_theirs = [], []
    for number in range(given.rounds):
        people = audience(given.mails, number)
        of_theirs.append(seconds_each(people[:few], reference.mail))
        of_ours.append(seconds_each(people, lambda one: made(one, prepared)))
    ours, theirs = statistics.median(of_ours), statistics.median(of_theirs)
    mail = made(audience(1, 0)[0], prepared)
    if given.profile:
        profile(prepared, audience(BATCH, given.rounds))
    print(
        json.dumps(
            {
                "name": "rendering",
                "value": round(1 / ours),
                "unit": "mails/s",
                "reference": round(1 / theirs),
                "ratio": round(theirs / ours, 1),
                "microseconds": round(ours * 1e6, 1),
                "mail_bytes": len(mail),
                "mails": given.mails * given.rounds,
            }
        )
    )


def audience(count: int, round_number: int) -> list[Recipient]:
    """Recipients of whom no two share a value."""
    return [_recipient(f"{round_number}-{n}") for n in range(count)]


def _recipient(mark: str) -> Recipient:
    area: dict[str, Any] = {
        field: f"The {field} of ward {mark}, by the old quay" for field in FIELDS
    }
    area |= {f"{field}_head": f"{field.title()} {mark}" for field in FIELDS}
    area |= {f"news_{n}": f"What happened in week {n}/{mark}" for n in range(6)}
    area |= {"name": f"Ward {mark}", "slug": f"ward-{mark}", "organiser": f"Zoë O'Hara {mark}"}
    area["events"] = [_event(n, mark) for n in range(5)]
    supporter = {
        "first_name": f"Ada {mark}", "last_name": "Byron", "name": f"Ada {mark} Byron",
        "language": "en", "postcode": f"FK {mark}",
        "attributes": {"household": f"the {mark}s", "pledged": f"day {mark}"},
    }  # fmt: skip
    return Recipient(
        message_id=str(uuid.uuid4()), send_id="bench", send_version="1", variant="a",
        edition=f"FK {mark}", supporter_id=str(uuid.uuid4()), address_key="0" * 32,
        to=f"ada.{mark}@example.org", merge={"supporter": supporter, "area": area},
    )  # fmt: skip


def _event(number: int, mark: str) -> dict[str, str]:
    return {
        "day": f"Day {number} {mark}",
        "time": f"{number}:15 ({mark})",
        "place": f"Hall & Yard {number}/{mark}",
        "host": f"Host {mark}-{number}",
        "note": f"note {mark}" if number % 2 else "",
    }


def seconds_each(people: Sequence[Recipient], make: Callable[[Recipient], str]) -> float:
    """CPU seconds of one mail."""
    began = time.process_time()
    for one in people:
        make(one)
    return (time.process_time() - began) / len(people)


def made(recipient: Recipient, prepared: Prepared) -> str:
    message = render(recipient, prepared, SIGNING, DATE)
    if message.mail is None:
        sys.exit(f"a mail was refused: {message.refusal}")
    return message.mail


class Reference:
    """The way anybody would begin: Jinja2, links by a function, `EmailMessage`."""

    def __init__(self) -> None:
        numbered = number_template(TEMPLATE)
        self._hrefs = numbered.hrefs
        page = numbered.partials["base.html.j2"].replace(
            "</body>", '<img src="{{ pixel }}" width="1" height="1" alt=""></body>'
        )
        sources = {"base.html.j2": page, "html": numbered.html}
        self._html = jinja2.Environment(
            autoescape=True, loader=jinja2.DictLoader(sources)
        ).get_template("html")
        plain = jinja2.Environment(autoescape=False)  # a text part, and a subject
        self._text = plain.from_string(numbered.text)
        self._subject = plain.from_string(TEMPLATE.subject)
        self._campaign = CAMPAIGN.model_dump()

    def mail(self, one: Recipient) -> str:
        token = sign(
            Token(one.supporter_id, send_hash("bench"), 0, 0, edition_hash(one.edition)),
            SIGNING.key_id,
            SIGNING.key,
        )
        url = f"{SIGNING.tracking_url}/u/{token}"
        given = {
            **one.merge, "campaign": self._campaign, "unsubscribe_url": url,
            "tracked": lambda number: f"{SIGNING.tracking_url}/c/{token}/{number}",
            "pixel": f"{SIGNING.tracking_url}/o/{token}.gif",
        }  # fmt: skip
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"] = Address(CAMPAIGN.from_name, addr_spec=CAMPAIGN.from_address)
        message["To"] = Address(one.merge["supporter"]["name"], addr_spec=one.to)
        message["Reply-To"] = CAMPAIGN.reply_to
        message["Subject"] = self._subject.render(given)
        message["Date"] = DATE
        message["List-Unsubscribe"] = f"<{url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(self._text.render(given, disclaimer=disclaimer_text(CAMPAIGN)))
        message.add_alternative(
            self._html.render(given, disclaimer=disclaimer_html(CAMPAIGN)), subtype="html"
        )
        return message.as_bytes().decode("ascii")


def profile(prepared: Prepared, people: list[Recipient]) -> None:
    """Microseconds a mail of each step, the best of a few rounds, to standard output."""
    batch = AudienceBatch(batch_id="b", partition=0, recipients=tuple(people))
    record = encode(
        batch, id="b", source="bench", subject="bench", time=NOW, topic="audience", partition=0,
        key="0", compress=True,
    )  # fmt: skip
    stored = Stored("audience", 0, 0, record.key, record.value, record.headers, 0)
    entries = tuple(render(one, prepared, SIGNING, DATE) for one in people)
    rendered = MessageBatch(batch_id="b", partition=0, entries=entries)
    (made_record,) = records_of(rendered, NOW)
    made_stored = Stored(
        "messages", 0, 0, made_record.key, made_record.value, made_record.headers, 0
    )
    steps: dict[str, Callable[[], object]] = {
        "read an audience batch": lambda: decode(stored),
        "token, subject, both parts": lambda: [bodies_for(p, prepared, SIGNING) for p in people],
        "complete mails": lambda: [render(p, prepared, SIGNING, DATE) for p in people],
        "record of the messages (JSON, zstd)": lambda: records_of(rendered, NOW),
        "read it (the sender)": lambda: decode(made_stored),
    }
    for name, step in steps.items():
        best = min(_seconds(step) for _ in range(5))
        print(f"{best / len(people) * 1e6:8.1f} us  {name}")
    size = len(made_record.value or b"") / len(people)
    print(f"{size:8.0f} bytes a mail on the log")


def _seconds(step: Callable[[], object]) -> float:
    began = time.process_time()
    step()
    return time.process_time() - began


if __name__ == "__main__":
    main()
