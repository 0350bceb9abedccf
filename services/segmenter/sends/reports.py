"""What the owner of a send's key knows: each partition's newest report, and what it decided."""

from __future__ import annotations

from datetime import datetime

from services.segmenter.sends.frozen_sets import Counts
from shared.ids import event_id
from shared.log.record import Record
from shared.log.topics import CONTROL
from shared.store.database import Database
from shared.wire.cloudevents import encode
from shared.wire.control import FreezeReported, ProgressReported
from shared.wire.programme import SendDecision


class Reports:
    """Over one connection; writes happen inside the caller's unit."""

    def __init__(self, connection: Database) -> None:
        self._db = connection

    def keep(self, report: FreezeReported | ProgressReported) -> None:
        """Cumulative snapshots: the newest one stands."""
        self._db.execute(
            "insert into report(send_id, occurrence, partition, kind, frozen, body)"
            " values (?, ?, ?, ?, ?, ?)"
            " on conflict (send_id, occurrence, partition, kind)"
            " do update set frozen = excluded.frozen, body = excluded.body",
            (
                report.send_id, report.occurrence, report.partition, report.ce_type,
                report.frozen, report.model_dump_json(),
            ),
        )  # fmt: skip

    def freezes(self, send_id: str, occurrence: int) -> dict[int, FreezeReported]:
        """Partition to its report of the freeze."""
        return {
            partition: FreezeReported.model_validate_json(body)
            for partition, body in self._bodies(send_id, occurrence, FreezeReported.ce_type)
        }

    def progress(self, send_id: str, occurrence: int) -> dict[int, ProgressReported]:
        """Partition to its newest report of progress."""
        return {
            partition: ProgressReported.model_validate_json(body)
            for partition, body in self._bodies(send_id, occurrence, ProgressReported.ce_type)
        }

    def note_decision(self, decision: SendDecision, home: int) -> None:
        """Remember what is in the outbox, so that it is not decided twice."""
        self._db.execute(
            "insert into report(send_id, occurrence, partition, kind, frozen, body)"
            " values (?, ?, ?, 'decision', ?, ?)"
            " on conflict (send_id, occurrence, partition, kind)"
            " do update set frozen = excluded.frozen, body = excluded.body",
            (decision.send_id, decision.occurrence, home, decision.frozen, decision.state),
        )

    def decided(self, send_id: str, occurrence: int) -> str | None:
        """The state of the newest decision made by an owner of the send's key, if any."""
        for _, body in self._bodies(send_id, occurrence, "decision"):
            return body
        return None

    def _bodies(self, send_id: str, occurrence: int, kind: str) -> list[tuple[int, str]]:
        return list(
            self._db.execute(
                "select partition, body from report"
                " where send_id = ? and occurrence = ? and kind = ?",
                (send_id, occurrence, kind),
            )
        )


def progress_record(
    send_id: str,
    occurrence: int,
    partition: int,
    home: int,
    counts: Counts,
    now: datetime,
) -> Record:
    """The record of a part's progress, to the home partition of the send."""
    report = ProgressReported(
        send_id=send_id, occurrence=occurrence, partition=partition,
        frozen=counts.frozen, released=counts.released, finals=counts.finals, at=now,
    )  # fmt: skip
    return encode(
        report,
        id=event_id("progress", send_id, occurrence, partition, now.isoformat()),
        source="segmenter",
        subject=send_id,
        time=now,
        topic=CONTROL,
        partition=home,
        key=send_id,
    )
