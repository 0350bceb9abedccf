"""A press for the tests of the renderer: a programme, audience batches, and the service itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from deploy.ports import free_port
from services.console.programme_topic import definition_records
from shared.ids import address_key, message_id
from shared.log.embedded.body import EmbeddedLog
from shared.log.record import Record
from shared.log.topics import AUDIENCE, MESSAGES
from shared.programme.versions import to_wire
from shared.wire.batches import AudienceBatch, MessageBatch, Recipient
from shared.wire.cloudevents import decode, encode
from tests.contract.log.narration import read_all
from tests.integration.sender.audience import PEOPLE, SECRET
from tests.integration.sender.processes import ServiceProcess
from tests.unit.renderer.building import a_campaign, a_recipient, a_send, a_template, pinned

PARTITIONS = 4
NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
SEND, CAMPAIGN, TEMPLATE = a_send(), a_campaign(), a_template()


class Press:
    """The log of a temporary home, and renderers on it. Used as `with Press(...)`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._settings = {
            "partitions": PARTITIONS,
            "loop__lease_seconds": 1,
            "loop__poll_seconds": 0.05,
            "renderer__port": free_port(),
        }
        self._started: list[ServiceProcess] = []
        self.log = EmbeddedLog(home / "log.db", PARTITIONS)

    def __enter__(self) -> Self:
        definitions = (to_wire(each, NOW, "test") for each in (SEND, CAMPAIGN, TEMPLATE))
        self.log.append([record for each in definitions for record in definition_records(each)])
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.kill()
        self.log.close()

    def start(self, **settings: object) -> ServiceProcess:
        """Start the renderer; `settings` as `fail_at="stateless.before_commit"`."""
        own = {**self._settings, **settings}
        self._started.append(ServiceProcess("services.renderer", self._home, own))
        return self._started[-1]

    def printed(self) -> list[MessageBatch]:
        """Everything on `messages`, as often as it stands there."""
        follower = self.log.follow(MESSAGES)
        found = [decode(stored).data for stored in read_all(follower)]
        follower.close()
        return [batch for batch in found if isinstance(batch, MessageBatch)]


def audience_batches(number: int, size: int = 3) -> Iterator[AudienceBatch]:
    """Batches over all partitions in turn; everybody in them is somebody else."""
    for n in range(number):
        yield AudienceBatch(
            batch_id=str(uuid.uuid5(PEOPLE, f"batch {n}")),
            partition=n % PARTITIONS,
            recipients=tuple(_recipient(f"{n}.{place}") for place in range(size)),
        )


def audience_record(batch: AudienceBatch) -> Record:
    """As the segmenter writes it."""
    return encode(
        batch, id=batch.batch_id, source="segmenter", subject=SEND.name, time=NOW,
        topic=AUDIENCE, partition=batch.partition, key=str(batch.partition), compress=True,
    )  # fmt: skip


def message_ids(batches: Sequence[AudienceBatch]) -> dict[str, list[str]]:
    """Batch id to the message ids in it, in order."""
    return {batch.batch_id: [one.message_id for one in batch.recipients] for batch in batches}


def _recipient(name: str) -> Recipient:
    supporter_id, address = str(uuid.uuid5(PEOPLE, name)), f"p{name}@example.org"
    recipient = a_recipient(
        message_id=message_id(SEND.name, supporter_id), supporter_id=supporter_id, to=address,
        address_key=address_key(address, SECRET),
    )  # fmt: skip
    return pinned(recipient, SEND, CAMPAIGN, TEMPLATE)
