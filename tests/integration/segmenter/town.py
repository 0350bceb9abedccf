"""A small town for the tests of the segmenter: supporters, a programme, and the service itself."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from shared.ids import event_id, supporter_id_from_external
from shared.log.embedded.body import EmbeddedLog
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import AUDIENCE, EVENTS, PROGRAMME, SUPPORTERS
from shared.programme.definitions import Definition, Segment, Send, Variant
from shared.programme.rules import Did, HasTag
from shared.programme.versions import to_wire
from shared.wire.batches import AudienceBatch, Recipient
from shared.wire.cloudevents import decode, encode
from shared.wire.events import Event
from shared.wire.programme import HaltOrder, SendDecision, SendOrder
from shared.wire.supporters import Consent, SupporterChanged

ROOT = Path(__file__).resolve().parents[3]
PARTITIONS = 4
SECRET = b"s" * 32
NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
ASK = Send(
    name="ask",
    segment="town",
    variants=(Variant(name="a", template="t"), Variant(name="b", template="t", weight=3)),
    unless_done=("voted",),
)
TOWN = Segment(name="town", rule=HasTag(tag="town"))
DOERS = Segment(name="doers", rule=Did(action="volunteered"))
THANKS = Send(
    name="thanks", segment="doers", mode="newly_qualifies",
    variants=(Variant(name="v", template="t"),),
)  # fmt: skip


def supporter(number: int) -> str:
    return supporter_id_from_external("test", str(number), SECRET)


class Town:
    """The log of a temporary home, and a segmenter on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = EmbeddedLog(home / "log.db", PARTITIONS)
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def people(self, count: int, *, first: int = 0, **changes: Any) -> None:
        """Supporters with a consent, an address of their own and the tag `town`."""
        self.log.append([self._person(n, changes) for n in range(first, first + count)])

    def apply(self, *definitions: Definition) -> None:
        records = []
        for definition in definitions:
            data = to_wire(definition, NOW, "test")
            for suffix in ("", f"@{data.version}"):
                key = f"definition/{data.kind}/{data.name}{suffix}"
                records.append(self._programme(key, data))
        self.log.append(records)

    def order(self, send: Send, **changes: Any) -> None:
        """Launch (or change the order of) a send, due in the past."""
        values: dict[str, Any] = {
            "send_id": send.name, "definition_version": send.version(), "due_at": NOW,
            "ordered_at": datetime.now(UTC),
        }  # fmt: skip
        order = SendOrder(**(values | changes))
        self.log.append([self._programme(f"order/send/{send.name}", order)])

    def halt(self, *, halted: bool) -> None:
        order = HaltOrder(halted=halted, ordered_at=datetime.now(UTC))
        self.log.append([self._programme("order/halt/all", order)])

    def tell(self, kind: str, supporter_id: str, **fields: Any) -> None:
        """An event about a supporter."""
        event = Event(kind=kind, supporter_id=supporter_id, at=datetime.now(UTC), **fields)  # type: ignore[arg-type]
        name = event_id("test", kind, supporter_id, str(fields))
        self.log.append(
            [
                encode(
                    event, id=name, source="test", subject=supporter_id, time=event.at,
                    topic=EVENTS, partition=partition_of(supporter_id, PARTITIONS),
                    key=supporter_id, type_name=f"doorstep.{kind}",
                )
            ]
        )  # fmt: skip

    def accept_all(self) -> None:
        """What the sender would say of everybody who was released."""
        for one in self.released():
            self.tell(
                "accepted", one.supporter_id, message_id=one.message_id, send_id=one.send_id,
                variant=one.variant, edition=one.edition, attempt=1,
            )  # fmt: skip

    def start(self, fail_at: str = "") -> None:
        environment = dict(os.environ) | {
            "DOORSTEP_HOME": str(self.home),
            "DOORSTEP_PARTITIONS": str(PARTITIONS),
            "DOORSTEP_SECRET": base64.b64encode(SECRET).decode(),
            "DOORSTEP_SEGMENTER__PORT": str(self.port),
            "DOORSTEP_SEGMENTER__SWEEP_SECONDS": "0.2",
            "DOORSTEP_LOOP__POLL_SECONDS": "0.05",
            "DOORSTEP_LOOP__LEASE_SECONDS": "2",
            "DOORSTEP_FAIL_AT": fail_at,
        }
        with (self.home / "segmenter.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.segmenter"],
                cwd=ROOT, env=environment, stderr=log,
            )  # fmt: skip

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def killed(self) -> bool:
        """Wait for the process to end at its fail point."""
        assert self.process is not None
        return self.process.wait(timeout=40) == -9

    def released(self) -> list[Recipient]:
        """Everybody on the `audience` topic, as often as they stand there."""
        found: list[Recipient] = []
        for stored in self._all(AUDIENCE):
            data = decode(stored).data
            assert isinstance(data, AudienceBatch)
            found.extend(data.recipients)
        return found

    def decision(self, send: str) -> SendDecision | None:
        for stored in self._all(PROGRAMME):
            if stored.key == f"decision/send/{send}/0".encode():
                data = decode(stored).data
                assert isinstance(data, SendDecision)
                return data
        return None

    def events(self, kind: str) -> Counter[str]:
        """Supporters by how many distinct events of the kind there are about them."""
        found = {
            (envelope.id, envelope.data.supporter_id)
            for stored in self._all(EVENTS)
            if isinstance((envelope := decode(stored)).data, Event) and envelope.data.kind == kind
        }
        return Counter(supporter_id for _, supporter_id in found)

    def ask(self, path: str, **query: str) -> dict[str, Any]:
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", params=query, timeout=10)
        found: dict[str, Any] = answer.json()
        return found

    def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 40
        while True:
            try:
                if condition():
                    return
            except httpx.HTTPError:
                pass
            if time.monotonic() > end:
                said = (self.home / "segmenter.log").read_text()[-3_000:]
                raise AssertionError(f"in vain waited for {what}\n{said}")
            time.sleep(0.05)

    def _person(self, number: int, changes: dict[str, Any]) -> Record:
        supporter_id = supporter(number)
        values: dict[str, Any] = {
            "supporter_id": supporter_id, "stated_by": "import", "source": "test", "at": NOW,
            "profile": {"email": f"p{number}@example.org", "first_name": f"P{number}"},
            "tags_added": ("town",),
            "consent": Consent(wording="yes", source="form", at=NOW),
        }  # fmt: skip
        change = SupporterChanged(**(values | changes))
        return encode(
            change, id=event_id("person", supporter_id, change.model_dump_json()), source="test",
            subject=supporter_id, time=NOW, topic=SUPPORTERS,
            partition=partition_of(supporter_id, PARTITIONS), key=supporter_id,
        )  # fmt: skip

    def _programme(self, key: str, data: Any) -> Record:
        return encode(
            data, id=event_id(key, data.model_dump_json()), source="test", subject=key, time=NOW,
            topic=PROGRAMME, partition=0, key=key,
        )  # fmt: skip

    def _all(self, topic: str) -> list[Any]:
        follower = self.log.follow(topic)
        found = []
        while batch := follower.read():
            found.extend(batch)
        follower.close()
        return found
