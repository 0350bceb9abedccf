"""What the columns of a file mean: its header against the fields there are. Pure.

A column that means nothing is an error with a suggestion, never silently left out: a misspelt
`consent_at` would make thousands unmailable.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.programme.problems import nearest_word

REFUSED_LINE: Final = "refused_line"
REFUSED_BECAUSE: Final = "refused_because"
"""Columns that a file of refused rows has more; they are left out when it comes back mended."""

OTHER_WORDS: Final[Mapping[str, str]] = {
    "e_mail": "email",
    "e_mail_address": "email",
    "email_address": "email",
    "mail": "email",
    "forename": "first_name",
    "given_name": "first_name",
    "firstname": "first_name",
    "surname": "last_name",
    "family_name": "last_name",
    "lastname": "last_name",
    "post_code": "postcode",
    "zip": "postcode",
    "zip_code": "postcode",
    "zipcode": "postcode",
    "id": "external_id",
    "member_id": "external_id",
    "person_id": "external_id",
    "van_id": "external_id",
    "lang": "language",
    "tag": "tags",
    "consent_date": "consent_at",
    "consent_text": "consent_wording",
    "date": "at",
    "when": "at",
    "happened_at": "at",
    "type": "action",
    "ward": "area.ward",
    "precinct": "area.precinct",
    "polling_district": "area.polling_district",
    "constituency": "area.constituency",
}
"""What other systems call our fields; a suggestion, never taken silently."""

_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields a file may have: names, and prefixes of families (`attribute.`)."""

    names: Sequence[str]
    families: Sequence[str] = ()

    def listed(self) -> str:
        """All of them, for people."""
        return ", ".join([*self.names, *(f"{family}NAME" for family in self.families)])

    def knows(self, field: str) -> bool:
        """Whether there is such a field."""
        return field in self.names or any(
            field.startswith(family) and len(field) > len(family) for family in self.families
        )


@dataclass(frozen=True, slots=True)
class Mapped:
    """Field to the index of its column; `problems` are sentences."""

    columns: Mapping[str, int]
    problems: tuple[str, ...] = ()


def map_columns(
    header: Sequence[str],
    fields: Fields,
    mapping: Mapping[str, str],
    ignored: Collection[str],
) -> Mapped:
    """Which column holds which field. `mapping`: column to field, as somebody said outright."""
    columns: dict[str, int] = {}
    problems: list[str] = []
    for name in [*mapping, *ignored]:
        if name not in header:
            nearest = nearest_word(name, header)
            hint = f'did you mean "{nearest}"?' if nearest else f"columns: {', '.join(header)}"
            problems.append(f'the file has no column "{name}": {hint}')
    for index, column in enumerate(header):
        if column in ignored or (column in (REFUSED_LINE, REFUSED_BECAUSE)):
            continue
        field = mapping.get(column) or _field_of(column, fields)
        if field is None:
            problems.append(_unknown(column, fields))
        elif not fields.knows(field):
            problems.append(f'--map "{column}={field}": {_no_such_field(field, fields)}')
        elif field in columns:
            other = header[columns[field]]
            problems.append(
                f'the columns "{other}" and "{column}" are both {field}: '
                f'say --ignore "{column}" for one of them'
            )
        else:
            columns[field] = index
    return Mapped(columns, tuple(problems))


def read_pairs(option: str, pairs: Iterable[str], *, reverse: bool = False) -> dict[str, str]:
    """`column=field` options as a mapping. Raises ValueError with a sentence.

    `reverse` for options that are written `field=column`. A column may hold `=` itself.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        left, equals, right = pair.partition("=") if reverse else pair.rpartition("=")
        if not equals or not left.strip() or not right.strip():
            form = "KIND=COLUMN" if reverse else "COLUMN=FIELD"
            raise ValueError(f'{option} "{pair}": write it as {form}')
        column, field = (right, left) if reverse else (left, right)
        found[column.strip()] = field.strip()
    return found


def family_of(field: str, family: str) -> str | None:
    """The name within a family: `attribute.age` is `age`."""
    return field.removeprefix(family) if field.startswith(family) else None


def bad_kind(kind: str) -> str | None:
    """Why this cannot be a kind of area."""
    if _WORD.fullmatch(kind):
        return None
    return f'"{kind}" cannot be a kind of area: use lower-case letters, digits, _ and -'


def _field_of(column: str, fields: Fields) -> str | None:
    """A field spelt with other capitals, blanks or hyphens is that field."""
    folded = _folded(column)
    if folded in fields.names:
        return folded
    for family in fields.families:
        if column.casefold().startswith(family) and len(column) > len(family):
            return family + column[len(family) :].strip()
    return None


def _unknown(column: str, fields: Fields) -> str:
    meant = OTHER_WORDS.get(_folded(column)) or nearest_word(column, fields.names)
    if meant is None or not fields.knows(meant):
        family = next(iter(fields.families), None)
        keep = f'--map "{column}={family}{_folded(column)}" to keep it, ' if family else ""
        return (
            f'the column "{column}": there is no such field; say {keep}--ignore "{column}" to not'
        )
    return (
        f'the column "{column}": there is no such field; did you mean {meant}? '
        f'Say --map "{column}={meant}", or --ignore "{column}"'
    )


def _no_such_field(field: str, fields: Fields) -> str:
    nearest = nearest_word(field, fields.names)
    hint = f'did you mean "{nearest}"?' if nearest else f"fields: {fields.listed()}"
    return f'there is no field "{field}"; {hint}'


def _folded(column: str) -> str:
    return re.sub(r"[\s_-]+", "_", column.strip().casefold())
