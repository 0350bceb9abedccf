"""What an instance tells of the ledger that it shares, when it owns a part of it and when none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

from services.sender.last_look import Orders
from services.sender.schema import LEDGER_DDL
from services.sender.soft_bounces import SoftBounces, SoftRule
from services.sender.upkeep import Upkeep
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import SenderSettings
from shared.store.sqlite import SqliteStore

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)


def test_an_instance_that_owns_nothing_counts_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.db", LEDGER_DDL, synchronous="FULL")
    metrics = Metrics("x")
    upkeep = Upkeep(
        store, SenderSettings(), Orders, lambda _: {}, FailPoints(""), metrics, lambda: 50,
        SoftBounces(SoftRule(3, timedelta(1), timedelta(1)), 6),
    )  # fmt: skip

    def figures() -> list[float | None]:
        return [
            metrics.registry.get_sample_value(f"doorstep_{name}", {"service": "x"})
            for name in ("unconfirmed_messages", "ready_messages", "deadline_slack_seconds")
        ]

    metrics.unconfirmed.set(4)  # as it counted while it owned something
    metrics.ready.set(9)
    metrics.deadline_slack.set(-60)
    upkeep.tick(NOW)
    assert figures() == [0, 0, inf]
    store.close()
