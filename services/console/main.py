"""The command line `doorstep`: which commands there are, and how an error reaches a person.

An error is one sentence (what was wrong, where, what to do) and the exit code of
`shared/errors.py`; nobody is shown a traceback unless they ask for one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from services.console import (
    dead_letters,
    erasing,
    events,
    halting,
    importing,
    keys,
    lag,
    moving,
    plan,
    restoring,
    segments,
    sends,
    status,
    topics,
    up,
    why,
)
from services.console.screen import Screen
from services.console.surroundings import Surroundings
from shared.errors import DoorstepError
from shared.settings import PREFIX


class Commands(TyperGroup):
    """Turns what a command raises into one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except DoorstepError as error:
            Screen().fail(str(error))
            raise typer.Exit(error.exit_code) from error
        except (KeyboardInterrupt, typer.Abort):
            Screen().note("Stopped.")
            raise typer.Exit(130) from None
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - nobody reads on
            raise typer.Exit(0) from None


app = typer.Typer(
    cls=Commands,
    name="doorstep",
    help="Event-driven email programmes, neighbourhood by neighbourhood.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        Screen().say(f"doorstep {metadata.version('doorstep')}")
    except metadata.PackageNotFoundError:
        Screen().say("doorstep, from a checkout")
    raise typer.Exit


_PROGRAMME, _RUNNING = "The programme", "Running it"
_COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (plan.plan, _PROGRAMME),
    (plan.apply, _PROGRAMME),
    (why.why, _PROGRAMME),
    (up.up, _RUNNING),
    (up.run, _RUNNING),
    (moving.move, _RUNNING),
    (erasing.erase, _RUNNING),
    (status.status, _RUNNING),
    (lag.lag, _RUNNING),
    (halting.halt, _RUNNING),
)
_GROUPS: tuple[tuple[typer.Typer, str, str], ...] = (
    (segments.app, "segment", _PROGRAMME),
    (sends.app, "send", _PROGRAMME),
    (importing.app, "import", _PROGRAMME),
    (events.app, "events", _RUNNING),
    (dead_letters.app, "dead-letters", _RUNNING),
    (topics.app, "topics", _RUNNING),
    (restoring.app, "restore", _RUNNING),
    (keys.app, "keys", _RUNNING),
)

for _command, _panel in _COMMANDS:
    app.command(rich_help_panel=_panel)(_command)
for _group, _name, _panel in _GROUPS:
    app.add_typer(_group, name=_name, rich_help_panel=_panel)


@app.callback()
def doorstep(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", help=f"Folder of stores and log ({PREFIX}HOME); works after a command, too."
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback has said it
        bool,
        typer.Option("--version", help="Say the version.", is_eager=True, callback=_say_version),
    ] = False,
) -> None:
    """Event-driven email programmes, neighbourhood by neighbourhood."""
    if context.obj is None:
        around = Surroundings(home=home)
        context.obj = around
        context.call_on_close(around.close)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point of `doorstep`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        given = sys.argv[1:] if arguments is None else arguments
        app(args=home_first(given), prog_name="doorstep")
    except Exception as error:
        if os.environ.get(f"{PREFIX}LOG_LEVEL") == "debug":
            raise
        Screen().fail(
            f"this is a fault of Doorstep, not yours: {type(error).__name__}: {error}\n"
            f"Run it again with {PREFIX}LOG_LEVEL=debug to see where, and please report it."
        )
        sys.exit(1)


def home_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--home` at the front, so that it may stand anywhere. Pure."""
    found: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--home":
            found = [word, *(value for value in [next(words, None)] if value is not None)]
        elif word.startswith("--home="):
            found = [word]
        else:
            rest.append(word)
    return [*found, *rest]
