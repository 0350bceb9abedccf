"""What becomes of a batch whose commit got no answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from shared.clock import SystemClock
from shared.errors import CommitUnknown, RetryLater
from shared.log.port import Membership
from shared.log.record import Record, TopicPartition
from shared.loop.work import StatelessWork
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics


class Silent:
    """A member whose commits are never answered."""

    def commit(
        self, membership: Membership, outputs: Sequence[Record], positions: Mapping[Any, Any]
    ) -> None:
        raise RetryLater("no answer in time", after_seconds=0.7)


def test_a_commit_without_an_answer_is_no_reason_to_handle_the_batch_again() -> None:
    """The loop applies number by number after RetryLater, but reads again after CommitUnknown."""
    work = StatelessWork(
        "copy", Silent(), None, SystemClock(), FailPoints(""), Metrics("copy")  # type: ignore[arg-type]
    )  # fmt: skip

    with pytest.raises(CommitUnknown) as raised:
        work.apply(Membership("m", 1), [], [], {TopicPartition("in", 0): 1})

    assert raised.value.after_seconds == 0.7
