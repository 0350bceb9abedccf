"""Opening the log that the settings name."""

from __future__ import annotations

import time

from shared.errors import RetryLater
from shared.log.embedded.body import EmbeddedLog
from shared.log.port import Log
from shared.log.topics import TOPICS, TopicAdmin
from shared.moved import refuse_moved
from shared.observability.logs import Journal
from shared.settings import Settings

LONGEST_PAUSE = 5.0


def open_log(settings: Settings, *, wait_seconds: float | None = None) -> Log:
    """The body of the log. Raises Misconfigured when a person has to change something, RetryLater
    when no broker came within `wait_seconds` (None: as long as a service retries).
    """
    if settings.log == "embedded":
        refuse_moved(settings.home)
        return EmbeddedLog(settings.home / "log.db", settings.partitions)
    # Whoever runs on one file need not load a Kafka client.
    from shared.log.kafka.body import KafkaLog  # noqa: PLC0415

    journal, pause = Journal("log"), 0.2
    patience = settings.loop.retry_seconds if wait_seconds is None else wait_seconds
    until = time.monotonic() + patience
    while True:
        try:
            return KafkaLog(settings.log, settings.kafka, settings.home, settings.partitions)
        except RetryLater as error:
            if time.monotonic() + pause > until:
                raise
            journal.warning("log.unavailable", reason=str(error))
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def open_topics(settings: Settings) -> TopicAdmin | None:
    """Who looks after the topics; None for the embedded log, which makes its own."""
    if settings.log == "embedded":
        return None
    from shared.log.kafka.topics import Topics  # noqa: PLC0415 - as above

    return Topics(settings.log, settings.kafka, settings.partitions, TOPICS)
