"""The kill run over the whole pipeline: segmenter, renderer, sender and tracker die at random.

    python -m tests.end_to_end.whole_run [--kills 50] [--people 500] [--seed 1]

Several sends are launched one after the other over the same people, under both policies for what
is in doubt, while people unsubscribe and act, one send is cancelled and one meets its deadline. The
frozen sets the auditor is given are the segmenter's own.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from deploy.ports import free_port
from services.console.programme_topic import definition_records, read_table, send_order_record
from shared.ids import event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import EVENTS, SUPPORTERS
from shared.programme.definitions import (
    Campaign,
    Definition,
    Disclaimer,
    Segment,
    Send,
    Template,
    Variant,
)
from shared.programme.rules import HasTag
from shared.programme.versions import to_wire
from shared.wire.cloudevents import encode
from shared.wire.events import Event
from shared.wire.programme import SendOrder
from shared.wire.supporters import Consent, SupporterChanged
from tests.end_to_end.kill_run import FAULTS, SHARE, WINDOW, Policy, pass_time
from tests.integration.sender.audience import Person, people
from tests.integration.sender.ledgers import LedgerFile, has_read_events
from tests.integration.sender.processes import ServiceProcess, until
from tests.integration.sender.station import PARTITIONS, Station

SERVICES = {"sender": 5, "segmenter": 3, "renderer": 2, "tracker": 2}
"""How often each is chosen, in shares."""
UP = {"tracker": "tracker.listening"}
SETTLE_SECONDS = 15
LONGEST_BREATH = 0.7
KILLED_WHILE_STARTING = 0.2
LONGEST_RUN = 900
SHARE_AN_INBOX = 0.06

CAMPAIGN = Campaign(
    name="spring",
    organisation="Spring Campaign",
    from_name="Spring Campaign",
    from_address="news@mail.example.com",
    reply_to="office@mail.example.com",
    postal_address="1 High Street, Newtown",
    disclaimer=Disclaimer(jurisdiction="none", reason="a rehearsal"),
)
TEMPLATE = Template(
    name="ask",
    subject="Will you help, {{ supporter.first_name }}?",
    html='<p>Hello {{ supporter.first_name }}, <a href="https://example.org/help">yes</a>.</p>'
    '<p>{{ disclaimer }} <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>',
    text="Hello {{ supporter.first_name }}.\n{{ disclaimer }}\n{{ unsubscribe_url }}\n",
)
EVERYBODY = Segment(name="everybody", rule=HasTag(tag="everybody"))
STAFF = Segment(name="staff", rule=HasTag(tag="staff"))


@dataclass(frozen=True, slots=True)
class WholeRun:
    """What is to be done."""

    people: int = 500
    kills: int = 50
    seed: int = 1


def whole_run(home: Path, run: WholeRun) -> dict[Policy, dict[str, Any]]:
    """Do it, and return the auditor's verdict on the sends of each policy."""
    dice = random.Random(run.seed)
    with Pipeline(home, "--latency-ms", "40") as here:
        here.sandbox.switch(faults=dict.fromkeys(FAULTS, SHARE), seed=str(run.seed))
        found = _with_shared_inboxes(people(run.people, f"whole{run.seed}"), dice)
        here.tell(*(statement(person, "everybody") for person in found))
        here.tell(*(statement(person, "staff") for person in people(3, f"staff{run.seed}")))
        here.apply(CAMPAIGN, TEMPLATE, EVERYBODY, STAFF)
        agenda = deque(_agenda(here))
        for number in range(run.kills):
            while agenda and agenda[0][0] <= number / run.kills:
                agenda.popleft()[1]()
            _happen(here, found, dice)
            here.kill_one(dice)
        here.wait_until_finished()
        return {
            policy: here.audit(
                *here.launched(policy), policy=policy, kills=here.kills["sender"], window=WINDOW
            )
            for policy in ("leave", "resend")
        }


