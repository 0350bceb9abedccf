"""`doorstep import ...`: supporters, actions and the postcode directory.

Reads options, drives the import and reports; rows are judged in files of their own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer

from services.console.action_import import ActionImport, run_action_import
from services.console.action_rows import FIELDS as ACTION_FIELDS
from services.console.action_rows import Reading as ActionReading
from services.console.action_rows import read_moment
from services.console.columns import Fields, map_columns, read_pairs
from services.console.csv_files import BadFile, CsvFile, open_csv
from services.console.identities import Identities
from services.console.import_report import (
    action_data,
    action_lines,
    supporter_data,
    supporter_lines,
)
from services.console.options import JSON
from services.console.postcodes import postcodes
from services.console.programme_topic import read_table
from services.console.reading_on import wait_until_read
from services.console.rejects import Rejects
from services.console.room import Room
from services.console.screen import progress_bar
from services.console.supporter_import import Import, run_import
from services.console.supporter_rows import AREA, FIELDS, GivenConsent, Reading, read_day
from services.console.surroundings import Surroundings, here
from services.console.survey import survey
from services.console.unknown_postcodes import PostcodeQuestions
from shared.errors import Misconfigured

OLD_DAYS: Final = 7

FILE = Annotated[
    Path, typer.Argument(metavar="FILE", help="A CSV file; its first line names the columns.")
]
DRY_RUN = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
SOURCE = Annotated[
    str,
    typer.Option(help="The system whose external ids these are; the same one every time."),
]
MAP = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="COLUMN=FIELD", help="What a column of another name holds."),
]
IGNORE = Annotated[
    list[str] | None, typer.Option("--ignore", metavar="COLUMN", help="Leave a column out.")
]
ENCODING = Annotated[
    str | None, typer.Option("--encoding", help="When it is not UTF-8: cp1252, utf-16 ...")
]
REJECTS = Annotated[
    Path | None,
    typer.Option("--rejects", help="Where refused rows go; beside FILE when not said."),
]

app = typer.Typer(help="Bring in supporters, actions, postcodes.", no_args_is_help=True)
app.command("postcodes")(postcodes)


@app.command("supporters")
def supporters(
    context: typer.Context,
    file: FILE,
    dry_run: DRY_RUN = False,
    source: SOURCE = "import",
    mapping: MAP = None,
    ignore: IGNORE = None,
    area_columns: Annotated[
        list[str] | None,
        typer.Option(
            "--area-column", metavar="KIND=COLUMN", help="A column of area codes of that kind."
        ),
    ] = None,
    consent_wording: Annotated[
        str, typer.Option(help="What they agreed to, where the file does not say.")
    ] = "",
    consent_source: Annotated[
        str, typer.Option(help="Where they agreed, where the file does not say.")
    ] = "",
    consent_at: Annotated[
        str, typer.Option(help="When they agreed, where the file does not say.")
    ] = "",
    language: Annotated[
        str | None, typer.Option(help="Of everybody without one in the file.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="When this was true: a time, or `now`; else when FILE was saved."),
    ] = None,
    encoding: ENCODING = None,
    rejects: REJECTS = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when the segmenter has read it all.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Import supporters from a CSV file. Never undoes an unsubscribe."""
    around = here(context)
    csv_file = open_csv(file, encoding)
    pairs = _pairs(mapping) | {
        column: f"{AREA}{kind}" for column, kind in _area_pairs(area_columns).items()
    }
    columns = _columns(csv_file, FIELDS, pairs, ignore or [])
    if "email" not in columns and "external_id" not in columns:
        raise BadFile(f"{file}:1: neither a column email nor external_id: nobody would be named")
    consent = _consent(columns, consent_wording, consent_source, consent_at)
    with around.log_to_write() as log:
        room = Room(around.settings)
        room.check()
        secret = around.settings.identity_secret()
        identities = Identities(around.services, log, secret)
        at = _as_of(around, file, as_of)
        asked = PostcodeQuestions(around.settings)
        with progress_bar(around.screen.err) as progress, asked:
            looking = progress.add_task("Looking through", total=None)
            surveyed = survey(
                csv_file.rows(), columns, lambda seen: progress.update(looking, completed=seen)
            )
            progress.update(looking, completed=surveyed.rows, total=surveyed.rows)
            reading = Reading(columns, surveyed.shapes, secret, around.now(), language, consent)
            wanted = Import(source, at, reading, surveyed, write=not dry_run)
            task = progress.add_task("Checking" if dry_run else "Importing", total=surveyed.rows)
            with Rejects(_beside(file, rejects), csv_file.header, csv_file.delimiter) as refused:
                tally = run_import(
                    csv_file.rows(), wanted, identities, log, refused,
                    room.before(lambda rows: progress.advance(task, rows)), asked.judge,
                )  # fmt: skip
        if asked.trouble is not None:
            around.screen.warn(f"postcodes were not looked up: {asked.trouble}")
        if wait and not dry_run:
            with around.screen.err.status("Waiting for the segmenter to read it all ..."):
                wait_until_read(around.services, list(tally.last.values()))
    if as_json:
        data = supporter_data(
            tally, dry_run=dry_run, source=source, rejects=refused.path,
            looked_up=asked.trouble is None,
        )  # fmt: skip
        around.screen.json(data)
        return
    for text, style in supporter_lines(tally, asked=identities.asks, written=not dry_run):
        around.screen.say((text, style))
    _say_rejects(around, refused)
    if dry_run:
        around.screen.say(("Nothing was imported: this was a dry run.", "bold"))


