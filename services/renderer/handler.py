"""The renderer's handler for the loop: audience batches in, rendered batches out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from services.renderer.batches import records_of, render_batch
from services.renderer.preparing import Preparer
from services.renderer.rendering import Signing
from shared.clock import Clock
from shared.log.record import Record
from shared.loop.delivery import Delivery
from shared.observability.metrics import Metrics
from shared.wire.batches import AudienceBatch, check_partition


class Renderer:
    """Stateless; positions live in the log."""

    def __init__(
        self,
        preparer: Preparer,
        signing_at: Callable[[datetime], Signing],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """`signing_at`: what a mail that is rendered at that time is signed with."""
        self._preparer, self._signing_at = preparer, signing_at
        self._clock, self._metrics = clock, metrics

    def handle(self, deliveries: Sequence[Delivery]) -> list[Record]:
        """Raises RetryLater while a definition has not arrived; then nothing was rendered."""
        now = self._clock.now()
        signing = self._signing_at(now)
        records: list[Record] = []
        for delivery in deliveries:
            batch = delivery.envelope.data
            if isinstance(batch, AudienceBatch):
                check_partition(batch, delivery.stored)
                rendered = render_batch(batch, self._preparer, signing, now)
                refused = sum(entry.refusal is not None for entry in rendered.entries)
                self._metrics.rendered.labels("rendered").inc(len(rendered.entries) - refused)
                self._metrics.rendered.labels("refused").inc(refused)
                records += records_of(rendered, now)
        return records
