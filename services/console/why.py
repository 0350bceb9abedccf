"""`doorstep why SEND SUPPORTER`: did this person get it, and if not, why?"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import typer

from services.console.asking import NotRunning, Services
from services.console.identities import Person, ask_known
from services.console.options import JSON
from services.console.orders import standing_of
from services.console.phrases import says_it
from services.console.programme_topic import read_table
from services.console.screen import Screen
from services.console.story import Known, Verdict, read_known, story, verdict
from services.console.surroundings import here
from shared.errors import Misconfigured
from shared.ids import BadAddress, address_key
from shared.settings import Settings

STYLES: Final = {
    "Yes": "bold green", "No": "bold red", "Not yet": "bold yellow", "In doubt": "bold magenta",
}  # fmt: skip
_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def why(
    context: typer.Context,
    send: Annotated[str, typer.Argument(metavar="SEND", help="The send.")],
    supporter: Annotated[
        str,
        typer.Argument(
            metavar="SUPPORTER", help="A supporter id, an e-mail address, or SOURCE:EXTERNAL_ID."
        ),
    ],
    as_json: JSON = False,
) -> None:
    """Whether a supporter got a send, and why or why not, in plain words."""
    around = here(context)
    with around.log() as log:
        programme = read_table(log)
    standing = standing_of(programme, send, around.now())
    supporter_id = as_supporter_id(around.services, supporter, around.settings)
    explained = around.services.get("segmenter", "/ask/explain", send=send, supporter=supporter_id)
    outcomes = _outcomes(around.services, around.screen, send, supporter_id)
    known = read_known(explained, outcomes, programme.rule_of_send(send))
    zone = programme.zone
    planned = programme.send(send)
    goes_on = planned is not None and planned.mode == "newly_qualifies"
    found = verdict(known, standing, zone, goes_on=goes_on)
    if as_json:
        around.screen.json(_as_data(supporter_id, standing.state, found, explained, known))
        return
    _print(around.screen, send, supporter_id, found, known)
    for when, what in story(known, standing, zone):
        around.screen.say((f"  {when:<24}", "dim"), what)


def as_supporter_id(services: Services, said: str, settings: Settings) -> str:
    """The supporter id behind what somebody typed; the secret is only needed for what is none."""
    secret = settings.identity_secret() if not _ID.fullmatch(said.strip()) else b""
    return find_supporter(services, said, secret)


def find_supporter(services: Services, said: str, secret: bytes) -> str:
    """The supporter id behind what somebody typed. Raises Misconfigured."""
    text = said.strip()
    if _ID.fullmatch(text):
        return text.lower()
    source, colon, external_id = text.partition(":")
    if "@" in text and not (colon and "@" not in source):
        try:
            person = Person(key=address_key(text, secret))
        except BadAddress as error:
            raise Misconfigured(f'"{text}" is no e-mail address: {error}') from error
        named = "this address"
    elif colon and source.strip() and external_id.strip():
        person = Person(source=source.strip(), external_id=external_id.strip())
        named = f"{external_id.strip()} in {source.strip()}"
    else:
        raise Misconfigured(
            f'"{text}" names no supporter: give a supporter id, an e-mail address, '
            "or SOURCE:EXTERNAL_ID as in your import, for example crm:1874"
        )
    [known] = ask_known(services, [person])
    if known is None:
        raise Misconfigured(
            f"nobody is known by {named}: see that it is spelt as it was imported, "
            "and that the import has been read (`doorstep status`)"
        )
    return known.supporter_id


def _outcomes(services: Services, screen: Screen, send: str, supporter_id: str) -> dict[str, Any]:
    """The sender's word; without it, what the segmenter knows must do."""
    try:
        return services.get("sender", "/ask/outcome", send=send, supporter=supporter_id)
    except NotRunning:
        screen.warn("the sender does not answer: this is what the segmenter knows")
        return {}


def _print(screen: Screen, send: str, supporter_id: str, found: Verdict, known: Known) -> None:
    screen.say((f"{found.word}: ", STYLES[found.word]), (found.sentence, "bold"))
    screen.say((f"  {send}, supporter {supporter_id}", "dim"))
    if known.tree:
        says = "in" if known.in_segment else "outside"
        screen.say(f"  Now {says} segment {known.segment}:")
        for branch in known.tree:
            mark = ("✓ ", "green") if branch.as_wanted else ("✗ ", "red")
            fact = f"  ({branch.fact})" if branch.fact and not says_it(branch) else ""
            screen.say("    ", mark, "  " * branch.depth, branch.text, (fact, "dim"))
    if known.standing:
        style = "green" if known.standing == "mailable" else "yellow"
        screen.say("  Standing: ", (known.standing.replace("_", " "), style))


def _as_data(
    supporter_id: str, state: str, found: Verdict, explained: dict[str, Any], known: Known
) -> dict[str, Any]:
    return {
        "supporter_id": supporter_id,
        "send_state": state,
        "verdict": found.word,
        "sentence": str(found),
        "outcome": known.outcome,
        **explained,
    }
