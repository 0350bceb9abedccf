"""Chaos: sends on Kafka and PostgreSQL while brokers, database and instances die and come back.

    python -m tests.end_to_end.chaos [--recipients 100000] [--brokers 3] [--segmenters 2]
        [--renderers 2] [--senders 3] [--kills 40] [--pace 15] [--policy leave|resend] [--seed 1]
        [--plant shared-inboxes|outcome-first|default-retries|deaf] [--seconds-limit 7200]
        [--home DIR]

A broker is killed and comes back; every service is killed with SIGKILL, over and over; a sender and
a segmenter are frozen past their session timeout and thawed; one of each joins and one leaves;
PostgreSQL is restarted; SES fails on both sides of acceptance; people leave and act meanwhile.
Without --policy each has a half of the people.

The verdict is the auditor's, on every send of the run, and on everybody who left or voted
(`withdrawing.py`). Besides: nothing stands on `events` twice that nobody told twice, nothing among
the dead letters, no instance crashed, nobody who left is forgotten, and what was in doubt was
resent where that is the policy.
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
from pathlib import Path
from typing import Any, get_args

from deploy.kafka.cluster import Cluster
from shared.log.topics import DEAD_LETTERS
from shared.programme.definitions import Segment
from shared.programme.rules import HasTag
from tests.end_to_end.deeds import LEASE_SECONDS, Chaos, Deeds, Story
from tests.end_to_end.estate import Estate, wait_seconds
from tests.end_to_end.kill_run import FAULTS, WINDOW, Plant
from tests.end_to_end.outages import links_of
from tests.end_to_end.reading import standing_twice, whole_topic
from tests.end_to_end.whole_run import CAMPAIGN, SHARE_AN_INBOX, STAFF, TEMPLATE, statement
from tests.end_to_end.withdrawing import VOTED, Withdrawing
from tests.integration.sender.audience import Person, people
from tests.real_postgres import PostgresServer

SETTLE_SECONDS = 60
PULSE_SECONDS = 3.0
REGULARS = Segment(name="regulars", rule=HasTag(tag="regular"))
"""Those who have had a mail before, with a link to leave by."""
LEAVING_BY_LINK = 0.5
"""Regulars for each second of the deeds, but not more than a tenth of all."""
SLOWEST = 2.0
OTHERS = "others"


def chaos(
    home: Path, run: Chaos, say: Story, cluster: Cluster, server: PostgresServer
) -> dict[str, dict[str, Any]]:
    """Do it; the verdict for each policy and for the other sends.

    Raises AssertionError when it does not end.
    """
    modules = (
        {"sender": ("tests.end_to_end.planted_senders", run.plant)}
        if run.plant in {"outcome-first", "default-retries", "deaf"}
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
        sender__rate=max(SLOWEST, 1.1 * run.recipients / run.seconds),
    ) as estate:  # fmt: skip
        say(f"{', '.join(estate.instances)} are up")
        if run.plant == "shared-inboxes":
            estate.query("drop index sender.message_inbox")
        found = _feed(estate, run, say)
        estate.launch("before", REGULARS)
        estate.wait_until_finished("before", seconds=300)
        links = links_of(estate, "before")
        estate.sandbox.switch(faults=dict.fromkeys(FAULTS, run.share), seed=str(run.seed))
        sends = _launch(estate, run, say)
        withdrawing = Withdrawing(estate, found, links, sends, run.seed)
        _live_through(estate, server, run, say, sends, withdrawing)
        return _close(estate, run, say, sends, withdrawing)


def _feed(estate: Estate, run: Chaos, say: Story) -> list[Person]:
    """The people, some of whom share an inbox with the one before them."""
    dice = random.Random(run.seed)
    found = people(run.recipients, f"chaos{run.seed}")
    for place in range(1, len(found)):
        if dice.random() < SHARE_AN_INBOX:
            found[place] = Person(found[place].supporter_id, found[place - 1].address)
    tags = [f"for-{policy}" for policy in run.policies]
    half = -(-len(found) // len(tags))
    regulars = min(len(found) // 10, int(run.seconds * LEAVING_BY_LINK))
    every = len(found) // max(1, regulars)
    estate.feed(
        [
            statement(
                person, tags[place // half], *(("regular",) if place % every == 0 else ()),
                partitions=estate.partitions,
            )
            for place, person in enumerate(found)
        ]
    )  # fmt: skip
    staff = people(3, f"staff{run.seed}")
    estate.feed([statement(one, "staff", partitions=estate.partitions) for one in staff])
    estate.apply(CAMPAIGN, TEMPLATE, STAFF, REGULARS)
    say(f"{len(found)} people are on the log")
    return found


def _launch(estate: Estate, run: Chaos, say: Story) -> list[str]:
    """The sends, by name."""
    for policy in run.policies:
        segment = Segment(name=f"for-{policy}", rule=HasTag(tag=f"for-{policy}"))
        estate.launch(f"to-{policy}", segment, unconfirmed=policy, unless_done=(VOTED,))
    sends = [f"to-{policy}" for policy in run.policies]
    say(f"{', '.join(sends)} launched")
    return sends


def _live_through(
    estate: Estate,
    server: PostgresServer,
    run: Chaos,
    say: Story,
    sends: Sequence[str],
    withdrawing: Callable[[], None],
) -> None:
    """The agenda, beginning with the first mail; then until every send is finished."""
    limit = run.seconds_limit
    while not estate.states(*sends):
        estate.supervise()
        assert say.seconds < limit, "no message came to the ledger"
        wait_seconds(0.2)
    say("the first messages are in the ledger")
    agenda = deque(Deeds(estate, server, run, say).agenda())
    began, rests_until = time.monotonic(), 0.0
    while agenda:
        estate.supervise()
        withdrawing()
        if time.monotonic() < max(began + agenda[0][0], rests_until):
            wait_seconds(0.1)
            continue
        agenda.popleft()[1]()
        rests_until = time.monotonic() + 0.3 * run.pace  # also when the agenda is late
    say(f"all deeds are done: {dict(estate.states(*sends))}")
    pulses = Pulses(estate, sends, say)

    def meanwhile() -> None:
        withdrawing()
        pulses()

    estate.wait_until_finished(*sends, seconds=max(1.0, limit - say.seconds), meanwhile=meanwhile)
    say(f"the sends are finished: {dict(estate.states(*sends))}")


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


def _close(
    estate: Estate, run: Chaos, say: Story, sends: Sequence[str], withdrawing: Withdrawing
) -> dict[str, dict[str, Any]]:
    estate.sandbox.switch(faults={})
    others = [name for name in estate.launched() if name not in sends]
    estate.wait_until_finished(*others, seconds=120)
    estate.wait_until_heard()
    say("SES has told everything, and it is read")
    told = withdrawing.close()
    say(f"who left and who voted: {told}")
    twice = standing_twice(estate.log, estate.home, withdrawing.posts)
    letters = sum(1 for _ in whole_topic(estate.log, DEAD_LETTERS))
    took = estate.stop_all()
    say(f"all are stopped, the slowest in {max(took.values()):.1f} s")
    file = withdrawing.write(estate.home / "withdrawals.jsonl")
    verdicts = {
        policy: estate.audit(f"to-{policy}", policy=policy, window=WINDOW, withdrawals=file)
        for policy in run.policies
    }
    verdicts[OTHERS] = estate.audit(*others, policy="leave", window=WINDOW, withdrawals=file)
    for policy, verdict in verdicts.items():
        for finding in verdict["findings"][:20]:
            finding["story"] = estate.story_of(finding["message_id"])
        verdict |= {
            "withdrawals": told,
            "withdrawals lost": withdrawing.lost(),
            "told twice": twice.told_twice,
            "events twice": twice.unexplained,
            "dead letters": letters,
            "crashed": [str(one) for one in estate.crashed],
            "ended by themselves": [str(one) for one in estate.ended],
            "killed": dict(estate.killed),
            "never resent": (
                policy == "resend" and verdict["ambiguous"] > 0 and not verdict["resent"]
            ),
        }
        verdict["balanced"] = verdict["balanced"] and not any(verdict[name] for name in BESIDES)
        verdicts[policy] = verdict
    return verdicts


BESIDES = ("withdrawals lost", "events twice", "dead letters", "crashed", "never resent")
"""What must be nothing, beside the auditor's findings."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.chaos")
    add = parser.add_argument
    add("--recipients", type=int, default=100_000)
    add("--brokers", type=int, choices=(1, 3), default=3)
    add("--segmenters", type=int, default=2)
    add("--renderers", type=int, default=2)
    add("--senders", type=int, default=3)
    add("--kills", type=int, default=40)
    add("--policy", choices=("leave", "resend"), default=None)
    add("--seed", type=int, default=1)
    add("--plant", choices=(*get_args(Plant), "deaf"), default=None)
    add("--pace", type=float, default=15.0, help="seconds from one kill to the next")
    add("--share", type=float, default=0.005, help="of requests that meet each fault")
    add("--seconds-limit", type=float, default=7_200)
    add("--home", type=Path, help="keep logs and mails here (otherwise nothing is kept)")
    given = vars(parser.parse_args(arguments))
    kept = given.pop("home")
    policy = given.pop("policy")
    run = Chaos(**given, policies=(policy,) if policy else ("leave", "resend"))
    say = Story()
    with (
        tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder,
        Cluster(Path(folder, "kafka"), brokers=run.brokers) as cluster,
        PostgresServer(durable=True) as server,
    ):
        say(f"{run.brokers} brokers and PostgreSQL are up")
        verdicts = chaos(kept or Path(folder, "home"), run, say, cluster, server)
    for each, verdict in verdicts.items():
        print(each, json.dumps(verdict | {"findings": verdict["findings"][:20]}, indent=2))
    print(f"{say.seconds:.0f} s")
    return 0 if all(verdict["balanced"] for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
