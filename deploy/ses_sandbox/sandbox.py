"""Where the rooms are wired together: a sandbox opened on a directory, and its routes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path

from deploy.ses_sandbox.acceptance import AcceptanceDesk
from deploy.ses_sandbox.account import DAY_SECONDS, Account, SentInDay
from deploy.ses_sandbox.authentication import check_signature_date
from deploy.ses_sandbox.event_queue import EventQueue
from deploy.ses_sandbox.events import AccountIdentity
from deploy.ses_sandbox.http_messages import Answer, NoAnswer, Request
from deploy.ses_sandbox.journal import Journal
from deploy.ses_sandbox.logs import log
from deploy.ses_sandbox.mail_directory import MailDirectory
from deploy.ses_sandbox.notifications import Postman
from deploy.ses_sandbox.recovery import recover
from deploy.ses_sandbox.refusals import Refusal, bad_request, unknown_operation
from deploy.ses_sandbox.send_email import SendEmail
from deploy.ses_sandbox.settings import (
    Settings,
    SwitchBoard,
    Switches,
    WrongSwitch,
    read_changes,
)
from deploy.ses_sandbox.signer import Signer
from deploy.ses_sandbox.signing import prepare_identity
from deploy.ses_sandbox.suppression_list import SuppressionList


class DirectoryInUse(Exception):
    """Another sandbox runs on the directory."""


class Sandbox:
    """A sandbox on its directory. Use `opened`, which also locks the directory."""

    def __init__(self, settings: Settings, switches: Switches) -> None:
        directory = settings.directory
        identity = AccountIdentity.of_topic(settings.topic_arn)
        signing = prepare_identity(directory)
        mails = MailDirectory(directory / "mail", fsync=settings.fsync)
        self.certificate_path = signing.certificate_path
        self._board = SwitchBoard(switches)
        self._journal = Journal(directory / "requests.jsonl")
        self._suppressed = SuppressionList(directory / "suppressed.jsonl")
        self._queue = EventQueue(directory / "events.sqlite3", fsync=settings.fsync)
        found = recover(mails, self._queue, self._journal, switches, identity)
        log("sandbox.recovered", **asdict(found))
        since_ms = round((time.time() - DAY_SECONDS) * 1000)
        self._account = Account(SentInDay(self._queue.recipients_by_minute(since_ms)))
        self._signer = Signer(signing.key_path)
        self._postman = Postman(
            self._queue,
            self._signer,
            self._board,
            topic_arn=settings.topic_arn,
            certificate_name=signing.certificate_name,
        )
        desk = AcceptanceDesk(
            mails=mails,
            queue=self._queue,
            journal=self._journal,
            board=self._board,
            identity=identity,
            on_events=self._postman.wake,
        )
        self._send_email = SendEmail(self._board, self._account, desk, self._journal, self.clock)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, settings: Settings, switches: Switches) -> Iterator[Sandbox]:
        """Raises DirectoryInUse when another sandbox runs on the same directory."""
        settings.directory.mkdir(parents=True, exist_ok=True)
        with _locked(settings.directory / "lock"):
            sandbox = cls(settings, switches)
            try:
                yield sandbox
            finally:
                sandbox._queue.close()
                sandbox._journal.close()

    def clock(self) -> float:
        """SES's clock: this machine's and the skew it is set to."""
        return time.time() + self._board.now.clock_skew_seconds

    @contextlib.asynccontextmanager
    async def posting(self) -> AsyncIterator[asyncio.Task[None]]:
        """Post events as long as the context lasts. The task ends early only by a fault of ours,
        which leaving the context then raises.
        """
        await self._signer.start()
        posting = asyncio.create_task(self._postman.run())
        try:
            yield posting
        finally:
            posting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await posting
            await self._signer.stop()

    async def answer(self, request: Request) -> Answer | NoAnswer:
        """Route a request."""
        match request.method, request.path:
            case "POST", "/v2/email/outbound-emails":
                return await self._send_email.answer(request)
            case "GET", "/v2/email/account":
                return self._get_account(request)
            case "GET" | "PUT", "/v2/email/suppression/addresses":
                return self._suppression_list(request)
            case "GET" | "PUT", "/sandbox/switches":
                return self._switches(request)
            case "GET", "/sandbox/report":
                return _json({**self._journal.sums.report(), "events": self._queue.counts()})
            case method, path:
                return unknown_operation(method, path).answer()

    def _get_account(self, request: Request) -> Answer:
        switches = self._board.now
        try:
            check_signature_date(request.headers, self.clock(), switches.validity_seconds)
        except Refusal as refusal:
            return refusal.answer()
        return Answer(200, self._account.describe(self.clock(), switches))

    def _suppression_list(self, request: Request) -> Answer:
        now = self.clock()
        try:
            check_signature_date(request.headers, now, self._board.now.validity_seconds)
            if request.method == "PUT":
                return Answer(200, self._suppressed.put(request.body, now))
            return Answer(200, self._suppressed.page(request.query))
        except Refusal as refusal:
            return refusal.answer()

    def _switches(self, request: Request) -> Answer:
        if request.method == "GET":
            return _json(self._board.now.model_dump())
        try:
            switches = self._board.throw(read_changes(request.body))
        except WrongSwitch as wrong:
            return bad_request(str(wrong)).answer()
        self._postman.wake()
        return _json(switches.model_dump())


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUse(
                f"another sandbox runs on {path.parent}; stop it or name another --directory"
            ) from None
        yield
    finally:
        os.close(descriptor)
