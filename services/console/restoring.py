"""`doorstep restore`: a lost or restored ledger is rebuilt from the log, and starts held; a service
that the log has forgotten is let go on.

The work is the service's own, in a process of its own; here it is started, and later released.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Annotated, Any, Final

import typer

from services.console.home import handed_down
from services.console.options import JSON
from services.console.programme_topic import order, release_record
from services.console.screen import Column, some
from services.console.surroundings import Surroundings, here
from shared.errors import DoorstepError, Misconfigured
from shared.programme.problems import no_such
from shared.wire.programme import ReleaseOrder

ADOPTING: Final = ("segmenter", "sender")

app = typer.Typer(help="After the loss of a store: rebuild it from the log.", no_args_is_help=True)


class NotRestored(DoorstepError):
    """The rebuilding ended without success; its exit code is ours."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@app.callback()
def restore() -> None:
    """After the loss of a store: rebuild it from the log."""


@app.command("sender")
def sender(context: typer.Context, as_json: JSON = False) -> None:
    """Rebuild the ledger, from an older copy or from nothing. All senders must be stopped.

    It starts held: nothing is sent before `doorstep restore release`.
    """
    around = here(context)
    answer = _answer_of(around, "services.sender.restoring")
    if as_json:
        around.screen.json(answer)
        return
    around.screen.say(("✓ ", "green"), "The ledger is rebuilt. It is held: nothing is sent.")
    around.screen.table(
        [Column("state"), Column("messages", number=True)], sorted(answer["states"].items())
    )
    if answer["unreadable"]:
        around.screen.warn(f"{answer['unreadable']} events could not be read and say nothing")
    around.screen.note(
        "Start the sender, look at every send under way with `doorstep send status`, "
        "then `doorstep restore release`."
    )


@app.command("adopt")
def adopt(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="segmenter or sender; all must be stopped.")],
    as_json: JSON = False,
) -> None:
    """Let a service go on that was stopped for so long that the brokers forgot it.

    Only when it can be shown that this log is the store's, and what of its outbox is on it.
    """
    around = here(context)
    if service not in ADOPTING:
        raise Misconfigured(": ".join(no_such("service", service, ADOPTING)))
    answer = _answer_of(around, f"services.{service}.adopting")
    if as_json:
        around.screen.json(answer)
        return
    around.screen.say(
        ("✓ ", "green"), f"The log knows the {service} again: start it. "
        f"{some(answer['to_publish'], 'record')} of its outbox will be published.",
    )  # fmt: skip


@app.command("release")
def release(context: typer.Context, as_json: JSON = False) -> None:
    """End the hold of a restored ledger: sending goes on."""
    around = here(context)
    wanted = ReleaseOrder(ordered_at=around.now(), ordered_by=around.person)
    with around.log() as log:
        order(log, lambda _: [release_record(wanted)])
    if as_json:
        around.screen.json({"released": True})
    else:
        around.screen.say(("✓ ", "green"), "Released: the sender goes on within seconds.")


def _answer_of(around: Surroundings, module: str) -> Any:
    """What a program of a service answers in JSON. Raises NotRestored."""
    with around.log():
        pass  # a home that is there
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=handed_down(around.settings, os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode < 0:
        raise NotRestored(f"it was ended by signal {-done.returncode}: run it again", 1)
    if done.returncode:
        raise NotRestored(_last_reason(done.stderr), done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def _last_reason(said: str) -> str:
    for line in reversed(said.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("reason"):
            return str(entry["reason"])
    return said.strip().splitlines()[-1] if said.strip() else "the rebuilding ended without a word"
