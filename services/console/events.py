"""`doorstep events ...`: what happened, and judging anew whose opens and clicks they were."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from services.console.options import JSON
from services.console.reclassifying import reclassify
from services.console.screen import Screen, some
from services.console.surroundings import here
from services.console.tailing import following, newest
from shared.classification.agents import VERSION
from shared.classification.signals import VERSIONS
from shared.errors import Misconfigured
from shared.log.record import Stored
from shared.log.topics import EVENTS
from shared.programme.moments import BadMoment, parse_moment
from shared.programme.problems import no_such
from shared.wire.cloudevents import Envelope
from shared.wire.events import MEANING, Event

STYLES = {
    "accepted": "green", "delivered": "green", "clicked": "cyan", "opened": "cyan",
    "acted": "bold cyan", "unconfirmed": "magenta", "bounced": "red", "complained": "bold red",
    "failed": "red", "expired": "red", "rejected": "red", "unsubscribed": "yellow",
    "suppressed": "yellow", "excluded": "yellow", "capped": "yellow", "cancelled": "yellow",
    "judged": "dim",
}  # fmt: skip

app = typer.Typer(help="Read what happened.", no_args_is_help=True)


@app.callback()
def events() -> None:
    """Read what happened."""


@app.command("tail")
def tail(
    context: typer.Context,
    send: Annotated[str | None, typer.Option("--send", help="Only of this send.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only of this kind, as `delivered`.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="How many of the newest to begin with.")
    ] = 20,
    as_json: JSON = False,
) -> None:
    """The newest events; with --json one object a line, as analysts get them."""
    if kind is not None and kind not in MEANING:
        raise Misconfigured("--kind: " + ": ".join(no_such("kind of event", kind, MEANING)))
    around = here(context)
    needle = send.encode() if send else b""

    def look(stored: Stored) -> bool:
        wanted = f"doorstep.{kind}".encode() if kind else None
        if wanted is not None and stored.header("ce_type") != wanted:
            return False
        return not needle or needle in (stored.value or b"")

    def wanted(envelope: Envelope) -> bool:
        return isinstance(envelope.data, Event) and (not send or envelope.data.send_id == send)

    with around.log() as log:
        follower = log.follow(EVENTS)
        try:
            with around.screen.err.status("Reading events ..."):
                found = newest(follower, limit, wanted, look)
            for stored, envelope in found:
                _print(around.screen, stored, envelope, as_json=as_json)
            if not found and not follow and not as_json:
                around.screen.note("There are no such events yet.")
            if follow:
                for stored, envelope in following(follower, wanted, look):
                    _print(around.screen, stored, envelope, as_json=as_json)
        finally:
            follower.close()


@app.command("reclassify")
def reclassify_command(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Only opens and clicks from then on, as 2026-05-01T00:00Z."),
    ] = None,
    version: Annotated[
        int, typer.Option("--version", help="By the rules of this version.")
    ] = VERSION,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change; write nothing.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Judge the history anew: whose opens and clicks they were, by all that is known now.

    What differs from what was said is written to `events`, and the segments follow. Again and
    again is harmless. Run it when a new version of the rules is installed.
    """
    if version not in VERSIONS:
        known = ", ".join(str(each) for each in VERSIONS)
        raise Misconfigured(f"--version: there is no version {version} of the rules; say {known}")
    around = here(context)
    moment = _moment(since) if since is not None else None
    with around.log() as log, around.screen.err.status("Reading events ..."):
        found = reclassify(
            log, around.settings.home, version, moment, around.now(), write=not dry_run
        )
    if as_json:
        around.screen.json(
            {
                "version": version, "looked_at": found.looked_at, "newer": found.newer,
                "messages": found.messages, "written": not dry_run,
                "changed": [
                    {"from": before, "to": after, "hits": number}
                    for (before, after), number in sorted(found.changed.items())
                ],
            }
        )  # fmt: skip
        return
    for (before, after), number in sorted(found.changed.items()):
        around.screen.say(
            f"{before} → {after}: {some(number, 'open or click', 'opens and clicks')}"
        )
    total = found.changed.total()
    would = "would be " if dry_run else ""
    around.screen.say(
        f"{some(found.looked_at, 'open or click', 'opens and clicks')} looked at by version "
        f"{version}; {total:,} {would}judged otherwise, in {some(found.messages, 'message')}."
    )
    if found.newer:
        around.screen.note(f"{found.newer:,} were judged by a newer version and left as they are.")


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text)
    except BadMoment as error:
        raise Misconfigured(f"--since: {error}; {error.hint}") from None


def _print(screen: Screen, stored: Stored, envelope: Envelope, *, as_json: bool) -> None:
    if as_json:
        screen.json_line(as_data(stored, envelope))
    elif isinstance(envelope.data, Event):
        screen.say(line_of(envelope.data))


def as_data(stored: Stored, envelope: Envelope) -> dict[str, Any]:
    """An event as one flat JSON object, with its id and its place in the log."""
    return {
        "ce_id": envelope.id,
        "ce_source": envelope.source,
        "partition": stored.partition,
        "offset": stored.offset,
        **envelope.data.model_dump(mode="json", exclude_none=True),
    }


def line_of(event: Event) -> Text:
    """An event in one line: when, what, of which send, who, and what there is to add."""
    line = Text.assemble(
        (f"{event.at:%Y-%m-%d %H:%M:%S}Z ", "dim"),
        (f"{event.kind:<13}", STYLES.get(event.kind, "")),
    )
    mailing = "/".join(part for part in (event.send_id, event.variant, event.edition) if part)
    line.append(f"{mailing or '-':<28} ")
    line.append(event.supporter_id, "dim")
    said = [
        event.action,
        f"link {event.link}" if event.link is not None else None,
        event.reason,
        f"by {event.agent}" if event.agent else None,
        "not settled" if not event.settled else None,
    ]
    rest = ", ".join(part for part in said if part)
    return line.append(f"  {rest}") if rest else line
