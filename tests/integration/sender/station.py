"""A whole surrounding for the sender: log, SES sandbox, tracker, and the audiences it was given.

Everything is real but the segmenter and the renderer: their batches are appended to the log here,
and the frozen sets are kept with the segmenter's own SQL from what the sender says on `events`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import apsw

from deploy.ports import free_port
from deploy.ses_sandbox.process import SandboxProcess
from services.segmenter.sends.frozen_sets import FrozenSets
from services.segmenter.sends.schema import SENDS_DDL
from shared.ids import event_id
from shared.log.embedded.body import EmbeddedLog
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import EVENTS, PROGRAMME, SUPPRESSIONS
from shared.wire.batches import RenderedMessage
from shared.wire.cloudevents import Envelope, decode, encode
from shared.wire.events import FINAL_KINDS, Event
from shared.wire.programme import HaltOrder, SendOrder
from shared.wire.suppressions import Suppression, SuppressionReason
from tests.integration.sender.audience import Person, batches, entry, people
from tests.integration.sender.ledgers import (
    LedgerFile,
    LedgerSchema,
    LedgerView,
    has_read_events,
)
from tests.integration.sender.processes import ROOT, ServiceProcess, until

PARTITIONS = 6
WINDOW = 4
READ_TIMEOUT = 1
SETTLE = 2

Body = Callable[[], str] | None
"""What gives a station a fresh PostgreSQL database for its ledger; None: it is a SQLite file."""


class Station:
    """One home folder with everything that surrounds a sender. Used as `with Station(...)`."""

    def __init__(
        self, home: Path, *sandbox_options: str, body: Body = None, **sender_settings: object
    ) -> None:
        """`sender_settings`: as `window=8`, over the quick ones that tests use."""
        self.home, self._body = home, body
        self.settings: dict[str, object] = {
            "partitions": PARTITIONS,
            "loop__lease_seconds": 1,
            "loop__poll_seconds": 0.05,
            "sender__port": free_port(),
            "sender__window": WINDOW,
            "sender__rate": 2_000,
            "sender__connect_timeout_seconds": 2,
            "sender__read_timeout_seconds": READ_TIMEOUT,
            "sender__settle_seconds": SETTLE,
            "sender__deadline_margin_seconds": 1,
            "tracker__port": free_port(),
            "tracker__certificates": home / "ses" / "certificates",
            **{f"sender__{name}": value for name, value in sender_settings.items()},
        }
        self.ledger = home / "sender" / "ledger.db"
        self.books: LedgerView = LedgerFile(self.ledger)
        if body is not None:
            dsn = body()
            self.books = LedgerSchema(dsn)
            self.settings["postgres"] = dsn
        self.frozen = home / "frozen.db"  # the sets the auditor is given
        self.log = EmbeddedLog(home / "log.db", PARTITIONS)
        port = self.settings["tracker__port"]
        self.sandbox = SandboxProcess(
            home / "ses", "--port", str(free_port()), "--delivery-delay-ms", "0",
            "--sns-endpoint", f"http://127.0.0.1:{port}/sns", *sandbox_options,
        )  # fmt: skip
        self.tracker: ServiceProcess | None = None
        self._started: list[ServiceProcess] = []
        self._events = self.log.follow(EVENTS)
        self._reading = threading.Lock()
        self._told: list[Envelope] = []
        self._sets = apsw.Connection(str(self.frozen))
        for statement in SENDS_DDL:
            self._sets.execute(statement)

    def __enter__(self) -> Self:
        self.sandbox.start()
        self.tracker = self.start("services.tracker").wait_for_line("tracker.listening")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.kill()
        self.sandbox.kill()
        self._events.close()
        self._sets.close()
        self.books.close()
        self.log.close()

    def beside(self, name: str, *sandbox_options: str, **sender_settings: object) -> Station:
        """Another station, with a ledger of the same kind."""
        return Station(self.home / name, *sandbox_options, body=self._body, **sender_settings)

    def check(self) -> None:
        """Fails with its last words when the tracker has ended by itself."""
        assert self.tracker is not None
        assert self.tracker.alive(), f"the tracker ended: {self.tracker.said()[-3000:]}"

    # --- the sender ---

    def start_sender(
        self, *arguments: str, module: str = "services.sender", **settings: object
    ) -> ServiceProcess:
        """Start a sender; `settings` over those of the station, as `fail_at="sender.called"`.

        Another `module` than the service's own is one that starts a sender with a planted fault.
        """
        return self.start(module, *arguments, **settings)

    def start(self, module: str, *arguments: str, **settings: object) -> ServiceProcess:
        """Start a service of this home; it ends with the station at the latest."""
        own = {**self.settings, "sender__ses_endpoint": self.sandbox.url, **settings}
        process = ServiceProcess(module, self.home, own, *arguments)
        self._started.append(process)
        return process

    # --- what it is told ---

    def feed(self, send: str, audience: Iterable[Person], **fields: Any) -> list[Person]:
        """Freeze this audience and put its rendered batches on the log."""
        found = list(audience)
        self.feed_entries([entry(send, person, **fields) for person in found])
        return found

    def feed_entries(
        self, entries: Sequence[RenderedMessage], *, most: int = 50, compress: bool = True
    ) -> None:
        """Freeze these and put them on the log as they are."""
        sets = FrozenSets(self._sets)
        with self._sets:
            sets.add(
                (one.send_id, one.occurrence, one.supporter_id,
                 partition_of(one.supporter_id, PARTITIONS), one.message_id, one.address_key,
                 one.variant, one.edition, "{}", None, None, 0)
                for one in entries
            )  # fmt: skip
            for send in {one.send_id for one in entries}:
                sets.release(send, 0, [e.supporter_id for e in entries if e.send_id == send], 0)
        self.log.append(list(batches(entries, PARTITIONS, most=most, compress=compress)))

    def sends(self) -> list[str]:
        """The sends that were fed, in order of name."""
        return [
            send for (send,) in self._sets.execute("select distinct send_id from frozen order by 1")
        ]

    def open(self, send: str) -> int:
        """How many of its frozen set have no final state in the ledger."""
        finals = sum(n for state, n in self.states(send).items() if state in FINAL_KINDS)
        return self.frozen_size(send) - finals

    def frozen_size(self, send: str) -> int:
        """How many are in the frozen set of a send."""
        ((number,),) = self._sets.execute("select count(*) from frozen where send_id = ?", (send,))
        return int(number)

    def order(self, send: str, **wanted: Any) -> None:
        """What people want of a send, whole, as the console writes it."""
        now = datetime.now(UTC)
        order = SendOrder.model_validate(
            {"send_id": send, "definition_version": "1", "ordered_at": now, **wanted}
        )
        self._programme(f"order/send/{send}", order)

    def halt(self, *, halted: bool) -> None:
        """Stop everything, or stop stopping it."""
        self._programme("order/halt/all", HaltOrder(halted=halted, ordered_at=datetime.now(UTC)))

    def wait_until_ordered(self) -> None:
        """Return once the sender has seen all that was ordered and suppressed so far.

        Somebody of a send that is called off shows it: ends as cancelled, not as accepted.
        """
        for _ in range(2):  # it reads the suppressions first: the second marker is read after them
            marker = f"marker-{uuid.uuid4()}"
            self.order(marker, cancelled=True)

            def seen(marker: str = marker) -> bool:
                states = self.states(marker)
                if states["accepted"] == states.total():
                    self.feed(marker, people(1, str(uuid.uuid4())))
                return states["cancelled"] > 0

            until(seen, "the sender to see what was ordered")

    def suppress(self, subject: str, scope: str, reason: SuppressionReason) -> None:
        """A reason not to mail."""
        now = datetime.now(UTC)
        data = Suppression(subject=subject, scope=scope, reason=reason, at=now)
        self.log.append(
            [
                encode(
                    data, id=event_id(data.key, now.isoformat()), source="tracker",
                    subject=subject, time=now, topic=SUPPRESSIONS,
                    partition=partition_of(data.key, PARTITIONS), key=data.key,
                )
            ]
        )  # fmt: skip

    def lift(self, subject: str, scope: str) -> None:
        """The reason is gone."""
        key = f"{subject}|{scope}"
        self.log.append([Record(SUPPRESSIONS, partition_of(key, PARTITIONS), key.encode(), None)])

    def _programme(self, key: str, data: SendOrder | HaltOrder) -> None:
        self.log.append(
            [
                encode(
                    data, id=event_id(key, data.ordered_at.isoformat()), source="console",
                    subject=key, time=data.ordered_at, topic=PROGRAMME, partition=0, key=key,
                )
            ]
        )  # fmt: skip

    # --- what became of it ---

    def rows(self, send: str) -> dict[str, dict[str, Any]]:
        """The ledger's rows of a send, by message id."""
        names = ("message_id", "state", "settled", "attempt", "reason", "ses_message_id")
        found = self.books.rows(f"select {','.join(names)} from message where send_id = ?", (send,))
        return {row[0]: dict(zip(names, row, strict=True)) for row in found}

    def states(self, send: str) -> Counter[str]:
        """How many are in which state; what is in doubt and not settled is "in doubt"."""
        return Counter(
            "in doubt" if row["state"] == "unconfirmed" and not row["settled"] else row["state"]
            for row in self.rows(send).values()
        )

    def wait_for_states(self, send: str, *, seconds: float = 60, **states: int) -> None:
        """Return once the ledger's states are these and no others."""
        wanted = Counter(states)
        try:
            until(lambda: self.states(send) == wanted, f"{states} of {send}", seconds=seconds)
        except AssertionError as error:
            said = self._started[-1].said()[-3000:] if self._started else ""
            raise AssertionError(f"{error}; it is {self.states(send)}; {said}") from None

    def wait_until_closed(self, send: str, people: int, *, seconds: float = 60) -> Counter[str]:
        """Return the states once everybody is in the ledger with a final one."""
        finals = FINAL_KINDS

        def closed() -> bool:
            self.check()
            states = self.states(send)
            return sum(states.values()) == people and not states.keys() - finals

        until(closed, f"the books of {send} to close", seconds=seconds)
        return self.states(send)

    def events(self, send: str, kind: str | None = None) -> list[Event]:
        """What was said on `events` about a send so far, in the order of each partition."""
        return [
            envelope.data
            for envelope in self.told()
            if isinstance(envelope.data, Event)
            and envelope.data.send_id == send
            and kind in (None, envelope.data.kind)
        ]

    def told(self) -> list[Envelope]:
        """All of `events` so far."""
        with self._reading:
            while found := self._events.read():
                self._told.extend(decode(stored) for stored in found)
            return list(self._told)

    def wait_for_event(self, send: str, kind: str, number: int = 1) -> None:
        """Return once so many events of this kind are on the log."""
        until(lambda: len(self.events(send, kind)) >= number, f"{number} x {kind} of {send}")

    def mailed(self, send: str) -> Counter[str]:
        """How many mails SES has taken of each message of a send."""
        return Counter(
            str(line["tags"]["m"])
            for line in self.sandbox.journal()
            if line["outcome"] == "accepted" and line["tags"].get("s") == send
        )

    def wait_until_heard(self, *sends: str) -> None:
        """Return once SES's Send event of every mail is on the log, and the sender has read all."""
        for send in sends:
            mails = sum(self.mailed(send).values())
            self.wait_for_event(send, "ses_sent", mails)
        until(
            lambda: has_read_events(self.books, self.log.end_offsets(EVENTS)),
            "the sender to read all events",
        )

    def audit(self, *sends: str, policy: str = "leave", **options: int) -> dict[str, Any]:
        """The auditor's verdict over these sends. Raises AssertionError when it cannot look.

        The frozen sets first learn what is on `events`, until they say what the ledger says.
        """
        until(self._learned_outcomes, "the frozen sets to learn all outcomes", seconds=20)
        flags = [f"--{name}={value}" for name, value in options.items()]
        flags += [flag for send in sends for flag in ("--send", send)]
        done = subprocess.run(
            [sys.executable, "-m", "deploy.auditor", "--mail", str(self.home / "ses"),
             *self.books.for_auditor(), "--frozen", str(self.frozen), "--policy", policy,
             "--json", *flags],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in {0, 1}, done.stderr
        verdict: dict[str, Any] = json.loads(done.stdout)
        return verdict

    def doubled_records(self) -> list[str]:
        """Ids of the sender's own records that are on `events` more than once."""
        ids = Counter(envelope.id for envelope in self.told() if envelope.source == "sender")
        return [event_id for event_id, number in ids.items() if number > 1]

    def _learned_outcomes(self) -> bool:
        """Fold all of `events` into the frozen sets; whether they are as far as the ledger."""
        outcomes = [
            envelope.data
            for envelope in self.told()
            if isinstance(envelope.data, Event) and envelope.data.kind in FINAL_KINDS
        ]
        with self._sets:
            FrozenSets(self._sets).outcomes(outcomes)
            learned = dict(
                self._sets.execute("select message_id, state from frozen where settled = 1")
            )
        return all(
            learned.get(message_id) == row["state"]
            for send in self.sends()
            for message_id, row in self.rows(send).items()
            if row["settled"] and row["state"] in FINAL_KINDS
        )