@app.command("actions")
def actions(
    context: typer.Context,
    file: FILE,
    dry_run: DRY_RUN = False,
    source: SOURCE = "import",
    mapping: MAP = None,
    ignore: IGNORE = None,
    action: Annotated[str, typer.Option(help="What they did, for rows that do not say.")] = "",
    at: Annotated[str | None, typer.Option(help="When, for rows that do not say.")] = None,
    own_actions: Annotated[
        list[str] | None,
        typer.Option("--own-action", help="An action of your own that looks like a known one."),
    ] = None,
    encoding: ENCODING = None,
    rejects: REJECTS = None,
    as_json: JSON = False,
) -> None:
    """Import what supporters did: doorstep sheets, phone banks, sign-in lists."""
    around = here(context)
    csv_file = open_csv(file, encoding)
    columns = _columns(csv_file, ACTION_FIELDS, _pairs(mapping), ignore or [])
    if not {"supporter_id", "external_id", "email"} & columns.keys():
        raise BadFile(
            f"{file}:1: no column supporter_id, external_id or email: nobody would be named"
        )
    if "action" not in columns and not action:
        raise BadFile(f"{file}:1: no column action: say what they did with --action")
    with around.log_to_write() as log:
        room = Room(around.settings)
        room.check()
        secret = around.settings.identity_secret()
        zone = read_table(log).zone or ZoneInfo("UTC")
        identities = Identities(around.services, log, secret)
        reading = ActionReading(
            columns, source, secret, zone, around.now(), action.casefold(), _given_at(at, zone),
            frozenset(own_actions or ()),
        )  # fmt: skip
        with (
            progress_bar(around.screen.err) as progress,
            Rejects(_beside(file, rejects), csv_file.header, csv_file.delimiter) as refused,
        ):
            task = progress.add_task("Checking" if dry_run else "Importing", total=None)
            tally = run_action_import(
                csv_file.rows(), ActionImport(reading, not dry_run), identities, log, refused,
                room.before(lambda rows: progress.advance(task, rows)),
            )  # fmt: skip
    if as_json:
        around.screen.json(action_data(tally, dry_run=dry_run, rejects=refused.path))
        return
    for text, style in action_lines(tally, written=not dry_run):
        around.screen.say((text, style))
    _say_rejects(around, refused)
    if dry_run:
        around.screen.say(("Nothing was imported: this was a dry run.", "bold"))


def _columns(
    csv_file: CsvFile, fields: Fields, mapping: dict[str, str], ignored: list[str]
) -> dict[str, int]:
    mapped = map_columns(csv_file.header, fields, mapping, ignored)
    if mapped.problems:
        place = f"{csv_file.path}:{csv_file.skipped + 1}"
        problems = "\n".join(f"  {problem}" for problem in mapped.problems)
        raise BadFile(f"{place}: the columns are not clear:\n{problems}\nFields: {fields.listed()}")
    return dict(mapped.columns)


def _pairs(mapping: list[str] | None) -> dict[str, str]:
    try:
        return read_pairs("--map", mapping or [])
    except ValueError as error:
        raise Misconfigured(str(error)) from error


def _area_pairs(area_columns: list[str] | None) -> dict[str, str]:
    try:
        return read_pairs("--area-column", area_columns or [], reverse=True)
    except ValueError as error:
        raise Misconfigured(str(error)) from error


def _consent(columns: dict[str, int], wording: str, source: str, at: str) -> GivenConsent:
    """What was said of everybody's consent. Raises Misconfigured when a part is missing."""
    given = {"wording": wording, "source": source, "at": at}
    if not any(given.values()):
        return GivenConsent()
    for part, said in given.items():
        if not said and f"consent_{part}" not in columns:
            raise Misconfigured(
                f"a consent is its wording, source and time: --consent-{part} is missing, "
                f"and the file has no column consent_{part}"
            )
    try:
        return GivenConsent(wording, source, read_day(at) if at else None)
    except ValueError as error:
        raise Misconfigured(f'--consent-at "{at}": {error}') from error


def _as_of(around: Surroundings, file: Path, said: str | None) -> datetime:
    """The moment the file speaks of. A newer word of somebody else stands against it."""
    now = around.now()
    if said == "now":
        return now
    if said is not None:
        try:
            return min(read_day(said), now)
        except ValueError as error:
            raise Misconfigured(f'--as-of "{said}": {error}') from error
    saved = min(datetime.fromtimestamp(int(file.stat().st_mtime), UTC), now)
    if (now - saved).days >= OLD_DAYS:
        around.screen.warn(
            f"{file.name} was saved {(now - saved).days} days ago: what was said of somebody since "
            "then stays as it is. Say --as-of now if this file is the newer word"
        )
    return saved


def _given_at(said: str | None, zone: ZoneInfo) -> datetime | None:
    if said is None:
        return None
    try:
        return read_moment(said, zone)
    except ValueError as error:
        raise Misconfigured(f"--at: {error}") from error


def _beside(file: Path, rejects: Path | None) -> Path:
    return rejects if rejects is not None else file.with_name(f"{file.stem}.refused.csv")


def _say_rejects(around: Surroundings, refused: Rejects) -> None:
    if refused.path is not None:
        around.screen.say(
            f"Refused rows, with the reason of each: {refused.path}. Mend them there and import "
            "that file"
        )
