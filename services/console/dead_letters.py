"""`doorstep dead-letters`: records that could not be handled: why, and what is done about them.

A letter's record may hold addresses, so it is never shown; where it stands is. Replaying and
discarding are written in one piece with the mark that the letter is dealt with, and by one person
at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from services.console.letters import (
    SHOWN_HEADERS,
    Letter,
    Unreadable,
    by_send,
    chosen,
    collect,
    discarded,
    people_in,
    replayed,
)
from services.console.options import JSON
from services.console.screen import Column, minute, some
from services.console.surroundings import Surroundings, here
from services.console.tailing import newest
from shared.errors import Fenced, Misconfigured, NeverRetry, RetryLater
from shared.log.port import Log
from shared.log.record import Record
from shared.log.topics import DEAD_LETTERS
from shared.wire.dead_letters import DeadLetter, DeadLetterHandled

MOST = 1_000_000
WRITER = "dead-letters"
ID = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]
SOME_ID = Annotated[str | None, typer.Argument(metavar="[ID]", help="As `list` shows it.")]
ALL = Annotated[bool, typer.Option("--all", help="All that are open.")]

app = typer.Typer(help="Records that could not be handled.", no_args_is_help=True)


@app.callback()
def dead_letters() -> None:
    """Records that could not be handled."""


@app.command("list")
def list_letters(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 100,
    handled: Annotated[
        bool, typer.Option("--handled", help="Also those replayed or discarded.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """The newest open dead letters, newest last, and what they are about."""
    around = here(context)
    with around.log() as log:
        everything = read_letters(log)
    letters = [each for each in everything if handled or each.handled is None][-limit:]
    if as_json:
        around.screen.json([as_data(letter) for letter in letters])
        return
    done = sum(each.handled is not None for each in everything)
    aside = f" {some(done, 'is', 'are')} dealt with: see them with --handled." if done else ""
    if not letters:
        around.screen.say("There are no dead letters." if not done else "No dead letter is open.")
        if done:
            around.screen.note(aside.strip())
        return
    columns = [
        Column("id", wrap=False), Column("when, UTC", wrap=False), Column("place", wrap=False),
        Column("refused by", wrap=False, from_width=90),
        Column("error", wrap=False, from_width=110), Column("reason"),
    ]  # fmt: skip
    columns += [Column("became", wrap=False)] if handled else []
    around.screen.table(columns, [_row(each, handled=handled) for each in letters])
    by_group = Counter(letter.said.group for letter in letters)
    counted = ", ".join(f"{count} by the {group}" for group, count in sorted(by_group.items()))
    around.screen.note(
        f"{some(len(letters), 'dead letter')}: {counted}. They are kept for 7 days."
        + ("" if handled else aside)
    )


@app.command("show")
def show(context: typer.Context, wanted: ID, as_json: JSON = False) -> None:
    """One letter: where it stood, who refused it and why, and whom it is about, as numbers."""
    around = here(context)
    with around.log() as log:
        letter = chosen(read_letters(log), wanted)
    if as_json:
        around.screen.json(as_data(letter) | {"about": _about(letter)})
        return
    said = letter.said
    lines = [
        ("id", letter.id), ("when, UTC", minute(said.at) or ""), ("place", letter.place),
        ("refused by", said.group), ("error", said.error), ("reason", letter.reason),
        ("record", f"{len(letter.record().value or b''):,} bytes"),
        *_headers(letter).items(), ("about", _about_words(letter)), ("became", _became(letter)),
    ]  # fmt: skip
    for name, value in lines:
        around.screen.say((f"{name:<14}", "dim"), value)


@app.command("replay")
def replay(
    context: typer.Context, wanted: SOME_ID = None, every: ALL = False, as_json: JSON = False
) -> None:
    """Put the refused record on its topic again, once its cause is mended.

    What was handled before is not handled twice: every handler knows what it has seen.
    """
    around = here(context)

    def decide(letter: Letter, _: Log) -> list[Record]:
        return replayed(letter, around.now(), around.person)

    done, left = _deal_with(around, wanted, every=every, decide=decide)
    _tell(around, done, left, "replayed", as_json=as_json)


@app.command("discard")
def discard(
    context: typer.Context,
    wanted: SOME_ID = None,
    every: ALL = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the letter.")] = "",
    leave_open: Annotated[
        bool,
        typer.Option("--leave-open", help="Also a batch that nobody can read: its people stay."),
    ] = False,
    as_json: JSON = False,
) -> None:
    """Give a record up. Whoever waits in it for a mail ends as failed, and the books close."""
    around = here(context)
    if not reason.strip():
        raise Misconfigured("say why, with --reason: it is kept with the letter")

    def decide(letter: Letter, log: Log) -> list[Record]:
        try:
            people = people_in(letter)
        except Unreadable:
            if not leave_open:
                raise
            people = []
        return discarded(
            letter, people, reason.strip(), log.partitions, around.now(), around.person
        )

    done, left = _deal_with(around, wanted, every=every, decide=decide)
    _tell(around, done, left, "discarded", as_json=as_json)


def read_letters(log: Log) -> list[Letter]:
    """Every letter that is kept, oldest first."""
    follower = log.follow(DEAD_LETTERS)
    try:
        found = newest(
            follower, MOST,
            lambda it: isinstance(it.data, (DeadLetter, DeadLetterHandled)), lambda _: True,
        )  # fmt: skip
    finally:
        follower.close()
    return collect(found)


def as_data(letter: Letter) -> dict[str, Any]:
    """A letter without its record."""
    mark = letter.handled
    return {
        "id": letter.id,
        **letter.said.model_dump(mode="json", exclude={"value", "headers"}),
        "handled": None if mark is None else mark.model_dump(mode="json", exclude={"letter"}),
    }


def _deal_with(
    around: Surroundings,
    wanted: str | None,
    *,
    every: bool,
    decide: Callable[[Letter, Log], list[Record]],
) -> tuple[list[Letter], list[str]]:
    """Write what `decide` makes of each letter, letter by letter; those done, and why others not.

    Raises RetryLater when somebody else deals with letters at this moment.
    """
    if (wanted is None) == (not every):
        raise Misconfigured("say which: the ID of one dead letter, or --all")
    done: list[Letter] = []
    left: list[str] = []
    with around.log() as log:
        writer = log.publisher(WRITER)
        try:
            letters = read_letters(log)
            if wanted is not None:
                found = [_open(chosen(letters, wanted))]
            else:
                found = [each for each in letters if each.handled is None]
            for letter in found:
                try:
                    records = decide(letter, log)
                except (NeverRetry, Misconfigured) as error:
                    if not every:
                        raise
                    left.append(str(error))
                    continue
                writer.commit(records, "")
                done.append(letter)
        except Fenced as error:
            raise RetryLater("somebody else deals with dead letters: look again") from error
        finally:
            writer.close()
    return done, left


def _open(letter: Letter) -> Letter:
    if letter.handled is not None:
        raise Misconfigured(f"{letter.short} is dealt with already: {_became(letter)}")
    return letter


def _tell(
    around: Surroundings, done: Sequence[Letter], left: Sequence[str], what: str, *, as_json: bool
) -> None:
    if as_json:
        around.screen.json({what: [each.id for each in done], "left": list(left)})
    else:
        for each in done:
            about = _about_words(each) if what == "discarded" else f"on {each.said.topic} again"
            around.screen.say(f"{what} ", (each.short, "bold"), f" {each.place}: {about}")
        if not done and not left:
            around.screen.say("No dead letter is open.")
        for reason in left:
            around.screen.warn(reason)
    if left:
        raise typer.Exit(NeverRetry.exit_code)


def _row(letter: Letter, *, handled: bool) -> list[str | None]:
    cells = [
        letter.short, minute(letter.said.at), letter.place, letter.said.group, letter.said.error,
        letter.reason,
    ]  # fmt: skip
    return [*cells, _became(letter)] if handled else cells


def _became(letter: Letter) -> str:
    mark = letter.handled
    if mark is None:
        return "open"
    why = f": {mark.reason}" if mark.reason else ""
    return f"{mark.how} by {mark.by}, {minute(mark.at)}{why}"


def _headers(letter: Letter) -> dict[str, str]:
    found = dict(letter.record().headers)
    return {name: found[name].decode("utf-8", "replace") for name in SHOWN_HEADERS if name in found}


def _about(letter: Letter) -> dict[str, int] | None:
    """Send to people; None when nobody can read it."""
    try:
        return dict(by_send(people_in(letter)))
    except Unreadable:
        return None


def _about_words(letter: Letter) -> str:
    about = _about(letter)
    if about is None:
        return "a batch that nobody can read"
    if not about:
        return "nobody waits in it for a mail"
    return ", ".join(
        f"{some(n, 'person', 'people')} of the send {send}" for send, n in about.items()
    )