class Pipeline(Station):
    """All four services and the sandbox in one home."""

    def __init__(self, home: Path, *sandbox_options: str) -> None:
        super().__init__(home, *sandbox_options, window=WINDOW, settle_seconds=SETTLE_SECONDS)
        self.settings |= {
            "segmenter__port": free_port(),
            "segmenter__sweep_seconds": 0.5,
            "segmenter__wave_recipients": 20,
            "renderer__port": free_port(),
        }
        self.frozen = home / "segmenter" / "people.db"
        self.kills = dict.fromkeys(SERVICES, 0)
        self._running: dict[str, ServiceProcess] = {}
        self._launched: dict[str, SendOrder] = {}
        self._policies: dict[str, Policy] = {}
        self._end = time.monotonic() + LONGEST_RUN

    def __enter__(self) -> Self:
        super().__enter__()
        assert self.tracker is not None
        self._running["tracker"] = self.tracker
        for name in SERVICES:
            if name != "tracker":
                self._running[name] = self.start(f"services.{name}")
        return self

    def kill_one(self, dice: random.Random) -> None:
        """Let them work for a moment, kill one of them at random, start it again."""
        pass_time(dice.uniform(0, LONGEST_BREATH))
        self._check_all()
        name = dice.choices(list(SERVICES), list(SERVICES.values()))[0]
        self._running[name].kill()
        self.kills[name] += 1
        self._running[name] = self.start(f"services.{name}")
        if dice.random() >= KILLED_WHILE_STARTING:
            self._running[name].wait_for_line(UP.get(name, "loop.ownership"))

    def apply(self, *definitions: Definition) -> None:
        """Make definitions known."""
        now = datetime.now(UTC)
        self.log.append(
            [r for each in definitions for r in definition_records(to_wire(each, now, "test"))]
        )

    def launch(self, name: str, segment: Segment = EVERYBODY, **fields: Any) -> None:
        """Apply a send and let it be due now, with everything pinned as the console does."""
        variants = (Variant(name="a", template=TEMPLATE.name),)
        send = Send(name=name, segment=segment.name, variants=variants, **fields)
        now = datetime.now(UTC)
        self.apply(send)
        parts = (send, TEMPLATE, CAMPAIGN, segment)
        pinned = {f"{type(part).__name__.lower()}/{part.name}": part.version() for part in parts}
        self._launched[name] = SendOrder(
            send_id=name, definition_version=send.version(), pinned=pinned, due_at=now,
            ordered_at=now,
        )  # fmt: skip
        self._policies[name] = send.unconfirmed
        self.log.append([send_order_record(self._launched[name])])

    def call_off(self, name: str) -> None:
        """Cancel a send that was launched."""
        change = {"cancelled": True, "ordered_at": datetime.now(UTC)}
        self.log.append([send_order_record(self._launched[name].model_copy(update=change))])

    def tell(self, *records: Record) -> None:
        """Put records of others on the log."""
        self.log.append(records)

    def launched(self, policy: Policy) -> list[str]:
        """The sends of a policy."""
        return [name for name, chosen in self._policies.items() if chosen == policy]

    def wait_until_finished(self) -> None:
        """Until every send is finished by its own books, and what SES has to tell is read."""
        planned = set(self._launched)
        while waited_for := planned & self._unfinished():
            self._check_all()
            assert time.monotonic() < self._end, f"not finished: {waited_for}"
            # Proof that SES's events come, for what waits to be resent.
            if not any(self.states(send)["ready"] for send in planned):
                self.launch(f"pulse-{len(self._launched):02}", STAFF)
            pass_time(2.0)
        until(lambda: not self._unfinished(), "the pulses to be finished")
        self.wait_until_heard(*self._launched)
        people = LedgerFile(self.frozen)
        until(
            lambda: has_read_events(people, self.log.end_offsets(EVENTS)),
            "the segmenter to read all events",
        )
        for name in ("segmenter", "renderer", "sender", "tracker"):
            assert self._running[name].stop() == 0, self._running[name].said()[-3000:]

    def _unfinished(self) -> set[str]:
        """Sends that the segmenter has not declared finished, cancelled or empty."""
        decisions = read_table(self.log).decisions
        return {
            send
            for send in self._launched
            if send not in decisions or decisions[send].state in {"released", "held"}
        }

    def _check_all(self) -> None:
        for name, process in self._running.items():
            assert process.alive(), f"{name} ended by itself: {process.said()[-3000:]}"


def statement(person: Person, *tags: str, partitions: int = PARTITIONS, **changes: Any) -> Record:
    """What an import says of a person."""
    now = datetime.now(UTC)
    change = SupporterChanged.model_validate(
        {
            "supporter_id": person.supporter_id, "stated_by": "import", "source": "test",
            "at": now, "profile": {"email": person.address, "first_name": "Ada"},
            "tags_added": tags, "consent": Consent(wording="yes", source="form", at=now),
            **changes,
        }
    )  # fmt: skip
    return encode(
        change, id=event_id("person", person.supporter_id, now.isoformat()), source="test",
        subject=person.supporter_id, time=now, topic=SUPPORTERS,
        partition=partition_of(person.supporter_id, partitions), key=person.supporter_id,
    )  # fmt: skip


def action(person: Person, name: str, *, partitions: int = PARTITIONS) -> Record:
    """Something that a person did."""
    now = datetime.now(UTC)
    event = Event(kind="acted", supporter_id=person.supporter_id, at=now, action=name)
    return encode(
        event, id=event_id("action", person.supporter_id, name), source="test",
        subject=person.supporter_id, time=now, topic=EVENTS,
        partition=partition_of(person.supporter_id, partitions), key=person.supporter_id,
        type_name="doorstep.acted",
    )  # fmt: skip


def _agenda(here: Pipeline) -> list[tuple[float, Callable[[], None]]]:
    """What producers do, by the share of kills that is over."""

    def by_nine() -> None:
        nine = datetime.now(UTC) + timedelta(seconds=7)
        here.launch("by-nine", unconfirmed="resend", deadline=nine)

    return [
        (0.0, lambda: here.launch("first-leave")),
        (0.15, lambda: here.launch("first-resend", unconfirmed="resend")),
        (0.3, by_nine),
        (0.45, lambda: here.launch("called-off")),
        (0.5, lambda: here.call_off("called-off")),
        (0.6, lambda: here.launch("last-leave", unless_done=("voted",))),
        (0.7, lambda: here.launch("last-resend", unconfirmed="resend")),
    ]


def _happen(here: Pipeline, found: Sequence[Person], dice: random.Random) -> None:
    """Somebody votes, somebody wants no more mail."""
    here.tell(action(dice.choice(found), "voted"))
    leaver = dice.choice(found)
    here.tell(statement(leaver, "left", subscription="unsubscribed", stated_by="supporter"))


def _with_shared_inboxes(found: list[Person], dice: random.Random) -> list[Person]:
    return [
        Person(person.supporter_id, found[place - 1].address)
        if place and dice.random() < SHARE_AN_INBOX
        else person
        for place, person in enumerate(found)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.whole_run")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="whole-run-", ignore_cleanup_errors=True) as folder:
        verdicts = whole_run(Path(folder), WholeRun(**vars(given)))
    for policy, verdict in verdicts.items():
        print(policy, json.dumps(verdict | {"findings": verdict["findings"][:20]}, indent=2))
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if all(verdict["balanced"] for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
