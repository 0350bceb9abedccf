"""The one place where a mail becomes accepted: file, events and journal line, then the answer.

Mails that arrive together are taken together. The order is what crash safety rests on: the files
appear, then one transaction records acceptances and events, then the journal is written, and only
then does anyone hear of it. A kill at any point leaves files at most one step ahead, and
recovery.py brings the rest after them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import apsw

from deploy.ses_sandbox.accepted_mail import AcceptedMail
from deploy.ses_sandbox.event_plan import plan_events
from deploy.ses_sandbox.event_queue import Acceptance, EventQueue
from deploy.ses_sandbox.events import AccountIdentity, mail_record
from deploy.ses_sandbox.journal import Journal, JournalLine
from deploy.ses_sandbox.logs import log
from deploy.ses_sandbox.mail_directory import MailDirectory
from deploy.ses_sandbox.refusals import internal_failure
from deploy.ses_sandbox.settings import SwitchBoard, Switches


def record_of(mail: AcceptedMail, switches: Switches, identity: AccountIdentity) -> Acceptance:
    """What the books say of a mail: itself, and the events that are to follow."""
    return Acceptance(
        message_id=mail.message_id,
        accepted_ms=mail.accepted_ms,
        recipients=len(mail.recipients),
        mail=mail_record(mail, identity) if mail.configuration_set is not None else None,
        events=plan_events(mail, switches),
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    mail: AcceptedMail
    line: JournalLine
    taken: asyncio.Future[bool]


class AcceptanceDesk:
    """Takes mails in groups; `on_events` is called when there may be events to post."""

    def __init__(
        self,
        *,
        mails: MailDirectory,
        queue: EventQueue,
        journal: Journal,
        board: SwitchBoard,
        identity: AccountIdentity,
        on_events: Callable[[], None],
    ) -> None:
        self._mails = mails
        self._queue = queue
        self._journal = journal
        self._board = board
        self._identity = identity
        self._on_events = on_events
        self._group: list[_Waiting] = []

    async def accept(self, mail: AcceptedMail, line: JournalLine) -> None:
        """Return once the mail is durable. Raises the 500 refusal when it cannot be made so."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(mail, line, loop.create_future())
        if not self._group:
            # Runs after all requests that are ready now, so that they share one transaction.
            loop.call_soon(self._take_group)
        self._group.append(waiting)
        if not await waiting.taken:
            raise internal_failure()

    def _take_group(self) -> None:
        group, self._group = self._group, []
        taken = self._take([one.mail for one in group], [one.line for one in group])
        for one in group:
            if not one.taken.done():
                one.taken.set_result(taken)

    def _take(self, mails: list[AcceptedMail], lines: list[JournalLine]) -> bool:
        try:
            self._mails.keep(mails)
        except OSError as error:
            log("sandbox.mail_not_kept", problem=str(error))
            return False
        try:
            switches = self._board.now
            self._queue.add([record_of(mail, switches, self._identity) for mail in mails])
        except apsw.Error as error:
            self._mails.withdraw(mails)
            log("sandbox.acceptance_not_recorded", problem=repr(error))
            return False
        try:
            self._journal.append(lines)
        except OSError as error:
            # The mails are taken all the same; the next start adds the missing lines.
            log("sandbox.journal_not_written", problem=str(error))
        self._on_events()
        return True
