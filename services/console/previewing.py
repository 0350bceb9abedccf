"""`doorstep send preview` and `doorstep send test`: a mail as somebody would get it.

Neither is about the person: tokens stand for nobody, links are not counted, and a test is in no
book. What is shown is what was last applied.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from services.console.asking import NotYet, Services
from services.console.browser import DESKTOP, PHONE, picture
from services.console.linting import applied
from services.console.options import JSON, NAME
from services.console.orders import NotPossible
from services.console.programme_topic import read_table
from services.console.screen import Screen, some
from services.console.surroundings import Surroundings, here
from services.console.why import as_supporter_id
from shared.errors import Misconfigured
from shared.ids import BadAddress, normalise_address
from shared.programme.definitions import Campaign, Send

SUPPORTER = Annotated[
    str | None,
    typer.Option(
        "--supporter", metavar="WHO",
        help="Whose mail: a supporter id, an e-mail address, or SOURCE:EXTERNAL_ID. Without it, "
        "somebody made up.",
    ),
]  # fmt: skip
VARIANT = Annotated[
    str | None, typer.Option("--variant", help="Instead of the one that would be drawn.")
]
EDITION = Annotated[
    str | None, typer.Option("--edition", metavar="AREA", help="Of somebody made up: their area.")
]
ARRIVAL_SECONDS: Final = 5.0
FILE_OR_OUT: Final = "FILE, or - for standard output"

INERT: Final = (
    "A preview: its links lead where they would lead, and are not counted; its way out does nothing"
)


def preview(
    context: typer.Context,
    name: NAME,
    supporter: SUPPORTER = None,
    variant: VARIANT = None,
    edition: EDITION = None,
    text: Annotated[bool, typer.Option("--text", help="The text part alone.")] = False,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help=f"The HTML part to {FILE_OR_OUT}.")
    ] = None,
    eml: Annotated[
        str | None, typer.Option("--eml", metavar="FILE", help=f"The message to {FILE_OR_OUT}.")
    ] = None,
    shot: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="A picture (PNG), by Chromium."),
    ] = None,
    phone: Annotated[bool, typer.Option("--phone", help="The picture as on a phone.")] = False,
    dark: Annotated[bool, typer.Option("--dark", help="The picture in dark mode.")] = False,
    as_json: JSON = False,
) -> None:
    """Show the mail that a supporter would get."""
    if (phone or dark) and shot is None:
        raise Misconfigured("--phone and --dark are about a picture: say --picture FILE")
    around = here(context)
    with around.log() as log:
        send = applied(read_table(log), name)
    found = ask_preview(around, send, _question(around, send, supporter, variant, edition))
    screen = around.screen
    if as_json:
        screen.json(found)
    elif text:
        _write(screen, "-", found["text"])
    for path, content in ((html, found["html"]), (eml, found["mail"])):
        if path is not None:
            _write(screen, path, content)
    if shot is not None:
        made = picture(found["html"], PHONE if phone else DESKTOP, dark=dark)
        _write(screen, str(shot), made)
    if not (as_json or text or html or eml or shot):
        _show(screen, send, found, made_up=supporter is None)
    screen.note((f"{INERT}.", "dim"))


def mail_seeds(
    context: typer.Context,
    name: NAME,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="ADDRESSES", help="Seeds, between commas. Without it, all."),
    ] = None,
    supporter: SUPPORTER = None,
    variant: VARIANT = None,
    edition: EDITION = None,
    as_json: JSON = False,
) -> None:
    """Mail a send to seeds of the campaign, marked as a test, outside of its books."""
    around = here(context)
    with around.log() as log:
        table = read_table(log)
    send = applied(table, name)
    addresses = chosen_seeds(to, table.campaign)
    question = _question(around, send, supporter, variant, edition)
    results = []
    for address in addresses:
        found = ask_preview(around, send, {**question, "to": address})
        said = around.services.post(
            "sender", "/seeds/mail",
            {"send": send.name, "topic": send.topic, "to": address, "sender": found["sender"],
             "mail": found["mail"]},
        )  # fmt: skip
        results.append({"to": address, "subject": f"[TEST] {found['subject']}", **said})
    if as_json:
        around.screen.json(results)
    else:
        for each in results:
            _tell(around.screen, each)
    if any(each["verdict"] != "accepted" for each in results):
        raise typer.Exit(NotPossible.exit_code)


def chosen_seeds(said: str | None, campaign: Campaign | None) -> list[str]:
    """The seeds that are meant. Raises NotPossible for an address that is none."""
    seeds = {normalise_address(each): each for each in campaign.seeds} if campaign else {}
    if not seeds:
        raise NotPossible(
            "the campaign names no seeds: list the addresses that tests may go to under `seeds:` "
            "in campaign.yaml, and apply"
        )
    if said is None:
        return list(seeds.values())
    wanted: list[str] = []
    for each in (part.strip() for part in said.split(",") if part.strip()):
        try:
            known = seeds.get(normalise_address(each))
        except BadAddress as error:
            raise NotPossible(f'--to: "{each}" is no e-mail address: {error}') from error
        if known is None:
            raise NotPossible(
                f"{each} is no seed of the campaign ({', '.join(seeds.values())}): tests go to "
                "seeds only. Add it under `seeds:` in campaign.yaml and apply, or use "
                "`doorstep send preview`"
            )
        wanted.append(known)
    if not wanted:
        raise NotPossible("--to: give one of the seeds, or leave it out for all of them")
    return list(dict.fromkeys(wanted))


def ask_preview(around: Surroundings, send: Send, question: dict[str, Any]) -> dict[str, Any]:
    """The renderer's answer. Raises NotPossible for a variant that the send does not have."""
    known = [variant.name for variant in send.variants]
    variant = question.get("variant")
    if variant is not None and variant not in known:
        raise NotPossible(f"{send.name} has no variant {variant!r}: it has {', '.join(known)}")
    return _arrived(lambda: around.services.post("renderer", "/ask/preview", question))


