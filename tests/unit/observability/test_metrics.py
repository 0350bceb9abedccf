"""Metrics that look at the machine when they are asked."""

from __future__ import annotations

import shutil
from pathlib import Path

from shared.observability.metrics import Metrics


def test_the_disk_is_looked_at_when_metrics_are_asked(tmp_path: Path) -> None:
    metrics = Metrics("sender")
    metrics.watch_disk(tmp_path / "not" / "made" / "yet")
    size = metrics.registry.get_sample_value("doorstep_disk_size_bytes", {"service": "sender"})
    free = metrics.registry.get_sample_value("doorstep_disk_free_bytes", {"service": "sender"})
    assert size == shutil.disk_usage(tmp_path).total
    assert free is not None
    assert 0 < free <= size
