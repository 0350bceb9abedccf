"""One SendEmail request from arrival to answer, faults included.

The order is SES's as far as it shows: signature, input, account. Half of the latency lies before
acceptance and half after it, and the signature's age is looked at again at the very moment of
acceptance: what was held up too long, here or on its way, is not taken late.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from deploy.ses_sandbox.acceptance import AcceptanceDesk
from deploy.ses_sandbox.accepted_mail import AcceptedMail, accept_submission, new_message_id
from deploy.ses_sandbox.account import Account
from deploy.ses_sandbox.authentication import check_signature_date
from deploy.ses_sandbox.chance import draw
from deploy.ses_sandbox.faults import Fault, choose_fault
from deploy.ses_sandbox.http_messages import Answer, NoAnswer, Request
from deploy.ses_sandbox.journal import Journal, JournalLine
from deploy.ses_sandbox.refusals import (
    Refusal,
    internal_failure,
    rate_exceeded,
    service_unavailable,
)
from deploy.ses_sandbox.send_email_input import read_send_email
from deploy.ses_sandbox.settings import SwitchBoard, Switches
from deploy.ses_sandbox.submission import (
    Submission,
    Tags,
    judge_submission,
    readable_tags,
    require_known,
)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is known of a request before anything is done about it."""

    number: int
    tags: Tags
    submission: Submission | Refusal
    fault: Fault | None

    @property
    def recipients(self) -> int:
        return 0 if isinstance(self.submission, Refusal) else len(self.submission.recipients)


class SendEmail:
    """Answers SendEmail requests."""

    def __init__(
        self,
        board: SwitchBoard,
        account: Account,
        desk: AcceptanceDesk,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self._board = board
        self._account = account
        self._desk = desk
        self._journal = journal
        self._clock = clock
        self._last_request = journal.sums.last_request

    async def answer(self, request: Request) -> Answer | NoAnswer:
        """The answer, or the lack of one, that the client is to see."""
        switches = self._board.now
        self._last_request += 1
        judged = _judge(request, self._last_request, switches)
        fault = judged.fault
        try:
            check_signature_date(request.headers, self._clock(), switches.validity_seconds)
            if fault is not None and fault.side == "before":
                return await self._fail_before(request, judged, fault, switches)
            half_latency = _latency_seconds(switches, judged.number) / 2
            if half_latency:
                await asyncio.sleep(half_latency)
            mail = await self._accept(request, judged)
        except Refusal as refusal:
            self._refused(judged, refusal.name, refusal.status, None)
            return refusal.answer()
        if half_latency:
            await asyncio.sleep(half_latency)
        if fault is not None:
            return await _fail(request, fault, switches.hold_seconds)
        return Answer(200, json.dumps({"MessageId": mail.message_id}).encode())

    async def _accept(self, request: Request, judged: _Judged) -> AcceptedMail:
        """Take the mail. Raises the refusal that stands in the way."""
        switches = self._board.now
        now = self._clock()
        check_signature_date(request.headers, now, switches.validity_seconds)
        if isinstance(judged.submission, Refusal):
            raise judged.submission
        submission = judged.submission
        require_known(submission, switches.verified_identities, switches.configuration_sets)
        self._account.admit(submission.sender, judged.recipients, now, switches)
        accepted_ms = round(now * 1000)
        mail = accept_submission(
            submission,
            message_id=new_message_id(accepted_ms, uuid.uuid4()),
            accepted_ms=accepted_ms,
            source_ip=request.source_ip,
        )
        line = JournalLine(
            at_ms=accepted_ms,
            request=judged.number,
            outcome="accepted",
            answer=_status(judged.fault),
            reason=None,
            fault=judged.fault.name if judged.fault else None,
            message_id=mail.message_id,
            recipients=judged.recipients,
            tags=submission.tags,
        )
        await self._desk.accept(mail, line)
        return mail

    async def _fail_before(
        self, request: Request, judged: _Judged, fault: Fault, switches: Switches
    ) -> Answer | NoAnswer:
        """Carry out a fault by which the mail is not taken, now or later."""
        answer = await _fail(request, fault, switches.hold_seconds)
        if fault.kind == "hang":
            try:
                check_signature_date(request.headers, self._clock(), switches.validity_seconds)
            except Refusal as refusal:
                answer = refusal.answer()
        if isinstance(answer, Answer):
            self._refused(judged, answer.error_type or "", answer.status, fault)
        else:
            self._refused(judged, fault.name, None, fault)
        return answer

    def _refused(
        self, judged: _Judged, reason: str, status: int | None, fault: Fault | None
    ) -> None:
        line = JournalLine(
            at_ms=time.time_ns() // 1_000_000,
            request=judged.number,
            outcome="refused",
            answer=status,
            reason=reason,
            fault=fault.name if fault else None,
            message_id=None,
            recipients=judged.recipients,
            tags=judged.tags,
        )
        self._journal.append([line])


def _judge(request: Request, number: int, switches: Switches) -> _Judged:
    tags: Tags = ()
    submission: Submission | Refusal
    try:
        given = read_send_email(request.body)
        tags = readable_tags(given)
        submission = judge_submission(given)
        tags = submission.tags
    except Refusal as refusal:
        submission = refusal
    return _Judged(number, tags, submission, choose_fault(switches.seed, number, switches.faults))


async def _fail(request: Request, fault: Fault, hold_seconds: float) -> Answer | NoAnswer:
    """What the client sees of a fault; a hang lasts until the client leaves or the hold ends."""
    match fault.kind:
        case "throttle_429":
            return rate_exceeded().answer()
        case "error_500":
            return internal_failure().answer()
        case "error_503":
            return service_unavailable().answer()
        case "reset":
            return NoAnswer(reset=True)
        case "close":
            return NoAnswer(reset=False)
        case "hang":
            try:
                async with asyncio.timeout(hold_seconds):
                    await request.gone.wait()
            except TimeoutError:
                pass
            return NoAnswer(reset=False)


def _status(fault: Fault | None) -> int | None:
    """The HTTP status a client sees of an accepted mail."""
    if fault is None:
        return 200
    return {"error_500": 500, "error_503": 503}.get(fault.kind)


def _latency_seconds(switches: Switches, number: int) -> float:
    jitter = switches.latency_jitter_ms
    extra = jitter * draw(switches.seed, "latency", number) if jitter else 0.0
    return (switches.latency_ms + extra) / 1000
