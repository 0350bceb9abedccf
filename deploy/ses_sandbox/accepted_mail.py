"""A mail that SES has taken: its id, and the headers by which SES marks it. Pure.

The assigned headers stand first in the file and end with `X-SES-Accepted-At`; from them alone the
acceptance can be read back, which is how a crash between file and database is mended.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from deploy.ses_sandbox.message_headers import read_raw_message
from deploy.ses_sandbox.submission import Submission, Tags
from deploy.ses_sandbox.timestamps import iso_millis, mail_date

MESSAGE_ID_DOMAIN: Final = "sandbox.amazonses.com"
LAST_ASSIGNED: Final = "X-SES-Accepted-At"
_TAG_HEADER: Final = "X-SES-Tag-"


@dataclass(frozen=True, slots=True)
class AcceptedMail:
    """`headers` are the sender's, unfolded; `file` is the whole mail as it is kept."""

    message_id: str
    accepted_ms: int
    source: str
    recipients: tuple[str, ...]
    tags: Tags
    configuration_set: str | None
    source_ip: str
    headers: tuple[tuple[str, str], ...]
    file: bytes


class NotOurMail(ValueError):
    """A file that does not start with the headers the sandbox assigns."""


def new_message_id(accepted_ms: int, random: uuid.UUID) -> str:
    """An id of SES's shape: the instant in hex, a random part, a closing counter."""
    return f"0102{accepted_ms:012x}-{random!s}-000000"


def accept_submission(
    submission: Submission, *, message_id: str, accepted_ms: int, source_ip: str
) -> AcceptedMail:
    """The mail as SES keeps it: assigned headers in the message's own line ends, then the rest."""
    lines = [
        f"Message-ID: <{message_id}@{MESSAGE_ID_DOMAIN}>",
        f"Date: {mail_date(accepted_ms)}",
        f"X-SES-Message-ID: {message_id}",
        f"X-SES-Source: {submission.source}",
        f"X-SES-Source-IP: {source_ip}",
    ]
    if submission.configuration_set is not None:
        lines.append(f"X-SES-Configuration-Set: {submission.configuration_set}")
    lines += [f"{_TAG_HEADER}{name}: {value}" for name, value in submission.tags]
    lines += [f"X-SES-Recipient: {address}" for address in submission.recipients]
    lines.append(f"{LAST_ASSIGNED}: {iso_millis(accepted_ms)}")
    line_end = submission.message.line_end
    assigned = line_end.join(line.encode("ascii") for line in lines) + line_end
    return AcceptedMail(
        message_id=message_id,
        accepted_ms=accepted_ms,
        source=submission.source,
        recipients=submission.recipients,
        tags=submission.tags,
        configuration_set=submission.configuration_set,
        source_ip=source_ip,
        headers=submission.message.headers,
        file=assigned + submission.message.content,
    )


def read_accepted_mail(file: bytes) -> AcceptedMail:
    """The acceptance behind a kept file; only the headers that SES takes out are lost.

    Raises NotOurMail.
    """
    marker = f"\n{LAST_ASSIGNED}: ".encode()
    marked = file.find(marker)
    end = file.find(b"\n", marked + 1) + 1
    if marked < 0 or end == 0:
        raise NotOurMail(f"no {LAST_ASSIGNED} header")
    pairs = [line.strip().partition(": ")[::2] for line in file[:end].decode("ascii").splitlines()]
    assigned = dict(pairs)
    try:
        accepted_at = datetime.fromisoformat(assigned[LAST_ASSIGNED])
        return AcceptedMail(
            message_id=assigned["X-SES-Message-ID"],
            accepted_ms=round(accepted_at.timestamp() * 1000),
            source=assigned["X-SES-Source"],
            recipients=tuple(value for name, value in pairs if name == "X-SES-Recipient"),
            tags=tuple(
                (name.removeprefix(_TAG_HEADER), value)
                for name, value in pairs
                if name.startswith(_TAG_HEADER)
            ),
            configuration_set=assigned.get("X-SES-Configuration-Set"),
            source_ip=assigned["X-SES-Source-IP"],
            headers=read_raw_message(file[end:]).headers,
            file=file,
        )
    except KeyError as missing:
        raise NotOurMail(f"no {missing} header") from missing
