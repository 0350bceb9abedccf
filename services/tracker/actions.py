"""`POST /actions`: the campaign's own site reports what supporters did.

Server to server, with a key, or signed as the Standard Webhooks specification has it. Answered
only when the action is durable; the same idempotency key gives the same event, so a retry is always
safe.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from services.tracker.action_requests import Reading, Refused, read_action
from services.tracker.facts import action_event_id
from services.tracker.intake import Intake, TooLarge, body_of
from shared.standard_webhooks import ID, SIGNATURE, TIMESTAMP, BadSignature, verify

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Actions:
    """The route. `keys`: the API keys that may report; `signers`: the keys of those who sign;
    `secret` keys identities.
    """

    def __init__(
        self,
        intake: Intake,
        keys: Sequence[str],
        secret: bytes,
        most_bytes: int,
        signers: Sequence[bytes] = (),
    ) -> None:
        self._intake, self._secret, self._most_bytes = intake, secret, most_bytes
        self._keys = [key.encode() for key in keys]
        self._signers = signers

    def routes(self) -> list[BaseRoute]:
        return [Route("/actions", self._act, methods=["POST"])]

    async def _act(self, request: Request) -> Response:
        try:
            return await self._record(request)
        except Refused as refused:
            self._intake.metrics.hits_refused.labels(f"action_{refused.status}").inc()
            return _refusal(refused)
        except ClientDisconnect:  # nobody is there to be answered
            return Response(status_code=400)

    async def _record(self, request: Request) -> Response:
        signed = SIGNATURE in request.headers
        if not signed:
            self._authorise(request.headers.get("authorization", ""))
        _check_content_type(request.headers.get("content-type", ""))
        try:
            body = await body_of(request, self._most_bytes)
        except TooLarge:
            raise Refused(
                413, f"larger than {self._most_bytes} bytes", "the body", "send less"
            ) from None
        now = self._intake.clock.now()
        key = request.headers.get("idempotency-key")
        if signed:
            self._check_signature(request, body, now)
            key = key or request.headers[ID]
        reading = Reading(self._intake.bearer, self._secret, now)
        hit = read_action(body, key, reading)
        if not await self._intake.keep(hit, hit.received_ms):
            unkept = Refused(
                503, "it could not be kept", "the tracker", "send it again with the same key"
            )
            return _refusal(unkept)
        return JSONResponse(
            {"event_id": action_event_id(hit), "supporter_id": hit.supporter_id}, headers=_HEADERS
        )

    def _check_signature(self, request: Request, body: bytes, now: datetime) -> None:
        headers = request.headers
        try:
            verify(
                self._signers, headers.get(ID, ""), headers.get(TIMESTAMP, ""),
                headers[SIGNATURE], body, now,
            )  # fmt: skip
        except BadSignature as error:
            raise Refused(
                401,
                str(error),
                f"the header {SIGNATURE}",
                "sign `<id>.<timestamp>.<body>` with a secret of DOORSTEP_ACTION_SECRETS",
            ) from error

    def _authorise(self, header: str) -> None:
        """Compares with every key in constant time, so that nothing is learnt from the time."""
        scheme, _, said = header.partition(" ")
        given = said.strip().encode("utf-8", "surrogateescape")
        known = [hmac.compare_digest(given, key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(known):
            raise Refused(
                401,
                "no API key, or not one of ours",
                "the header Authorization",
                "send `Authorization: Bearer <key>` with a key of DOORSTEP_ACTION_KEYS",
            )


def _check_content_type(header: str) -> None:
    kind = header.partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(
            415, "not JSON", "the header Content-Type", "send `Content-Type: application/json`"
        )


def _refusal(refused: Refused) -> Response:
    headers = dict(_HEADERS)
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.status == 503:
        headers["Retry-After"] = "5"
    said = {"what": refused.what, "where": refused.where, "what_to_do": refused.what_to_do}
    return Response(
        json.dumps({"error": said}, ensure_ascii=False),
        status_code=refused.status,
        media_type="application/json",
        headers=headers,
    )
