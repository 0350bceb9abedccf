"""A whole estate for the runs on Kafka and PostgreSQL: any number of each service, and the sandbox.

Brokers and database server are given; topics and database are the estate's own. A service that
ends by itself is started again, as a supervisor does, and that is told and counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import apsw
import psycopg

from deploy.kafka.cluster import Cluster
from deploy.ports import free_port
from deploy.ses_sandbox.process import SandboxProcess
from services.console.programme_topic import ProgrammeTable, definition_records, send_order_record
from shared.errors import Fenced, LoopStuck, RetryLater
from shared.log.kafka.body import KafkaLog
from shared.log.kafka.topics import Topics
from shared.log.record import Record
from shared.log.table import Table
from shared.log.topics import EVENTS, PROGRAMME, TOPICS
from shared.programme.definitions import Definition, Segment, Send, Variant
from shared.programme.versions import to_wire
from shared.settings import KafkaSettings
from shared.wire.programme import SendOrder
from tests.end_to_end.whole_run import CAMPAIGN, TEMPLATE
from tests.integration.sender.ledgers import LedgerSchema
from tests.integration.sender.processes import ROOT, ServiceProcess, until
from tests.real_postgres import PostgresServer

SERVICES = ("tracker", "segmenter", "renderer", "sender")
FEED_RECORDS = 4_000
CRASHED = 1
"""The exit status of an error that is none of `shared/errors.py`."""
PASSING = frozenset({RetryLater.exit_code, Fenced.exit_code, LoopStuck.exit_code})
"""Of one that a new life mends."""
LISTENING = {"tracker": "tracker.listening"}


def tell_nobody(_: str) -> None:
    """For runs whose story nobody reads."""


@dataclass(slots=True)
class Instance:
    """One of a service: its name, its place for settings, and the process of its present life."""

    name: str
    service: str
    port: int
    process: ServiceProcess
    started_at: float = field(default_factory=time.monotonic)
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """An instance that ended by itself: its exit status (`shared/errors.py`) and its last line."""

    name: str
    status: int
    said: str

    def __str__(self) -> str:
        return f"{self.name} ({self.status}): {self.said}"


class Estate:
    """Used as `with Estate(...)`."""

    def __init__(
        self,
        home: Path,
        cluster: Cluster,
        server: PostgresServer,
        counts: Mapping[str, int],
        *sandbox_options: str,
        partitions: int = 24,
        say: Callable[[str], None] = tell_nobody,
        modules: Mapping[str, Sequence[str]] | None = None,
        topic_configs: Mapping[str, Mapping[str, str]] | None = None,
        **settings: object,
    ) -> None:
        """`counts`: service to how many. `modules`: what to run in place of a service's own.
        `topic_configs`: topic to what is other than planned.
        """
        self._topic_configs = topic_configs or {}
        self.home, self.cluster, self.server = home, cluster, server
        self._counts, self._say, self._modules = dict(counts), say, dict(modules or {})
        self.partitions = partitions
        copies = min(3, len(cluster.nodes))
        self._kafka = KafkaSettings(
            prefix=f"run-{uuid.uuid4().hex[:8]}-", replication=copies,
            min_insync=2 if copies == 3 else 1,
        )  # fmt: skip
        self.dsn = server.dsn()
        tracker_port = free_port()
        self.settings: dict[str, object] = {
            "log": cluster.bootstrap,
            "kafka__prefix": self._kafka.prefix,
            "kafka__replication": self._kafka.replication,
            "kafka__min_insync": self._kafka.min_insync,
            "postgres": self.dsn,
            "partitions": partitions,
            "loop__lease_seconds": 10,
            "loop__poll_seconds": 0.1,
            "sender__read_timeout_seconds": 1,
            "sender__connect_timeout_seconds": 2,
            "sender__deadline_margin_seconds": 1,
            "segmenter__sweep_seconds": 1,
            "tracker__port": tracker_port,
            "tracker__certificates": home / "ses" / "certificates",
            "tracking_url": f"http://127.0.0.1:{tracker_port}",
            **settings,
        }
        self.tracker_url = f"http://127.0.0.1:{tracker_port}"
        self.sandbox = SandboxProcess(
            home / "ses", "--port", str(free_port()), "--delivery-delay-ms", "0",
            "--sns-endpoint", f"{self.tracker_url}/sns", *sandbox_options,
        )  # fmt: skip
        self.instances: dict[str, Instance] = {}
        self.kills: Counter[str] = Counter()
        """Service to how often one of it was killed or frozen: what may leave a window in doubt."""
        self.killed: Counter[str] = Counter()
        """Service to how often one of it was killed with SIGKILL."""
        self.ended: list[Ended] = []
        self._numbers: Counter[str] = Counter()
        self._ledger, self._people = LedgerSchema(self.dsn), LedgerSchema(self.dsn)
        self._programme = ProgrammeTable()
        self._orders: dict[str, SendOrder] = {}

    def __enter__(self) -> Self:
        topics = Topics(self.cluster.bootstrap, self._kafka, self.partitions, TOPICS)
        topics.create(
            [
                replace(plan, configs={**plan.configs, **self._topic_configs.get(plan.name, {})})
                for plan in topics.plan()
            ]
        )
        topics.close()
        self.log = KafkaLog(self.cluster.bootstrap, self._kafka, self.home, self.partitions)
        self._table = Table(self.log.follow(PROGRAMME), self._programme.apply)
        self.sandbox.start()
        self.settings["sender__ses_endpoint"] = self.sandbox.url
        try:
            for service in SERVICES:
                for _ in range(self._counts.get(service, 0)):
                    self.join(service)
            self.wait_until_working()
        except BaseException:
            self.__exit__()  # what came up would outlive the test
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for instance in self.instances.values():
            instance.process.kill()
        self.sandbox.kill()
        for books in (self._ledger, self._people):
            books.close()
        self._table.close()
        self.log.close()
        self.server.drop(self.dsn)

    # --- instances ---

    def join(self, service: str) -> Instance:
        """One more of a service."""
        self._numbers[service] += 1
        name = f"{service}-{self._numbers[service]}"
        port = int(str(self.settings["tracker__port"])) if service == "tracker" else free_port()
        instance = Instance(name, service, port, self._process(service, port))
        self.instances[name] = instance
        return instance

    def leave(self, name: str) -> float:
        """It is told to stop, and does so in order; how long it took."""
        began = time.monotonic()
        process = self.instances.pop(name).process
        assert process.stop() == 0, f"{name} did not leave in order: {process.said()[-3000:]}"
        return time.monotonic() - began

    def kill(self, name: str) -> None:
        """SIGKILL, and at once a new life."""
        instance = self.instances[name]
        instance.process.kill()
        self.kills[instance.service] += 1
        self.killed[instance.service] += 1
        self._start_again(instance)

    def freeze(self, name: str) -> None:
        instance = self.instances[name]
        instance.process.freeze()
        instance.frozen = True
        self.kills[instance.service] += 1

    def thaw(self, name: str) -> None:
        instance = self.instances[name]
        instance.process.thaw()
        instance.frozen = False

    def of(self, service: str) -> list[str]:
        """Names of the instances of a service that are not frozen."""
        found = (one for one in self.instances.values() if one.service == service)
        return [one.name for one in found if not one.frozen]

    def supervise(self) -> None:
        """Start again what ended by itself, but never what said that a person is needed."""
        for instance in self.instances.values():
            if instance.process.alive():
                continue
            status, said = instance.process.wait(), instance.process.said()
            last = said.strip().rpartition("\n")[2][-400:]
            self.ended.append(Ended(instance.name, status, last))
            self._say(f"{instance.name} ended by itself with {status}: {last}")
            assert status in {CRASHED, *PASSING}, f"{instance.name} needs a person: {said[-3000:]}"
            if instance.service == "sender":
                self.kills["sender"] += 1
            self._start_again(instance)

    @property
    def crashed(self) -> list[Ended]:
        """Those that ended by an error which nobody foresaw. It is a fault, whatever came of it."""
        return [one for one in self.ended if one.status == CRASHED]

    def wait_until_working(self, *names: str, seconds: float = 90) -> None:
        """Until these (all, without names) own numbers, or listen."""
        until(lambda: self.working(*names), f"{names or 'all'} to work", seconds=seconds)

    def working(self, *names: str) -> bool:
        """Whether these (all, without names) have owned numbers in this life, or listen."""
        self.supervise()
        return all(
            LISTENING.get(one.service, '"action": "loop.ownership"') in one.process.said()
            for one in self.instances.values()
            if not names or one.name in names
        )

    def stop_all(self) -> dict[str, float]:
        """Everybody leaves in order; how long each took."""
        order = ("segmenter", "renderer", "sender", "tracker")
        return {name: self.leave(name) for service in order for name in self.of(service)}

    # --- what is told to them ---

    def feed(self, records: Sequence[Record]) -> None:
        """Many records, a transaction for some thousands."""
        for start in range(0, len(records), FEED_RECORDS):
            self.tell(*records[start : start + FEED_RECORDS])

    def tell(self, *records: Record) -> None:
        """Put records on the log, whatever the brokers are going through."""
        deadline = time.monotonic() + 120
        while True:
            try:
                self.log.append(records)
            except RetryLater:
                assert time.monotonic() < deadline, "the log takes no records"
            else:
                return

    def apply(self, *definitions: Definition) -> None:
        now = datetime.now(UTC)
        self.tell(*(r for each in definitions for r in definition_records(to_wire(each, now, "t"))))

    def launch(self, name: str, segment: Segment, **fields: Any) -> None:
        """Apply a send and let it be due now, with everything pinned as the console does."""
        variants = (Variant(name="a", template=TEMPLATE.name),)
        send = Send(name=name, segment=segment.name, variants=variants, **fields)
        now = datetime.now(UTC)
        parts = (send, TEMPLATE, CAMPAIGN, segment)
        self.apply(*parts)
        pinned = {f"{type(part).__name__.lower()}/{part.name}": part.version() for part in parts}
        self._orders[name] = SendOrder(
            send_id=name, definition_version=send.version(), pinned=pinned, due_at=now,
            ordered_at=now,
        )  # fmt: skip
        self.tell(send_order_record(self._orders[name]))

    def order(self, name: str, **changes: Any) -> None:
        """Change the order of a send that was launched, as `paused=True`."""
        changed = self._orders[name].model_copy(update={**changes, "ordered_at": datetime.now(UTC)})
        self._orders[name] = changed
        self.tell(send_order_record(changed))

    # --- what became of it ---

    def states(self, *sends: str) -> Counter[str]:
        """How many are in which state of the ledger; what may still be settled is "in doubt"."""
        found = self._ledger.rows(
            "select case when state = 'unconfirmed' and settled = 0 then 'in doubt' else state end,"
            " count(*) from message where send_id = any(?) group by 1",
            (list(sends),),
        )
        return Counter(dict(found))

    def state_of(self, name: str) -> str:
        """The newest decision about a send."""
        with suppress(RetryLater):
            self._table.refresh()
        found = self._programme.decisions.get(name)
        return "" if found is None else found.state

    def unfinished(self) -> set[str]:
        return {name for name in self._orders if self.state_of(name) in {"", "released", "held"}}

    def launched(self) -> list[str]:
        return list(self._orders)

    def wait_until_finished(
        self, *names: str, seconds: float, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Until these sends are finished by their own books."""
        end = time.monotonic() + seconds
        while waited_for := self.unfinished() & set(names):
            self.supervise()
            said = {name: (self.state_of(name), self.states(name)) for name in waited_for}
            assert time.monotonic() < end, f"not finished: {said}"
            meanwhile()
            wait_seconds(0.5)

    def wait_until_heard(self, *, seconds: float = 120) -> None:
        """Until SES has told everything, the tracker has passed it on, and both have read it."""

        def posted() -> bool:
            self.supervise()
            kinds = self.sandbox.report()["events"].values()
            return not any(kind["waiting"] for kind in kinds)

        until(posted, "SES to post its events", seconds=seconds)
        until(lambda: self._spool_size() == 0, "the spool to be forwarded", seconds=seconds)
        until(self._read_events, "segmenter and sender to read all events", seconds=seconds)

    def audit(
        self, *sends: str, policy: str, window: int, withdrawals: Path | None = None
    ) -> dict[str, Any]:
        """The auditor's verdict over these sends."""
        flags = [flag for send in sends for flag in ("--send", send)]
        flags += ["--withdrawals", str(withdrawals)] if withdrawals else []
        done = subprocess.run(
            [sys.executable, "-m", "deploy.auditor", "--mail", str(self.home / "ses"),
             "--postgres", self.dsn, "--policy", policy, "--kills", str(self.kills["sender"]),
             "--window", str(window), "--json", *flags],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in {0, 1}, done.stderr
        verdict: dict[str, Any] = json.loads(done.stdout)
        return verdict

    def story_of(self, message_id: str) -> dict[str, Any]:
        """What SES was asked about a message, when its events were posted, what the ledger says."""
        asked = [line for line in self.sandbox.journal() if line["tags"].get("m") == message_id]
        with closing(apsw.Connection(str(self.home / "ses" / "events.sqlite3"))) as books:
            posted = list(
                books.execute(
                    "select event_type, happened_ms, attempts, posted_ms from event"
                    " join acceptance using (message_id) where instr(mail, ?) order by 2",
                    (message_id,),
                )
            )
        ledger = self._ledger.rows("select * from message where message_id = ?", (message_id,))
        return {"asked": asked, "events": posted, "ledger": [[str(v) for v in r] for r in ledger]}

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database, as its superuser."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            done = connection.execute(sql, values)
            return done.fetchall() if done.description else []

    def _process(self, service: str, port: int) -> ServiceProcess:
        module, *arguments = self._modules.get(service, (f"services.{service}",))
        own = {**self.settings, f"{service}__port": port}
        return ServiceProcess(module, self.home, own, *arguments)

    def _start_again(self, instance: Instance) -> None:
        instance.process = self._process(instance.service, instance.port)
        instance.started_at = time.monotonic()

    def _spool_size(self) -> int:
        self.supervise()
        path = self.home / "tracker" / "spool.db"
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as spool:
            spool.set_busy_timeout(10_000)
            ((size,),) = spool.execute("select count(*) from record")
        return int(size)

    def _read_events(self) -> bool:
        self.supervise()
        try:
            ends = self.log.end_offsets(EVENTS)
        except RetryLater:
            return False
        return all(
            self._positions(schema).get(partition, 0) >= end
            for schema in ("sender", "segmenter")
            for partition, end in ends.items()
        )

    def _positions(self, schema: str) -> dict[int, int]:
        return dict(
            self.query(
                f"select partition, next_offset from {schema}.input_position where topic = %s",
                EVENTS,
            )
        )


def wait_seconds(seconds: float) -> None:
    """Let things go on for so long."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, "time to pass", seconds=seconds + 60)
