"""Whom the sender takes for erased, from what stands on `suppressions`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.sender.tables import SenderTables
from shared.errors import RetryLater
from shared.log.embedded.body import EmbeddedLog
from shared.log.port import Follower, Log
from shared.log.record import Record, Stored
from shared.log.topics import PROGRAMME, SUPPRESSIONS
from shared.wire.cloudevents import encode
from shared.wire.programme import HaltOrder
from shared.wire.suppressions import Suppression, SuppressionReason

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with closing(EmbeddedLog(tmp_path / "log.db", 1)) as opened:
        yield opened


def suppressed(subject: str, reason: SuppressionReason, scope: str = "everything") -> Record:
    data = Suppression(subject=subject, scope=scope, reason=reason, at=NOW)
    return encode(
        data, id=f"{subject}{reason}", source="test", subject=subject, time=NOW,
        topic=SUPPRESSIONS, partition=0, key=data.key,
    )  # fmt: skip


def lifted(subject: str, scope: str = "everything") -> Record:
    return Record(SUPPRESSIONS, 0, f"{subject}|{scope}".encode(), None)


def test_an_erasure_stands_until_its_own_suppression_is_lifted(log: EmbeddedLog) -> None:
    with closing(SenderTables(log)) as tables:

        def erased_after(*records: Record) -> set[str]:
            log.append(records)
            tables.refresh()
            return set(tables.erased)

        assert erased_after(suppressed("ada", "unsubscribed")) == set()
        assert erased_after(suppressed("ada", "erased"), suppressed("bob", "erased")) == {
            "ada", "bob",
        }  # fmt: skip
        # A bounce of a mail that was on its way takes the place of the reason.
        assert erased_after(suppressed("ada", "hard_bounce")) == {"ada", "bob"}
        assert erased_after(lifted("ada", "send:ask"), lifted("bob")) == {"ada"}
        assert erased_after(lifted("ada")) == set()


def test_nothing_new_is_the_same_view(log: EmbeddedLog) -> None:
    log.append([suppressed("ada", "erased")])
    with closing(SenderTables(log)) as tables:
        tables.refresh()
        before = tables.erased
        log.append([suppressed("bob", "complained")])
        tables.refresh()

        assert tables.erased is before


class Stumbling:
    """A log whose followers fail after what they have read, once: a broker that goes away."""

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log

    def follow(self, topic: str) -> Follower:
        return StumblingFollower(self._log.follow(topic))  # type: ignore[return-value]


class StumblingFollower:
    """Sees one offset more than there are records at the end, as a transaction leaves behind."""

    def __init__(self, follower: Follower) -> None:
        self._follower, self._stumbled = follower, False

    def read(self, timeout_seconds: float = 0.0) -> list[Stored]:
        found = self._follower.read(timeout_seconds)
        if not found and not self._stumbled:
            self._stumbled = True
            raise RetryLater("the broker is away")
        return found

    def end_offsets(self) -> dict[int, int]:
        return {n: end + 1 for n, end in self._follower.end_offsets().items()}

    def next_offsets(self) -> dict[int, int]:
        return {n: at + self._stumbled for n, at in self._follower.next_offsets().items()}

    def close(self) -> None:
        self._follower.close()


def test_what_a_reading_that_failed_had_read_counts_at_the_next(log: EmbeddedLog) -> None:
    halt = HaltOrder(halted=True, ordered_at=NOW)
    log.append(
        [
            suppressed("ada", "erased"),
            encode(
                halt, id="halt", source="test", subject="halt", time=NOW, topic=PROGRAMME,
                partition=0, key="order/halt/all",
            ),
        ]
    )  # fmt: skip
    stumbling: Log = Stumbling(log)  # type: ignore[assignment]
    with closing(SenderTables(stumbling)) as tables:
        for _ in range(2):
            with pytest.raises(RetryLater):
                tables.refresh()
        tables.refresh()

        assert tables.orders.halted
        assert tables.erased == {"ada"}
