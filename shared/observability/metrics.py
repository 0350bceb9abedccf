"""Every metric there is, with a sentence each; label sets are closed.

One `Metrics` per process, made in the wiring. Names end in their unit (Prometheus's rule).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from shared.observability.phases import Phases


class Metrics:
    """The metrics of one service process."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        self.started = self._gauge(
            "doorstep_start_timestamp_seconds", "When this process started (Unix time)."
        )
        self.started.set_to_current_time()
        self.loop_records = self._counter(
            "doorstep_loop_records", "Records handled by the loop.", "topic"
        )
        self.loop_seconds = self._counter(
            "doorstep_loop_seconds", "Seconds the loop spent, by phase.", "phase"
        )
        self.phases = Phases(self.loop_seconds)
        self.loop_turn_timestamp = self._gauge(
            "doorstep_loop_turn_timestamp_seconds", "When the loop last turned (Unix time)."
        )
        self.loop_retries = self._counter(
            "doorstep_loop_retries", "Batches put back to be handled again.", "reason"
        )
        self.dead_letters = self._counter(
            "doorstep_dead_letters", "Records that could not be handled, by their topic.", "topic"
        )
        self.partitions_owned = self._gauge(
            "doorstep_partitions_owned", "Partition numbers this instance owns."
        )
        self.partitions = self._gauge(
            "doorstep_partitions", "Partition numbers that all instances of a service share."
        )
        self.partitions_blocked = self._gauge(
            "doorstep_partitions_blocked", "Partitions that wait for newer readers."
        )
        self.rebalances = self._counter(
            "doorstep_rebalances", "Changes of what this instance owns.", "kind"
        )
        self.consumer_lag = self._gauge(
            "doorstep_consumer_lag_records", "Records not yet handled.", "topic"
        )
        self.outbox_pending = self._gauge(
            "doorstep_outbox_pending_records", "Outbox rows not yet published."
        )
        self.recipients = self._counter(
            "doorstep_recipients", "Recipients released to the renderer."
        )
        self.frozen = self._counter("doorstep_frozen", "Supporters frozen into audiences.")
        self.memberships = self._counter(
            "doorstep_membership_changes", "Entered or left a segment.", "change"
        )
        self.rendered = self._counter(
            "doorstep_rendered", "Messages rendered, or refused.", "result"
        )
        self.outcomes = self._counter(
            "doorstep_outcomes", "Messages that reached a state, by state.", "state"
        )
        self.attempts = self._counter(
            "doorstep_attempts", "Calls made to SES, by answer.", "answer"
        )
        self.mail_events = self._counter(
            "doorstep_mail_events", "What SES said of mails it took; bounced: hard only.", "kind"
        )
        self.rate_ceiling = self._gauge(
            "doorstep_permitted_messages_per_second",
            "What all senders together may send, by the settings and by SES.",
        )
        self.quota_left = self._gauge(
            "doorstep_quota_left_messages", "Left of SES's daily quota; infinite without one."
        )
        self.account_held = self._gauge(
            "doorstep_account_held", "1 while the SES account lets no mail go, by reason.", "reason"
        )
        self.warm_up_left = self._gauge(
            "doorstep_warm_up_left_messages",
            "Least that is left today of a sending domain's warm-up; infinite without one.",
        )
        self.parked = self._gauge(
            "doorstep_parked_messages", "Messages that wait because their mailbox provider is full."
        )
        self.suppressions_from_ses = self._counter(
            "doorstep_suppressions_from_ses", "Inboxes taken over from SES's own suppression list."
        )
        self.sends_held = self._counter(
            "doorstep_sends_held", "Sends that the sender held by itself, by what made it.", "why"
        )
        self.deadline_slack = self._gauge(
            "doorstep_deadline_slack_seconds",
            "Least time to spare before a deadline, if all calls go at the permitted rate; "
            "infinite when nothing waits for one.",
        )
        self.unconfirmed = self._gauge(
            "doorstep_unconfirmed_messages", "Messages in doubt and not yet settled."
        )
        self.ready = self._gauge("doorstep_ready_messages", "Messages that wait for dispatch.")
        self.call_seconds = Histogram(
            "doorstep_ses_call_seconds",
            "Duration of a call to SES.",
            ("service",),
            registry=self.registry,
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
        ).labels(service)
        self.table_age = self._gauge(
            "doorstep_table_age_seconds",
            "Age of the newest proof that a table is current.",
            "table",
        )
        self.hits = self._counter("doorstep_tracked_hits", "Hits taken by the tracker.", "kind")
        self.hits_refused = self._counter(
            "doorstep_tracked_hits_refused", "Hits refused by the tracker.", "reason"
        )
        self.spool_age = self._gauge(
            "doorstep_spool_age_seconds", "Age of the oldest hit not yet forwarded."
        )
        self.log_unopened = self._counter(
            "doorstep_log_unopened", "Attempts of the tracker to open the log that failed."
        )
        self.queue_failures = self._counter(
            "doorstep_queue_failures", "Attempts to read SES's events from the queue that failed."
        )
        self.webhook_posts = self._counter(
            "doorstep_webhook_posts", "Posts to webhooks, by what came of them.", "outcome"
        )
        self.webhook_behind = self._gauge(
            "doorstep_webhook_behind_records", "Events a webhook has yet to be told of.", "webhook"
        )
        self.ses_events = self._counter("doorstep_ses_events", "Events taken from SES.", "kind")

        self.disk_free = self._gauge(
            "doorstep_disk_free_bytes", "Room left on the file system of the home folder."
        )
        self.disk_size = self._gauge(
            "doorstep_disk_size_bytes", "Size of the file system of the home folder."
        )
        self.disk_stopped = self._gauge(
            "doorstep_disk_stopped", "1 while no new work is taken in for want of room."
        )

    def watch_disk(self, folder: Path) -> None:
        """Tell at each scrape of the file system that holds a folder, or will hold it."""
        self.disk_free.set_function(lambda: _usage(folder)[0])
        self.disk_size.set_function(lambda: _usage(folder)[1])

    def _counter(self, name: str, sentence: str, *labels: str) -> Counter:
        counter = Counter(name, sentence, ("service", *labels), registry=self.registry)
        return _Bound(counter, self._service) if labels else counter.labels(self._service)  # type: ignore[return-value]

    def _gauge(self, name: str, sentence: str, *labels: str) -> Gauge:
        gauge = Gauge(name, sentence, ("service", *labels), registry=self.registry)
        return _Bound(gauge, self._service) if labels else gauge.labels(self._service)  # type: ignore[return-value]

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)


def _usage(folder: Path) -> tuple[int, int]:
    """Bytes free, and in all."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return usage.free, usage.total


class _Bound:
    """A metric with the service label already given."""

    def __init__(self, metric: Counter | Gauge, service: str) -> None:
        self._metric, self._service = metric, service

    def labels(self, *values: str) -> Counter | Gauge:
        return self._metric.labels(self._service, *values)
