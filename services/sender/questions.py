"""Read-only questions about the ledger, answered over HTTP from a connection of their own."""

from __future__ import annotations

import threading
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.sender.ledger import EVERYTHING
from shared.clock import from_ms
from shared.errors import RetryLater
from shared.store.database import Database

OUTCOME = (
    "send_id", "occurrence", "supporter_id", "message_id", "partition", "variant", "edition",
    "state", "settled", "attempt", "attempted_ms", "settle_after_ms", "reason", "ses_message_id",
    "updated_ms",
)  # fmt: skip


class Questions:
    """`/ask/outcome` for one supporter, `/ask/books` for one send.

    About the whole ledger: senders that share one give the same answers, which do not add up.
    """

    def __init__(self, database: Database) -> None:
        self._db, self._lock = database, threading.Lock()

    def routes(self) -> list[Route]:
        return [Route("/ask/outcome", self._outcome), Route("/ask/books", self._books)]

    def _outcome(self, request: Request) -> JSONResponse:
        """What became of the messages of a send for a supporter."""
        send, supporter = request.query_params.get("send"), request.query_params.get("supporter")
        if not send or not supporter:
            return JSONResponse({"error": "wanted: ?send=NAME&supporter=ID"}, status_code=400)
        rows = self._rows(
            f"select {', '.join(OUTCOME)} from message"
            " where send_id = ? and supporter_id = ? order by occurrence",
            send, supporter,
        )  # fmt: skip
        return JSONResponse(
            {"outcomes": [_readable(dict(zip(OUTCOME, r, strict=True))) for r in rows]}
        )

    def _books(self, request: Request) -> JSONResponse:
        """Messages of a send by state (and, in doubt, whether settled)."""
        send = request.query_params.get("send")
        if not send:
            return JSONResponse({"error": "wanted: ?send=NAME"}, status_code=400)
        rows = self._rows(
            "select state, settled, count(*) from message where send_id = ?"
            " group by state, settled",
            send,
        )
        held = self._rows("select reason from send_hold where send_id in (?, ?)", send, EVERYTHING)
        states: dict[str, int] = {}
        for state, settled, number in rows:
            name = "in doubt" if state == "unconfirmed" and not settled else state
            states[name] = states.get(name, 0) + number
        return JSONResponse({"states": states, "held": held[0][0] if held else None})

    def _rows(self, sql: str, *values: str) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(sql, values).fetchall()
        except RetryLater as error:
            raise HTTPException(503, str(error)) from error


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("attempted_ms", "settle_after_ms", "updated_ms"):
        value = row.pop(name)
        row[name.removesuffix("_ms") + "_at"] = value and from_ms(value).isoformat()
    row["settled"] = bool(row["settled"])
    return row
