"""Mails for seeds: tests of a send, to the addresses that the campaign's definition names.

A test is no message: it has no message id, no row of the ledger, no event, and no tag by which an
event of SES could be taken for one of a message's. All else is as for everybody: it leaves through
the same gateway at the same pace, after the same last look at suppressions and halts that are
known to be current. The mark in its subject is put in here: nothing leaves this way without it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.sender.gateway import Answer, MailGateway, OutgoingMail
from services.sender.last_look import Candidate, look
from services.sender.pace import Pace
from services.sender.tables import SenderTables
from shared.clock import Clock, to_ms
from shared.errors import Misconfigured
from shared.ids import BadAddress, address_key, normalise_address
from shared.observability.logs import Journal
from shared.settings import SenderSettings

MARK: Final = "[TEST] "
HEADER: Final = "X-Doorstep-Test"
PATIENCE_SECONDS: Final = 20.0
"""How long a test waits for its turn. With SES's timeouts it stays within the patience of who asks,
who would otherwise ask another sender for the same.
"""


class SeedMail(BaseModel):
    """A test mail as it is asked for. `mail`: the whole message, ASCII, CRLF line ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    send: str
    topic: str
    to: str
    sender: str
    mail: str


class Refused(Exception):
    """A test that may not go; says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """`asked_at`: seconds since boot."""

    mail: SeedMail
    key: str
    asked_at: float
    answer: Future[Answer]


class SeedMails:
    """`go` belongs to the dispatcher's thread; any other may `ask`."""

    def __init__(
        self,
        gateway: MailGateway,
        settings: SenderSettings,
        clock: Clock,
        secret: Callable[[], bytes],
    ) -> None:
        """`secret`: of address keys; asked for when a test is. Raises Misconfigured."""
        self._gateway, self._settings, self._clock, self._secret = gateway, settings, clock, secret
        self._waiting: deque[_Waiting] = deque()
        self._answered: deque[Answer] = deque()
        self._journal = Journal("sender.seed_mails")

    def routes(self) -> list[Route]:
        return [Route("/seeds/mail", self._endpoint, methods=["POST"])]

    def ask(self, mail: SeedMail, patience_seconds: float = PATIENCE_SECONDS) -> Answer:
        """Wait for its turn and for SES. Raises Refused, Misconfigured, and TimeoutError when it
        had no turn; then it never will.
        """
        try:
            key = address_key(mail.to, self._secret())
        except BadAddress as error:
            raise Refused(f'"{mail.to}" is no e-mail address: {error}') from error
        waiting = _Waiting(mail, key, self._clock.boot_seconds(), Future())
        self._waiting.append(waiting)
        try:
            return waiting.answer.result(timeout=patience_seconds)
        except TimeoutError:
            if waiting.answer.cancel():
                raise
            return waiting.answer.result()  # it is on its way: SES's timeouts bound this

    def go(self, tables: SenderTables, pace: Pace, looked_at: float, *, may_call: bool) -> None:
        """Refuse what may not go, and call for the next when it may. `may_call`: at `looked_at`
        (seconds since boot) no halt or hold stood in the way, and the tables were current. Raises
        RetryLater when the pace is not known.
        """
        while self._answered:
            if self._answered.popleft().verdict == "throttled":
                pace.slow_down()
        known_at = looked_at - max(tables.ages().values())
        while self._waiting:
            waiting = self._waiting[0]
            if known_at < waiting.asked_at:
                return  # what was applied directly before it was asked for counts
            if waiting.answer.cancelled():
                self._waiting.popleft()
            elif (why := self._why_not(waiting, tables)) is not None:
                self._waiting.popleft()
                if waiting.answer.set_running_or_notify_cancel():
                    waiting.answer.set_exception(Refused(why))
            elif may_call and pace.take(1):
                self._waiting.popleft()
                if waiting.answer.set_running_or_notify_cancel():
                    set_name = tables.orders.configuration_set
                    self._call(waiting, set_name, looked_at)
                else:
                    pace.give_back(1)
            else:
                return

    def _why_not(self, waiting: _Waiting, tables: SenderTables) -> str | None:
        mail = waiting.mail
        if tables.orders.halted:
            return "everything is halted: lift that first with `doorstep halt --lift`"
        if normalise_address(mail.to) not in tables.orders.seeds:
            return (
                f"{mail.to} is no seed: tests go to the addresses under `seeds:` in campaign.yaml "
                "only; add it there and apply"
            )
        refusal = look(_candidate(mail, waiting.key), tables.suppressions, tables.orders,
                       to_ms(self._clock.now()), 0)  # fmt: skip
        return None if refusal is None else f"{mail.to} may not be mailed: {refusal[1]}"

    def _call(self, waiting: _Waiting, configuration_set: str, looked_at: float) -> None:
        """Begin one call, which is not made if the look has become too old meanwhile."""

        def still_fresh() -> bool:
            return self._clock.boot_seconds() - looked_at <= self._settings.last_look_seconds

        mail = waiting.mail
        outgoing = OutgoingMail(
            mail.sender, mail.to, marked(mail.mail).encode("ascii"), configuration_set,
            tags={"test": mail.send},
        )  # fmt: skip

        def answered(answer: Answer) -> None:
            self._journal.info("sender.seed_mail", send=mail.send, verdict=answer.verdict)
            self._answered.append(answer)
            waiting.answer.set_result(answer)

        self._gateway.begin(outgoing, still_fresh, answered)

    async def _endpoint(self, request: Request) -> JSONResponse:
        try:
            mail = SeedMail.model_validate(await request.json())
            marked(mail.mail)
            answer = await run_in_threadpool(self.ask, mail)
        except (Refused, Misconfigured) as error:
            return _error(str(error), 400)
        except TimeoutError:
            said = "it is busy, held back, or has not read its tables yet; nothing was sent"
            return _error(said, 503)
        except ValidationError as error:
            return _error(f"not a test mail: {error.errors()[0]['msg']}", 400)
        except ValueError as error:
            return _error(f"not a test mail: {error}", 400)
        return JSONResponse(
            {
                "verdict": answer.verdict, "reason": answer.reason,
                "ses_message_id": answer.ses_message_id,
            }
        )  # fmt: skip


def marked(mail: str) -> str:
    """The mail with the mark before its subject, and a header that says the same. Raises ValueError
    for what is no mail of ours.
    """
    head, gap, body = mail.partition("\r\n\r\n")
    if not gap or not mail.isascii():
        raise ValueError("wanted: a whole message, ASCII, with CRLF line ends")
    lines = head.split("\r\n")
    subjects = [at for at, line in enumerate(lines) if line.lower().startswith("subject:")]
    if len(subjects) != 1:
        raise ValueError(f"the message has {len(subjects)} subjects")
    said = lines[subjects[0]].partition(":")[2].strip()
    lines[subjects[0]] = f"Subject: {MARK}{said}".rstrip()
    return "\r\n".join([*lines, f"{HEADER}: yes"]) + gap + body


def _candidate(mail: SeedMail, key: str) -> Candidate:
    """What the last look asks of a message, of nobody's but this address."""
    return Candidate(
        entry_no=0, message_id="", send_id=mail.send, occurrence=0, partition=0, supporter_id="",
        address_key=key, variant="", edition="", topic=mail.topic, deadline_ms=None,
        sender=mail.sender, to_address=mail.to, batch_id="", entry=0, attempt=0,
    )  # fmt: skip


def _error(said: str, status: int) -> JSONResponse:
    return JSONResponse({"error": said}, status_code=status)
