"""Brings the books after the mail directory when the sandbox starts.

Files are the truth: a kill can leave a mail whose acceptance, events or journal line were not yet
written, and each is then made from the file. The reverse cannot come of a kill, since files appear
first; a record without its file means that somebody removed the file, and is only counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.ses_sandbox.acceptance import record_of
from deploy.ses_sandbox.accepted_mail import AcceptedMail, NotOurMail, read_accepted_mail
from deploy.ses_sandbox.event_queue import EventQueue
from deploy.ses_sandbox.events import AccountIdentity
from deploy.ses_sandbox.journal import Journal, JournalLine
from deploy.ses_sandbox.logs import log
from deploy.ses_sandbox.mail_directory import MailDirectory
from deploy.ses_sandbox.settings import Switches

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the start found: half-written files, and how far file, record and line were apart."""

    unfinished_files: int
    acceptances_added: int
    journal_lines_added: int
    records_without_file: int


def recover(
    mails: MailDirectory,
    queue: EventQueue,
    journal: Journal,
    switches: Switches,
    identity: AccountIdentity,
) -> Recovered:
    """Make acceptances, events and journal lines for every mail that lacks them."""
    unfinished = mails.clear_unfinished()
    files = dict(mails.files())
    recorded = queue.message_ids()
    unrecorded = [files[message_id] for message_id in sorted(files.keys() - recorded)]
    for start in range(0, len(unrecorded), _AT_ONCE):
        batch = _read_all(unrecorded[start : start + _AT_ONCE])
        queue.add([record_of(mail, switches, identity) for mail in batch])
    unwritten = [files[message_id] for message_id in sorted(files.keys() - journal.accepted_ids)]
    journal.append([_journal_line(mail) for mail in _read_all(unwritten)])
    journal.forget_ids()
    return Recovered(unfinished, len(unrecorded), len(unwritten), len(recorded - files.keys()))


def _read_all(paths: list[Path]) -> Iterator[AcceptedMail]:
    for path in paths:
        try:
            yield read_accepted_mail(path.read_bytes())
        except NotOurMail as error:
            log("sandbox.foreign_file", file=path.name, problem=str(error))


def _journal_line(mail: AcceptedMail) -> JournalLine:
    return JournalLine(
        at_ms=mail.accepted_ms,
        request=None,
        outcome="accepted",
        answer=None,
        reason=None,
        fault=None,
        message_id=mail.message_id,
        recipients=len(mail.recipients),
        tags=mail.tags,
    )
