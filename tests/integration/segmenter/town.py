"""A small town for the tests of the segmenter: supporters, a programme, and the service itself."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import httpx

from deploy.ports import free_port
from shared.ids import event_id, supporter_id_from_external
from shared.log.embedded.body import EmbeddedLog
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import AUDIENCE, EVENTS, PROGRAMME, SUPPORTERS
from shared.programme.definitions import Definition, Segment, Send, Variant
from shared.programme.rules import Did, HasTag, Rule
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


@dataclass
class Instance:
    """A running segmenter."""

    process: subprocess.Popen[bytes]
    port: int

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


class Town:
    """The log of a temporary home, and segmenters on it: one, or with PostgreSQL several."""

    def __init__(self, home: Path, postgres: str = "") -> None:
        self.home, self.postgres = home, postgres
        self.log = EmbeddedLog(home / "log.db", PARTITIONS)
        self.instances: dict[str, Instance] = {}

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

    def start(
        self,
        fail_at: str = "",
        name: str = "one",
        module: str = "services.segmenter",
        **settings: str,
    ) -> Instance:
        """Start a segmenter, which kills itself at a fail point if one is named."""
        port = free_port()
        environment = dict(os.environ) | {
            "DOORSTEP_HOME": str(self.home),
            "DOORSTEP_POSTGRES": self.postgres,
            "DOORSTEP_PARTITIONS": str(PARTITIONS),
            "DOORSTEP_SECRET": base64.b64encode(SECRET).decode(),
            "DOORSTEP_SEGMENTER__PORT": str(port),
            "DOORSTEP_SEGMENTER__SWEEP_SECONDS": "0.2",
            "DOORSTEP_LOOP__POLL_SECONDS": "0.05",
            "DOORSTEP_LOOP__LEASE_SECONDS": "2",
            "DOORSTEP_FAIL_AT": fail_at,
            **settings,
        }
        with (self.home / f"segmenter-{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT, env=environment, stderr=log,
            )  # fmt: skip
        self.instances[name] = Instance(process, port)
        return self.instances[name]

    def kill(self, name: str) -> None:
        """As a machine that goes: no word to anybody."""
        gone = self.instances.pop(name)
        gone.process.kill()
        gone.process.wait()

    def freeze(self, name: str) -> None:
        """Stop it where it is; but not while it holds the write lock of the embedded log, which
        is one file for all: then everybody waits for it, as is known of that body.
        """
        self.instances[name].signal(signal.SIGSTOP)
        while self._holds_log():
            self.thaw(name)
            time.sleep(0.05)
            self.instances[name].signal(signal.SIGSTOP)

    def _holds_log(self) -> bool:
        with closing(apsw.Connection(str(self.home / "log.db"))) as log:
            log.set_busy_timeout(500)
            try:
                log.execute("begin immediate")
            except apsw.BusyError:
                return True
            log.execute("rollback")
            return False

    def thaw(self, name: str) -> None:
        self.instances[name].signal(signal.SIGCONT)

    def stop(self) -> None:
        for name in list(self.instances):
            self.kill(name)
        self.log.close()

    def killed(self, name: str = "one") -> bool:
        """Wait for the process to end at its fail point."""
        return self.instances.pop(name).process.wait(timeout=40) == -9

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

    def ask(self, path: str, of: str = "", **query: str) -> dict[str, Any]:
        """Of an instance, or of the only one."""
        (instance,) = [self.instances[of]] if of else self.instances.values()
        address = f"http://127.0.0.1:{instance.port}{path}"
        found: dict[str, Any] = httpx.get(address, params=query, timeout=10).json()
        return found

    def count(self, rule: Rule, of: str) -> dict[str, Any]:
        """What an instance counts of a rule."""
        address = f"http://127.0.0.1:{self.instances[of].port}/ask/count"
        question = {"rule": rule.model_dump(mode="json")}
        found: dict[str, Any] = httpx.post(address, json=question, timeout=10).json()
        return found

    def owned(self, name: str) -> list[int]:
        """The partitions that an instance speaks for."""
        partitions: list[int] = self.ask("/ask/segments", of=name)["partitions"]
        return partitions

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except httpx.HTTPError:
                pass
            if time.monotonic() > end:
                said = "".join(
                    f"\n{path.name}:\n{path.read_text()[-3_000:]}"
                    for path in sorted(self.home.glob("segmenter-*.log"))
                )
                raise AssertionError(f"in vain waited for {what}{said}")
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
