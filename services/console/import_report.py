"""What an import says when it is done: to people, and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from services.console.action_import import ActionTally
from services.console.screen import number, some
from services.console.supporter_import import Tally
from services.console.supporter_rows import Flag

LISTED: Final = 5
"""Line numbers that are shown of each notice; --json shows more."""


WITH_LINES: Final[tuple[tuple[Flag, str, str, str], ...]] = (
    ("role address", "role address", "role addresses", "(info@, office@ ...), kept"),
    (
        "postcode unknown", "postcode", "postcodes",
        "the directory does not know (mistyped, or too new), kept without a point on the map",
    ),
    (
        "postcode malformed", "postcode", "postcodes",
        "spelt as none can be, kept without an area",
    ),
)  # fmt: skip
"""Flags whose lines are shown: the flag, one and many of it, and what is done with it."""


class Line(NamedTuple):
    """A sentence and its style."""

    text: str
    style: str = ""


def supporter_lines(tally: Tally, *, asked: bool, written: bool) -> Iterator[Line]:
    """The report of an import of supporters. `asked`: whether the segmenter said who is known."""
    effects = tally.effects
    would = "" if written else "would be "
    counted = [
        (effects["new"], f"{would}new"),
        (effects["changed"], f"{would}changed"),
        (effects["unchanged"], "unchanged"),
        (sum(tally.refused.values()), "refused"),
        (len(tally.repeated), "repeated in the file"),
    ]
    said = ", ".join(f"{number(count)} {word}" for count, word in counted if count) or "nothing"
    yield Line(f"{some(tally.rows, 'row')}: {said}", "bold")
    if not asked:
        yield Line("Nobody was there yet, so everybody is new (the segmenter was not asked)", "dim")
    yield Line(
        f"Subscribed again: 0 (an import never does that); {number(tally.stay_unsubscribed)} "
        f"unsubscribed and {number(tally.stay_suppressed)} suppressed stay so",
        "",
    )
    yield from _flags(tally)
    if tally.shared:
        pairs = ", ".join(f"{first} and {second}" for first, second in tally.shared[:LISTED])
        more = f" and {number(len(tally.shared) - LISTED)} more" if tally.shared[LISTED:] else ""
        yield Line(
            f"{some(len(tally.shared), 'row shares', 'rows share')} an address with somebody else "
            f"in the file, kept: lines {pairs}{more}",
            "yellow",
        )
    if tally.repeated:
        yield Line(f"Repeated and left out: {_lines(tally.repeated, len(tally.repeated))}", "dim")
    yield from _refused(tally.refused)


def _flags(tally: Tally) -> Iterator[Line]:
    """What is kept, and should be known all the same."""
    flags = tally.flags
    if flags["no consent"]:
        yield Line(
            f"{number(flags['no consent'])} without a whole consent (wording, source, time): "
            "kept, not mailable",
            "yellow",
        )
    if flags["no address"]:
        yield Line(
            f"{number(flags['no address'])} without an address: kept, not mailable", "yellow"
        )
    for flag, one, many, remark in WITH_LINES:
        if flags[flag]:
            yield Line(
                f"{some(flags[flag], one, many)} {remark}: "
                f"{_lines(tally.flagged[flag], flags[flag])}",
                "yellow",
            )


def action_lines(tally: ActionTally, *, written: bool) -> Iterator[Line]:
    """The report of an import of actions."""
    verb = "taken" if written else "would be taken"
    said = ", ".join(f"{number(count)} {name}" for name, count in tally.actions.most_common())
    yield Line(
        f"{some(tally.rows, 'row')}: {number(tally.taken)} {verb}{f' ({said})' if said else ''}",
        "bold",
    )
    if tally.repeated:
        yield Line(f"{number(tally.repeated)} repeat a row of the file and were left out", "dim")
    if tally.strangers:
        yield Line(
            f"{some(tally.strangers, 'action')} by people nobody has imported yet: kept under the "
            "id they will have; they count once the people are imported",
            "yellow",
        )
    yield from _refused(tally.refused)


def supporter_data(
    tally: Tally, *, dry_run: bool, source: str, rejects: Path | None, looked_up: bool
) -> dict[str, Any]:
    """The same as JSON. `looked_up`: whether the postcode directory could be asked."""
    return {
        "dry_run": dry_run,
        "source": source,
        "rows": tally.rows,
        "new": tally.effects["new"],
        "changed": tally.effects["changed"],
        "unchanged": tally.effects["unchanged"],
        "refused": sum(tally.refused.values()),
        "refused_because": dict(tally.refused.most_common()),
        "rejects": str(rejects) if rejects else None,
        "repeated_lines": tally.repeated,
        "resubscribed": 0,
        "stay_unsubscribed": tally.stay_unsubscribed,
        "stay_suppressed": tally.stay_suppressed,
        "without_consent": tally.flags["no consent"],
        "without_address": tally.flags["no address"],
        "role_addresses": tally.flags["role address"],
        "role_address_lines": tally.flagged.get("role address", []),
        "unknown_postcodes": tally.flags["postcode unknown"] if looked_up else None,
        "unknown_postcode_lines": tally.flagged.get("postcode unknown", []),
        "malformed_postcodes": tally.flags["postcode malformed"] if looked_up else None,
        "malformed_postcode_lines": tally.flagged.get("postcode malformed", []),
        "shared_address_lines": [list(pair) for pair in tally.shared],
    }


def action_data(tally: ActionTally, *, dry_run: bool, rejects: Path | None) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "dry_run": dry_run,
        "rows": tally.rows,
        "taken": tally.taken,
        "actions": dict(tally.actions.most_common()),
        "repeated": tally.repeated,
        "by_strangers": tally.strangers,
        "refused": sum(tally.refused.values()),
        "refused_because": dict(tally.refused.most_common()),
        "rejects": str(rejects) if rejects else None,
    }


def _refused(refused: Mapping[str, int]) -> Iterator[Line]:
    for reason, count in sorted(refused.items(), key=lambda each: -each[1]):
        yield Line(f"{number(count)} refused: {reason}", "red")


def _lines(lines: Sequence[int], count: int) -> str:
    shown = ", ".join(number(line) for line in lines[:LISTED])
    more = f" and {number(count - LISTED)} more" if count > LISTED else ""
    return f"line{'s' if count > 1 else ''} {shown}{more}"
