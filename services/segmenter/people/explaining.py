"""Why somebody belongs to a segment or does not: the rule's tree, each branch true or false, and
the fact behind it.

Every leaf is asked in the same SQL that chooses audiences, so that an explanation never says
anything else than the segment does. Nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never

from services.segmenter.people import samples
from services.segmenter.people.attribute_values import shaped
from services.segmenter.people.audience import holding
from services.segmenter.people.rules_sql import NUL, Parameter, since_ms
from shared.clock import from_ms, to_ms
from shared.programme.printing import print_rule
from shared.programme.rules import (
    ActedOn,
    AllOf,
    AnyOf,
    Attribute,
    Clicked,
    Did,
    Got,
    HasTag,
    InArea,
    NoneOf,
    Opened,
    Rule,
    Sample,
    Speaks,
)
from shared.store.database import Database

_COMBINATIONS: Final = {"all": "all of these", "any": "any of these", "none": "none of these"}
_LONGEST_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Explained:
    """A node of the rule for one supporter. `fact` is empty for combinations; they have parts."""

    text: str
    holds: bool
    fact: str
    parts: tuple[Explained, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The tree as a JSON object: text, holds, fact, parts."""
        return {
            "text": self.text,
            "holds": self.holds,
            "fact": self.fact,
            "parts": [part.as_json() for part in self.parts],
        }


def explain(connection: Database, rule: Rule, supporter_id: str, as_of: datetime) -> Explained:
    """The tree for a supporter; someone unknown is in no area, carries no tag, did nothing.

    Raises RuleUnusable.
    """
    if isinstance(rule, AllOf | AnyOf | NoneOf):
        parts = tuple(explain(connection, part, supporter_id, as_of) for part in rule.parts)
        return Explained(_COMBINATIONS[rule.op], _combined(rule, parts), "", parts)
    holds = bool(holding(connection, rule, as_of, [supporter_id]))
    return Explained(_text(rule), holds, _Facts(connection, supporter_id, as_of).of(rule))


def _combined(rule: AllOf | AnyOf | NoneOf, parts: Sequence[Explained]) -> bool:
    match rule:
        case AllOf():
            return all(part.holds for part in parts)
        case AnyOf():
            return any(part.holds for part in parts)
        case NoneOf():
            return not any(part.holds for part in parts)


def _text(rule: Rule) -> str:
    """The node as a producer would write it, on one line."""
    try:
        text = " ".join(print_rule(rule).split())
    except ValueError:  # it has no written form, such as `in` with nothing to be in
        text = rule.model_dump_json()
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 4]} ..."


class _Facts:
    """What the store holds that a leaf looks at, in words."""

    def __init__(self, connection: Database, supporter_id: str, as_of: datetime) -> None:
        self._connection, self._supporter_id = connection, supporter_id
        self._as_of = as_of

    def of(self, rule: Rule) -> str:
        match rule:
            case InArea() | HasTag() | Attribute() | Speaks() | Sample():
                return self._trait(rule)
            case Did() | ActedOn():
                return self._actions(rule)
            case Got() | Opened() | Clicked():
                return self._delivery(rule)
            case AllOf() | AnyOf() | NoneOf():
                return ""
            case _:
                assert_never(rule)

    def _trait(self, rule: InArea | HasTag | Attribute | Speaks | Sample) -> str:
        match rule:
            case InArea():
                return self._area(rule)
            case HasTag():
                rows = self._ask("select 1 from supporter_tag where {me} and tag = ?", rule.tag)
                return "carries the tag" if rows else "does not carry the tag"
            case Attribute():
                return self._attribute(rule)
            case Speaks():
                rows = self._ask("select language from profile where {me}")
                return f"speaks {rows[0][0]}" if rows and rows[0][0] else "no language is known"
            case Sample():
                position = samples.bucket(rule.seed, self._supporter_id) + samples.POSITIONS // 2
                return f"stands at {100 * position / samples.POSITIONS:.4f} %"

    def _area(self, rule: InArea) -> str:
        rows = self._ask(
            "select code, given, provenance from supporter_area where {me} and kind = ?", rule.kind
        )
        if not rows:
            return f"no {rule.kind} is known"
        code, given, provenance = rows[0]
        return f"{rule.kind} is {code}, {'given by' if given else 'from the'} {provenance}"

    def _attribute(self, rule: Attribute) -> str:
        rows = self._ask("select attributes from profile where {me}")
        value = json.loads(rows[0][0]).get(rule.name) if rows else None
        if value is None:
            return f"has no attribute {rule.name}"
        if isinstance(value, bool):
            return f"{rule.name} is {'yes' if value else 'no'}"
        return f"{rule.name} is the {shaped(value).shape} {value}"

    def _actions(self, rule: Did | ActedOn) -> str:
        conditions: list[str] = []
        values: list[Parameter] = []
        if rule.action is not None:
            conditions, values = [" and action = ?"], [rule.action]
        if isinstance(rule, ActedOn):
            conditions.append(" and send_id = ?")
            values.append(rule.send)
        elif rule.within_days is not None:
            until = to_ms(self._as_of)
            conditions.append(" and at > ? and at <= ?")
            values += [since_ms(until, rule.within_days), until]
        rows = self._ask(
            f"select count(*), max(at) from action where {{me}}{''.join(conditions)}", *values
        )
        number, last = rows[0]
        if not number:
            return "never" if isinstance(rule, ActedOn) or rule.within_days is None else "not then"
        return f"{number} {'time' if number == 1 else 'times'}, last at {_moment(last)}"

    def _delivery(self, rule: Got | Opened | Clicked) -> str:
        rows = self._ask(
            "select state, variant, accepted_at, opened_at, clicked_at from delivery"
            " where {me} and send_id = ? order by occurrence desc",
            rule.send,
        )
        if not rows:
            return "was not in the audience, as far as is known"
        if isinstance(rule, Got):
            return "; ".join(_accepted(*row[:3]) for row in rows)
        which = 3 if isinstance(rule, Opened) else 4
        times = [row[which] for row in rows if row[which] is not None]
        return f"{rule.op} at {_moment(min(times))}" if times else f"not {rule.op} by a person"

    def _ask(self, sql: str, *values: Parameter) -> list[tuple[Any, ...]]:
        """`{me}` in the SQL stands for the supporter at hand."""
        askable = (v.replace(NUL, "\ufffd") if isinstance(v, str) else v for v in values)
        return self._connection.execute(
            sql.format(me="supporter_id = ?"), (self._supporter_id, *askable)
        ).fetchall()


def _accepted(state: str | None, variant: str | None, accepted_at: int | None) -> str:
    if accepted_at is None:
        return f"not accepted: {state or 'nothing is known yet'}"
    with_variant = f", variant {variant}" if variant else ""
    return f"accepted at {_moment(accepted_at)}{with_variant}"


def _moment(ms: int) -> str:
    return from_ms(ms).isoformat(timespec="seconds")
