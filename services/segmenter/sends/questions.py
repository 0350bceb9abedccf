"""Read-only questions about sends: the books, and what the frozen set says of one supporter."""

from __future__ import annotations

import json
from typing import Any

from services.segmenter.people.ownership import Owned
from services.segmenter.sends.programme import ProgrammeView
from shared.clock import from_ms
from shared.store.database import Database

MARKS = ("delivered", "bounced", "opened", "clicked", "acted")


def books(
    connection: Database, programme: ProgrammeView, send_id: str, owned: Owned
) -> dict[str, Any]:
    """The account of a send among the owned, to the last person: whole, by variant, by edition.

    `frozen` = `open` + `in_doubt` + the sum of `states`; `unreleased` are part of `open`.
    """
    whole: dict[str, Any] = {"frozen": 0, "open": 0, "in_doubt": 0, "unreleased": 0, "states": {}}
    by: dict[str, dict[str, dict[str, Any]]] = {"variant": {}, "edition": {}}
    for variant, edition, state, settled, released, number in connection.execute(
        "select variant, edition, state, settled, released, count(*) from frozen"
        f" where send_id = ? and {owned.sql('partition')}"
        " group by variant, edition, state, settled, released",
        (send_id,),
    ):
        word = _word(state, settled)
        _add(whole, word, number)
        whole["unreleased"] += number if state is None and not released else 0
        for part, name in (("variant", variant), ("edition", edition)):
            entry = by[part].setdefault(name, {"frozen": 0, "states": {}} | dict.fromkeys(MARKS, 0))
            entry["frozen"] += number
            entry["states"][word] = entry["states"].get(word, 0) + number
    _marks(connection, send_id, owned, by)
    decision = programme.decisions.get((send_id, 0))
    return {
        **whole,
        "decision": decision and decision.model_dump(mode="json"),
        "by_variant": by["variant"],
        "by_edition": by["edition"],
    }


def frozen_of(connection: Database, send_id: str, supporter_id: str) -> dict[str, Any] | None:
    """The supporter's row in the frozen set of the send."""
    for state, settled, reason, variant, edition, areas, frozen_ms, released in connection.execute(
        "select state, settled, reason, variant, edition, areas, frozen_ms, released from frozen"
        " where send_id = ? and supporter_id = ? order by occurrence desc limit 1",
        (send_id, supporter_id),
    ):
        return {
            "state": state,
            "settled": bool(settled),
            "reason": reason,
            "variant": variant,
            "edition": edition,
            "areas": json.loads(areas),
            "frozen_at": from_ms(frozen_ms).isoformat(),
            "released": bool(released),
        }
    return None


def delivery_of(connection: Database, send_id: str, supporter_id: str) -> dict[str, Any] | None:
    """What came back about the supporter's message: times by mark."""
    columns = ", ".join(f"{mark}_at" for mark in ("accepted", *MARKS))
    for row in connection.execute(
        f"select {columns} from delivery where send_id = ? and supporter_id = ?"
        " order by occurrence desc limit 1",
        (send_id, supporter_id),
    ):
        return {
            f"{mark}_at": None if at is None else from_ms(at).isoformat()
            for mark, at in zip(("accepted", *MARKS), row, strict=True)
        }
    return None


def _word(state: str | None, settled: int) -> str:
    if state is None:
        return "open"
    return state if settled else "in_doubt"


def _add(whole: dict[str, Any], word: str, number: int) -> None:
    whole["frozen"] += number
    if word in {"open", "in_doubt"}:
        whole[word] += number
    else:
        whole["states"][word] = whole["states"].get(word, 0) + number


def _marks(
    connection: Database,
    send_id: str,
    owned: Owned,
    by: dict[str, dict[str, dict[str, Any]]],
) -> None:
    numbers_of = ", ".join(f"count(d.{mark}_at)" for mark in MARKS)
    for part in ("variant", "edition"):
        for name, *numbers in connection.execute(
            f"select f.{part}, {numbers_of} from frozen f join delivery d"
            " on d.send_id = f.send_id and d.supporter_id = f.supporter_id"
            f" and d.occurrence = f.occurrence where f.send_id = ? and {owned.sql('f.partition')}"
            f" group by f.{part}",
            (send_id,),
        ):
            by[part][name].update(zip(MARKS, numbers, strict=True))
