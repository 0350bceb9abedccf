"""Chaos: sends on Kafka and PostgreSQL while brokers, database and instances die and come back.

    python -m tests.end_to_end.chaos [--recipients 100000] [--brokers 3] [--segmenters 2]
        [--renderers 2] [--senders 3] [--kills 20] [--policy leave|resend] [--seed 1]
        [--plant shared-inboxes|outcome-first|default-retries] [--seconds-limit 7200]

A broker is killed and comes back; every service is killed with SIGKILL, over and over; a sender and
a segmenter are frozen past their session timeout and thawed; one of each joins and one leaves;
PostgreSQL is restarted; SES fails on both sides of acceptance; people leave and act meanwhile.
Without --policy each has a half of the people. The verdict is the auditor's; besides,
nothing of ours may stand on `events` twice, and nothing among the dead letters.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.kafka.cluster import Cluster
from shared.log.topics import DEAD_LETTERS, EVENTS
from shared.programme.definitions import Segment
from shared.programme.rules import HasTag
from tests.end_to_end.estate import Estate, wait_seconds
from tests.end_to_end.kill_run import FAULTS, WINDOW, Plant, Policy
from tests.end_to_end.whole_run import (
    CAMPAIGN,
    SHARE_AN_INBOX,
    STAFF,
    TEMPLATE,
    action,
    statement,
)
from tests.integration.sender.audience import Person, people
from tests.real_postgres import PostgresServer

LEASE_SECONDS = 10
FROZEN_SECONDS = LEASE_SECONDS + 6
BROKER_AWAY_SECONDS = 12
SETTLE_SECONDS = 60
TRACKER = "tracker"
KILLED = ("sender", "segmenter", "renderer", "tracker")
JOINING = ("segmenter", "renderer", "sender")
PULSE_SECONDS = 3.0
KILLED_WHILE_STARTING = 0.1
"""In each second in which it is still starting."""
LONGEST_START = 15.0


@dataclass(frozen=True, slots=True)
class Chaos:
    """What is to be done. `pace`: seconds from one kill to the next; `share`: of each fault."""

    recipients: int = 100_000
    brokers: int = 3
    segmenters: int = 2
    renderers: int = 2
    senders: int = 3
    kills: int = 20
    policies: tuple[Policy, ...] = ("leave", "resend")
    seed: int = 1
    plant: Plant | None = None
    pace: float = 5.0
    share: float = 0.005
    happenings: bool = True
    """Besides kills: broker, database, frozen, joining and leaving."""
    seconds_limit: float = 7_200

    @property
    def seconds(self) -> float:
        """How long the kills take; the pace of sending is such that it lasts as long."""
        return max(1, self.kills) * self.pace


class Story:
    """Prints a line per happening, with the seconds since the beginning."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._began, self._quiet = time.monotonic(), quiet
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(f"{self.seconds:8.1f} s  {text}")
        if not self._quiet:
            print(self.lines[-1], flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


class Deeds:
    """What befalls the estate, one deed at a time."""

    def __init__(self, estate: Estate, server: PostgresServer, run: Chaos, say: Story) -> None:
        self._estate, self._server, self._run, self._say = estate, server, run, say
        self._dice = random.Random(run.seed)

    def agenda(self) -> list[tuple[float, Callable[[], None]]]:
        """(second, deed), in order."""
        run, whole = self._run, self._run.seconds
        services = [KILLED[number % len(KILLED)] for number in range(run.kills)]
        self._dice.shuffle(services)
        found = [
            ((number + 0.7) * run.pace, self._kill(service))
            for number, service in enumerate(services)
        ]
        if run.happenings:
            found += list(self._happenings(whole))
        return sorted(found, key=lambda entry: entry[0])

    def _happenings(self, whole: float) -> Iterator[tuple[float, Callable[[], None]]]:
        for place, service in enumerate(JOINING):
            yield (0.05 + 0.04 * place) * whole, self._join(service)
            yield (0.75 + 0.06 * place) * whole, self._leave(service)
        frozen: dict[str, str] = {}
        for at, service in ((0.2, "sender"), (0.42, "segmenter")):
            yield at * whole, self._freeze(service, frozen)
            yield at * whole + FROZEN_SECONDS, self._thaw(service, frozen)
        yield 0.35 * whole, self._restart_database
        if self._run.brokers > 1:
            broker = self._dice.randint(1, self._run.brokers)
            yield 0.6 * whole, lambda: self._kill_broker(broker)
            yield 0.6 * whole + BROKER_AWAY_SECONDS, lambda: self._start_broker(broker)

    def _kill(self, service: str) -> Callable[[], None]:
        def deed() -> None:
            if names := self._estate.of(service):
                name = self._dice.choice(names)
                end = time.monotonic() + LONGEST_START
                while self._dice.random() >= KILLED_WHILE_STARTING and time.monotonic() < end:
                    if self._estate.working(name):
                        break
                    wait_seconds(1.0)
                self._estate.kill(name)
                self._say(f"{name} is killed with SIGKILL and started again")

        return deed

    def _join(self, service: str) -> Callable[[], None]:
        return lambda: self._say(f"{self._estate.join(service).name} joins")

    def _leave(self, service: str) -> Callable[[], None]:
        def deed() -> None:
            name = self._dice.choice(self._estate.of(service))
            self._say(f"{name} leaves, in {self._estate.leave(name):.1f} s")

        return deed

    def _freeze(self, service: str, frozen: dict[str, str]) -> Callable[[], None]:
        def deed() -> None:
            frozen[service] = self._dice.choice(self._estate.of(service))
            self._estate.freeze(frozen[service])
            self._say(f"{frozen[service]} is frozen with SIGSTOP")

        return deed

    def _thaw(self, service: str, frozen: dict[str, str]) -> Callable[[], None]:
        def deed() -> None:
            self._estate.thaw(frozen[service])
            self._say(f"{frozen[service]} is thawed")

        return deed

    def _restart_database(self) -> None:
        began = time.monotonic()
        self._server.restart("immediate")
        self._say(f"PostgreSQL crashed and was started in {time.monotonic() - began:.1f} s")

    def _kill_broker(self, number: int) -> None:
        self._estate.cluster.kill(number)
        self._say(f"broker {number} is killed with SIGKILL")

    def _start_broker(self, number: int) -> None:
        self._estate.cluster.start_broker(number)
        self._say(f"broker {number} is started again")


def chaos(
    home: Path, run: Chaos, say: Story, cluster: Cluster, server: PostgresServer
) -> dict[Policy, dict[str, Any]]:
    """Do it; the auditor's verdict for each policy. Raises AssertionError when it does not end."""
    modules = (
        {"sender": ("tests.end_to_end.planted_senders", run.plant)}
        if run.plant in {"outcome-first", "default-retries"}
        else {}
    )
    counts = {
        "tracker": 1, "segmenter": run.segmenters, "renderer": run.renderers, "sender": run.senders,
    }  # fmt: skip
    with Estate(
        home, cluster, server, counts, "--latency-ms", "40", say=say, modules=modules,
        loop__lease_seconds=LEASE_SECONDS,
        sender__window=WINDOW,
        sender__settle_seconds=SETTLE_SECONDS,
        sender__rate=max(20.0, 1.1 * run.recipients / run.seconds),
    ) as estate:  # fmt: skip
        say(f"{', '.join(estate.instances)} are up")
        if run.plant == "shared-inboxes":
            estate.query("drop index sender.message_inbox")
        found = _feed(estate, run, say)
        estate.sandbox.switch(faults=dict.fromkeys(FAULTS, run.share), seed=str(run.seed))
        _launch(estate, run, say)
        _live_through(estate, server, run, say, found)
        return _close(estate, run, say)


def _feed(estate: Estate, run: Chaos, say: Story) -> list[Person]:
    """The people, some of whom share an inbox with the one before them."""
    dice = random.Random(run.seed)
    found = people(run.recipients, f"chaos{run.seed}")
    for place in range(1, len(found)):
        if dice.random() < SHARE_AN_INBOX:
            found[place] = Person(found[place].supporter_id, found[place - 1].address)
    tags = [f"for-{policy}" for policy in run.policies]
    half = -(-len(found) // len(tags))
    estate.feed(
        [
            statement(person, tags[place // half], partitions=estate.partitions)
            for place, person in enumerate(found)
        ]
    )
    staff = people(3, f"staff{run.seed}")
    estate.feed([statement(one, "staff", partitions=estate.partitions) for one in staff])
    estate.apply(CAMPAIGN, TEMPLATE, STAFF)
    say(f"{len(found)} people are on the log")
    return found


def _launch(estate: Estate, run: Chaos, say: Story) -> None:
    for policy in run.policies:
        segment = Segment(name=f"for-{policy}", rule=HasTag(tag=f"for-{policy}"))
        estate.launch(f"to-{policy}", segment, unconfirmed=policy, unless_done=("voted",))
    say(f"{', '.join(estate.launched())} launched")


def _live_through(
    estate: Estate, server: PostgresServer, run: Chaos, say: Story, found: Sequence[Person]
) -> None:
    """The agenda, beginning with the first mail; then until every send is finished."""
    sends = estate.launched()
    limit = run.seconds_limit
    while not estate.states(*sends):
        estate.supervise()
        assert say.seconds < limit, "no message came to the ledger"
        wait_seconds(0.2)
    say("the first messages are in the ledger")
    agenda = deque(Deeds(estate, server, run, say).agenda())
    dice, began = random.Random(run.seed), time.monotonic()
    while agenda:
        estate.supervise()
        if time.monotonic() - began < agenda[0][0]:
            wait_seconds(0.1)
            continue
        agenda.popleft()[1]()
        _happen(estate, found, dice)
        wait_seconds(0.3 * run.pace)  # also when the agenda is late
    say(f"all deeds are done: {dict(estate.states(*sends))}")
    pulses = Pulses(estate, sends, say)
    estate.wait_until_finished(*sends, seconds=max(1.0, limit - say.seconds), meanwhile=pulses)
    say(f"the sends are finished: {dict(estate.states(*sends))}")


def _happen(estate: Estate, found: Sequence[Person], dice: random.Random) -> None:
    """Somebody votes, somebody wants no more mail."""
    leaver, now = dice.choice(found), datetime.now(UTC)
    estate.tell(
        action(dice.choice(found), f"voted-{now.timestamp()}", partitions=estate.partitions),
        action(dice.choice(found), "voted", partitions=estate.partitions),
        statement(
            leaver, "left", partitions=estate.partitions, subscription="unsubscribed",
            stated_by="supporter",
        ),
    )  # fmt: skip


class Pulses:
    """Mails to staff: what is in doubt is resent only when SES's events are known to come."""

    def __init__(self, estate: Estate, sends: Sequence[str], say: Story) -> None:
        self._estate, self._sends, self._say = estate, sends, say
        self._number, self._next, self._next_line = 0, 0.0, 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        states = self._estate.states(*self._sends)
        if now >= self._next_line:
            self._next_line = now + 15
            self._say(f"waiting for the end: {dict(states)}")
        if states["ready"] or states["attempting"] or now < self._next:
            return
        self._next = now + PULSE_SECONDS
        self._number += 1
        self._estate.launch(f"pulse-{self._number:03}", STAFF)


def _close(estate: Estate, run: Chaos, say: Story) -> dict[Policy, dict[str, Any]]:
    estate.sandbox.switch(faults={})
    pulses = [name for name in estate.launched() if name.startswith("pulse")]
    estate.wait_until_finished(*pulses, seconds=120)
    estate.wait_until_heard()
    say("SES has told everything, and it is read")
    doubled, letters = _doubled(estate), _size(estate, DEAD_LETTERS)
    took = estate.stop_all()
    say(f"all are stopped, the slowest in {max(took.values()):.1f} s")
    verdicts = {
        policy: estate.audit(f"to-{policy}", policy=policy, window=WINDOW)
        for policy in run.policies
    }
    for verdict in verdicts.values():
        for finding in verdict["findings"][:20]:
            finding["story"] = estate.story_of(finding["message_id"])
        # SES repeats what a killed tracker kept and did not answer: the same event, the same id.
        verdict["told twice by SES"] = doubled[TRACKER]
        verdict["events twice"] = doubled.total() - doubled[TRACKER]
        verdict["dead letters"] = letters
        verdict["ended by themselves"] = estate.ended
        verdict["balanced"] = verdict["balanced"] and not verdict["events twice"] and not letters
    return verdicts


def _doubled(estate: Estate) -> Counter[str]:
    """Source to how many of its records stand on `events` more than once, by their ids."""
    ids: Counter[tuple[str, str]] = Counter()
    follower = estate.log.follow(EVENTS)
    ends = follower.end_offsets()
    while any(follower.next_offsets()[place] < end for place, end in ends.items()):
        for stored in follower.read(timeout_seconds=1.0):
            headers = dict(stored.headers)
            ids[headers["ce_source"].decode(), headers["ce_id"].decode()] += 1
    follower.close()
    return Counter(source for (source, _), number in ids.items() if number > 1)


def _size(estate: Estate, topic: str) -> int:
    follower = estate.log.follow(topic)
    number = 0
    while found := follower.read(timeout_seconds=1.0):
        number += len(found)
    follower.close()
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.chaos")
    add = parser.add_argument
    add("--recipients", type=int, default=100_000)
    add("--brokers", type=int, choices=(1, 3), default=3)
    add("--segmenters", type=int, default=2)
    add("--renderers", type=int, default=2)
    add("--senders", type=int, default=3)
    add("--kills", type=int, default=20)
    add("--policy", choices=("leave", "resend"), default=None)
    add("--seed", type=int, default=1)
    add("--plant", choices=("shared-inboxes", "outcome-first", "default-retries"), default=None)
    add("--pace", type=float, default=5.0, help="seconds from one kill to the next")
    add("--share", type=float, default=0.005, help="of requests that meet each fault")
    add("--seconds-limit", type=float, default=7_200)
    given = vars(parser.parse_args(arguments))
    policy = given.pop("policy")
    run = Chaos(**given, policies=(policy,) if policy else ("leave", "resend"))
    say = Story()
    with (
        tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder,
        Cluster(Path(folder, "kafka"), brokers=run.brokers) as cluster,
        PostgresServer(durable=True) as server,
    ):
        say(f"{run.brokers} brokers and PostgreSQL are up")
        verdicts = chaos(Path(folder, "home"), run, say, cluster, server)
    for each, verdict in verdicts.items():
        print(each, json.dumps(verdict | {"findings": verdict["findings"][:20]}, indent=2))
    print(f"{say.seconds:.0f} s")
    return 0 if all(verdict["balanced"] for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
