"""Opening the log that the settings name."""

from __future__ import annotations

from shared.log.embedded.body import EmbeddedLog
from shared.log.port import Log
from shared.log.topics import TOPICS, TopicAdmin
from shared.settings import Settings


def open_log(settings: Settings) -> Log:
    """The body of the log. Raises Misconfigured or RetryLater when it cannot be had."""
    if settings.log == "embedded":
        return EmbeddedLog(settings.home / "log.db", settings.partitions)
    # Whoever runs on one file need not load a Kafka client.
    from shared.log.kafka.body import KafkaLog  # noqa: PLC0415

    return KafkaLog(settings.log, settings.kafka, settings.home, settings.partitions)


def open_topics(settings: Settings) -> TopicAdmin | None:
    """Who looks after the topics; None for the embedded log, which makes its own."""
    if settings.log == "embedded":
        return None
    from shared.log.kafka.topics import Topics  # noqa: PLC0415 - as above

    return Topics(settings.log, settings.kafka, settings.partitions, TOPICS)
