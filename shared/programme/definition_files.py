"""The text of one definition's files into the definition, with where its fields stand.

One function for each kind. A name is the name of the file; a field that cannot be read is noted
and the rest is read on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from jinja2 import TemplateError

from shared.programme.definitions import Areas, Campaign, Segment, Send, Template
from shared.programme.problems import FileProblems, Position
from shared.programme.programme import Origin
from shared.programme.rule_language import read_rule
from shared.programme.rules import AllOf
from shared.programme.shapes import Path, ShapeReader
from shared.programme.template_language import parse, references
from shared.programme.yaml_positions import Fields, parse_yaml

CODE: Final = "code"


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file of the programme: its path as people know it, and its text."""

    path: str
    text: str


def read_campaign(file: TextFile, problems: FileProblems) -> tuple[Campaign, Origin] | None:
    """campaign.yaml."""
    reader = ShapeReader(problems)
    fields = _fields(file, reader)
    campaign = reader.model(Campaign, fields) if fields else None
    return (campaign, Origin(file.path, reader.positions)) if campaign else None


def read_send(name: str, file: TextFile, problems: FileProblems) -> tuple[Send, Origin] | None:
    """sends/NAME.yaml."""
    reader = ShapeReader(problems)
    fields = _fields(file, reader)
    send = reader.model(Send, fields, given={"name": name}) if fields else None
    return (send, Origin(file.path, reader.positions)) if send else None


def read_segment(
    name: str, file: TextFile, problems: FileProblems
) -> tuple[Segment, Origin] | None:
    """segments/NAME.yaml: `description`, and the rule under `where`."""
    reader = ShapeReader(problems)
    fields = _fields(file, reader)
    if fields is None:
        return None
    rule = None
    if "where" in fields.entries:
        rule = read_rule(fields.entries["where"].value, reader, ("rule",))
    else:
        problems.add(fields.position, "`where` is missing", "add `where:` and a rule below it")
    given = {"name": name, "rule": rule or AllOf(parts=())}
    segment = reader.model(Segment, fields, given=given, read_elsewhere=("where",))
    if rule is None:
        return None
    return (segment, Origin(file.path, reader.positions)) if segment else None


def read_areas(
    name: str,
    file: TextFile,
    table: tuple[TextFile, FileProblems] | None,
    problems: FileProblems,
) -> tuple[Areas, Origin] | None:
    """areas/NAME.yaml, with its rows in `by_code` or in areas/NAME.csv beside it.

    Without either, `default` alone serves everyone.
    """
    reader = ShapeReader(problems)
    fields = _fields(file, reader)
    if fields is None:
        return None
    given: dict[str, Any] = {"name": name}
    rows = fields.entries.get("by_code")
    table_positions: dict[Path, Position] = {}
    if table is not None:
        given["by_code"], table_positions = read_table(*table)
    elif rows is None and "default" in fields.entries:
        given["by_code"] = {}
    if table is not None and rows is not None:
        problems.add(
            rows.key_position,
            f"`by_code` is here, and rows are in {table[0].path} too",
            "keep one of the two",
        )
    areas = reader.model(Areas, fields.without("by_code") if table else fields, given=given)
    if areas is None:
        return None
    parts = dict.fromkeys(table_positions, table[0].path) if table else {}
    return areas, Origin(file.path, reader.positions | table_positions, parts)


def read_table(
    file: TextFile, problems: FileProblems
) -> tuple[dict[str, dict[str, str]], dict[Path, Position]]:
    """A CSV with a `code` column: rows by code, and where each stands.

    An empty cell means that the area does not have the field.
    """
    rows: dict[str, dict[str, str]] = {}
    positions: dict[Path, Position] = {}
    reader = csv.reader(io.StringIO(file.text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if not _check_header(header, problems):
            return rows, positions
        for row in reader:
            position = Position(reader.line_num - sum(cell.count("\n") for cell in row))
            cells = [cell.strip() for cell in row]
            wrong = _wrong_row(cells, header, rows)
            if wrong:
                problems.add(position, *wrong)
            elif any(cells):
                found = {field: cell for field, cell in zip(header, cells, strict=True) if cell}
                code = found.pop(CODE)
                rows[code] = found
                positions["by_code", code] = position
    except csv.Error as error:
        problems.add(Position(reader.line_num), f"not CSV: {error}", "look for a lost quote")
    return rows, positions


def _wrong_row(
    cells: list[str], header: list[str], rows: Mapping[str, object]
) -> tuple[str, str] | None:
    if not any(cells):
        return None
    if len(cells) != len(header):
        message = f"{len(cells)} cells, and the first line has {len(header)} columns"
        return message, 'put a cell with a comma inside in "quotes"'
    code = cells[header.index(CODE)]
    if not code:
        return "a row without a code", "every area has its code"
    if code in rows:
        return f'the code "{code}" is there twice', "every area has one row"
    return None


class TemplateFiles(NamedTuple):
    """The files of one template: template.yaml, mail.html.j2, mail.txt.j2."""

    head: TextFile
    html: TextFile
    text: TextFile


def read_template(
    name: str, files: TemplateFiles, shared: Mapping[str, TextFile], problems: FileProblems
) -> tuple[Template, Origin] | None:
    """templates/NAME, with those of the `shared` sources (by name) that it uses."""
    reader = ShapeReader(problems)
    fields = _fields(files.head, reader)
    if fields is None:
        return None
    html, text = files.html, files.text
    partials = _partials([html.text, text.text], shared)
    given = {"name": name, "html": html.text, "text": text.text, "partials": partials}
    template = reader.model(Template, fields, given=given)
    if template is None:
        return None
    parts: dict[Path, str] = {("html",): html.path, ("text",): text.path}
    parts |= {("partials", partial): shared[partial].path for partial in partials}
    return template, Origin(files.head.path, reader.positions, parts)


def _partials(sources: list[str], shared: Mapping[str, TextFile]) -> dict[str, str]:
    """The shared sources that these use, directly or not, by name. Missing ones are left out:
    checking the template names them.
    """
    found: dict[str, str] = {}
    waiting = list(sources)
    while waiting:
        try:
            names = {name for name, _ in references(parse(waiting.pop())) if name}
        except TemplateError:
            continue
        for name in names - found.keys():
            if name in shared:
                found[name] = shared[name].text
                waiting.append(found[name])
    return dict(sorted(found.items()))


def _fields(file: TextFile, reader: ShapeReader) -> Fields | None:
    node = parse_yaml(file.text, reader.problems)
    if node is None:
        return None
    reader.positions[()] = node.position
    if isinstance(node, Fields):
        return node
    reader.problems.add(node.position, "not a definition", "write lines of `field: value`")
    return None


def _check_header(header: list[str], problems: FileProblems) -> bool:
    line = Position(1)
    if CODE not in header:
        hint = f"the first line names the columns, one of them `{CODE}`"
        if len(header) == 1 and ";" in header[0]:
            hint = "separate the columns by commas, not by semicolons"
        problems.add(line, f"there is no column `{CODE}`", hint)
    for field in sorted({field for field in header if header.count(field) > 1}):
        problems.add(line, f'two columns are called "{field}"', "give each its own name")
    if "" in header:
        problems.add(line, "a column without a name", "name it, or delete it")
    return not problems.problems
