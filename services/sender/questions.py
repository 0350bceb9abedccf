"""Read-only questions about the ledger, answered over HTTP from a connection of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from math import inf
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.sender import account
from services.sender.account import MEANING, Limits
from services.sender.account_rows import Known, read_account
from services.sender.gates import sent_on
from services.sender.ledger import EVERYTHING, RETRIABLE
from shared.clock import from_ms
from shared.errors import RetryLater
from shared.programme.warm_ups import WarmUps
from shared.store.database import Database

OUTCOME = (
    "send_id", "occurrence", "supporter_id", "message_id", "partition", "variant", "edition",
    "state", "settled", "attempt", "attempted_ms", "settle_after_ms", "reason", "ses_message_id",
    "updated_ms",
)  # fmt: skip


class Questions:
    """`/ask/outcome` for one supporter, `/ask/books` for one send, `/ask/account`.

    About the whole ledger: senders that share one give the same answers, which do not add up.
    """

    def __init__(
        self,
        database: Database,
        limits: Limits,
        warm_ups: Callable[[], WarmUps] = WarmUps,
    ) -> None:
        """`warm_ups`: as the programme has them now."""
        self._db, self._lock, self._limits = database, threading.Lock(), limits
        self._warm_ups = warm_ups

    def routes(self) -> list[Route]:
        return [
            Route("/ask/outcome", self._outcome),
            Route("/ask/books", self._books),
            Route("/ask/account", self._account),
            Route("/ask/failed", self._failed),
        ]

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
        held = self._rows(
            "select reason, send_id from send_hold where send_id in (?, ?) order by send_id",
            send, EVERYTHING,
        )  # fmt: skip
        states: dict[str, int] = {}
        for state, settled, number in rows:
            name = "in doubt" if state == "unconfirmed" and not settled else state
            states[name] = states.get(name, 0) + number
        stopped, remarks = self._account_words()
        return JSONResponse(
            {
                "states": states,
                "held": held[0][0] if held else None,
                "holds_all": bool(held) and held[0][1] == EVERYTHING,
                "account_stopped": stopped,
                "account_remarks": remarks,
            }
        )

    def _failed(self, request: Request) -> JSONResponse:
        """Why messages of a send failed, the most frequent reason first, and whether SES may be
        asked again for them.
        """
        send = request.query_params.get("send")
        if not send:
            return JSONResponse({"error": "wanted: ?send=NAME"}, status_code=400)
        rows = self._rows(
            f"select reason, case when {RETRIABLE} then 1 else 0 end, count(*) from message"
            " where send_id = ? and state = 'failed' group by 1, 2 order by 3 desc, 1",
            send,
        )
        return JSONResponse(
            {
                "failed": [
                    {"reason": reason or "", "retriable": bool(can), "number": number}
                    for reason, can, number in rows
                ]
            }
        )

    def _account(self, _: Request) -> JSONResponse:
        """What the SES account allows, as last known. `quota_left` null: there is no quota."""
        known = self._known_account()
        said = known.account
        left = inf if said is None else account.quota_left(said, self._limits)
        stopped, remarks = self._account_words()
        return JSONResponse(
            {
                "known_at": from_ms(known.known_ms).isoformat() if said else None,
                "said": asdict(said) if said else None,
                "permitted_rate": account.ceiling(said, self._limits),
                "quota_left": None if left == inf else left,
                "sent_of_warm_up": self._sent_of_warm_up(),
                "stopped": stopped,
                "remarks": remarks,
            }
        )

    def _known_account(self) -> Known:
        try:
            with self._lock:
                return read_account(self._db)
        except RetryLater as error:
            raise HTTPException(503, str(error)) from error

    def _account_words(self) -> tuple[str | None, list[str]]:
        """Why no mail can go at all, and what else to know of the account."""
        said = self._known_account().account
        why = account.stop(said, self._limits)
        remarks = account.remarks(said) if said else []
        warm_ups = self._warm_ups()
        sent = self._sent_of_warm_up()
        for domain, most in warm_ups.limits(warm_ups.day(datetime.now(UTC))).items():
            gone = sent.get(domain, 0)
            remarks.append(
                f"the warm-up of {domain} lets {most:,} mails go today: {gone:,} have gone"
            )
        return MEANING[why] if why else None, remarks

    def _sent_of_warm_up(self) -> dict[str, int]:
        """Domain to mails of today."""
        day = self._warm_ups().day(datetime.now(UTC))
        try:
            with self._lock:
                return sent_on(self._db, day)
        except RetryLater as error:
            raise HTTPException(503, str(error)) from error

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
