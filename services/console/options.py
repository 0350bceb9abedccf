"""Arguments and options that several commands have alike."""

from __future__ import annotations

from typing import Annotated

import typer

NAME = Annotated[str, typer.Argument(metavar="NAME", help="The send, as its file is called.")]
JSON = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
YES = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