def _question(
    around: Surroundings,
    send: Send,
    supporter: str | None,
    variant: str | None,
    edition: str | None,
) -> dict[str, Any]:
    """What the renderer is asked, without empty parts."""
    question: dict[str, Any] = {"send": send.name}
    if supporter is not None:
        if edition is not None:
            raise Misconfigured("--edition is for somebody made up: a supporter has an area")
        supporter_id = as_supporter_id(around.services, supporter, around.settings)
        question["recipient"] = _recipient(around.services, send, supporter_id)
    if variant is not None:
        question["variant"] = variant
    if edition is not None:
        question["edition"] = edition
    return question


def _recipient(services: Services, send: Send, supporter_id: str) -> dict[str, Any]:
    answer = _arrived(
        lambda: services.get("segmenter", "/ask/recipient", send=send.name, supporter=supporter_id)
    )
    recipient = answer.get("recipient")
    if not isinstance(recipient, dict):
        raise NotPossible(f"nothing is known of the supporter {supporter_id}")
    return recipient


def _arrived(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer, once what was applied a moment ago has arrived at the service."""
    end = time.monotonic() + ARRIVAL_SECONDS
    while True:
        try:
            return ask()
        except NotYet:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _show(screen: Screen, send: Send, found: dict[str, Any], *, made_up: bool) -> None:
    edition = f", edition {found['edition']}" if found["edition"] else ""
    whose = "somebody made up" if made_up else found["to"]
    screen.say((send.name, "bold"), (f" for {whose}: variant {found['variant']}{edition}", "dim"))
    heads = (("From", "from"), ("Reply-To", "reply_to"), ("To", "to"))
    for title, key in heads:
        screen.say((f"  {title:<11}", "dim"), found[key])
    screen.say(("  Subject    ", "dim"), (found["subject"], "bold"))
    screen.say(("  Preheader  ", "dim"), found["preheader"] or ("there is none", "yellow"))
    screen.say()
    screen.say(found["text"].strip("\n"))
    screen.say()


def _tell(screen: Screen, result: dict[str, Any]) -> None:
    if result["verdict"] == "accepted":
        screen.say(("✓ ", "green"), (result["to"], "bold"), f": {result['subject']}")
    else:
        said = result["reason"] or result["verdict"]
        screen.say(("✗ ", "red"), (result["to"], "bold"), f": not sent: {said}")


def _write(screen: Screen, path: str, content: str | bytes) -> None:
    """To a file, or to standard output as it is."""
    data = content.encode() if isinstance(content, str) else content
    if path == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror or error}") from error
    screen.say(("✓ ", "green"), f"{path} ({some(len(data), 'byte')})")
