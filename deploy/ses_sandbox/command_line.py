"""The command line: one option per setting, and one per switch, made from the switches' fields."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.ses_sandbox.events import AccountIdentity
from deploy.ses_sandbox.settings import Settings, Switches, WrongSwitch, switches_with

DEFAULT_TOPIC_ARN: Final = "arn:aws:sns:eu-west-2:000000000000:doorstep-ses-events"
_DESCRIPTION: Final = (
    "An Amazon SES to rehearse with: takes mail, keeps it, tells of it, and fails."
)


def read_command_line(arguments: Sequence[str]) -> tuple[Settings, Switches]:
    """Ends the process with status 2 and one clear line when an option is wrong."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    settings = Settings(
        directory=Path(given.pop("directory")).resolve(),
        host=given.pop("host"),
        port=given.pop("port"),
        topic_arn=given.pop("topic_arn"),
        fsync=given.pop("fsync"),
    )
    try:
        AccountIdentity.of_topic(settings.topic_arn)
        return settings, switches_with(Switches(), given)
    except (WrongSwitch, ValueError) as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.ses_sandbox",
        description=_DESCRIPTION,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--directory", required=True, help="where mail, queue and key are kept")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (see DIR/port)")
    parser.add_argument("--topic-arn", default=DEFAULT_TOPIC_ARN, help="the SNS topic to speak as")
    parser.add_argument(
        "--fsync", action="store_true", default=False, help="survive power loss, not only a kill"
    )
    switches = parser.add_argument_group("switches (also PUT /sandbox/switches)")
    for name, field in Switches.model_fields.items():
        option = f"--{name.replace('_', '-')}"
        text = f"{field.description} ({field.default!r})".replace("%", "%%")
        if name == "faults":
            switches.add_argument(
                "--fault", dest=name, action="append", metavar="NAME=SHARE", help=field.description
            )
        elif isinstance(field.default, bool):
            switches.add_argument(
                option, dest=name, action=argparse.BooleanOptionalAction, help=text
            )
        else:
            switches.add_argument(option, dest=name, metavar="VALUE", help=text)
    return parser
