"""`doorstep dead-letters list`: records that could not be handled, and why.

A letter's record may hold addresses, so it is never shown; where it stands is.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from services.console.approving import JSON
from services.console.screen import Column, minute, some
from services.console.surroundings import here
from services.console.tailing import newest
from shared.log.topics import DEAD_LETTERS
from shared.wire.dead_letters import DeadLetter

app = typer.Typer(help="Records that could not be handled.", no_args_is_help=True)


@app.callback()
def dead_letters() -> None:
    """Records that could not be handled."""


@app.command("list")
def list_letters(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 100,
    as_json: JSON = False,
) -> None:
    """The newest dead letters, newest last, and what they are about."""
    around = here(context)
    with around.log() as log:
        follower = log.follow(DEAD_LETTERS)
        try:
            found = newest(
                follower, limit, lambda it: isinstance(it.data, DeadLetter), lambda _: True
            )
        finally:
            follower.close()
    letters = [it.data for _, it in found if isinstance(it.data, DeadLetter)]
    if as_json:
        around.screen.json([as_data(letter) for letter in letters])
        return
    if not letters:
        around.screen.say("There are no dead letters.")
        return
    columns = [
        Column("when, UTC", wrap=False), Column("place", wrap=False),
        Column("refused by", wrap=False), Column("error", wrap=False, from_width=100),
        Column("reason"),
    ]  # fmt: skip
    around.screen.table(
        columns,
        [
            [minute(each.at), place_of(each), each.group, each.error, without_place(each)]
            for each in letters
        ],
    )
    by_group = Counter(letter.group for letter in letters)
    counted = ", ".join(f"{count} by the {group}" for group, count in sorted(by_group.items()))
    around.screen.note(f"{some(len(letters), 'dead letter')}: {counted}. They are kept for 7 days.")


def place_of(letter: DeadLetter) -> str:
    """Where the record stands: `events[3]@1204`."""
    return f"{letter.topic}[{letter.partition}]@{letter.offset}"


def without_place(letter: DeadLetter) -> str:
    """The reason, less the place where it begins with it."""
    return letter.reason.removeprefix(f"{place_of(letter)}: ")


def as_data(letter: DeadLetter) -> dict[str, Any]:
    """A letter without its record."""
    return letter.model_dump(mode="json", exclude={"value", "headers"})
