"""The kill run: a sender is killed at random, over and over, while SES fails in every way it knows.

    python -m tests.end_to_end.kill_run [--kills 50] [--messages 3000] [--policy leave|resend]
        [--seed 1] [--plant shared-inboxes|outcome-first|default-retries]

The verdict is the auditor's. With a planted fault the same run must be found out: the unique index
that keeps an inbox to one mail is dropped, outcomes are written before the call, or boto3 repeats
posts by itself.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import apsw

from tests.integration.sender.audience import Person, entry, people
from tests.integration.sender.processes import ServiceProcess, until
from tests.integration.sender.station import Body, Station

Policy = Literal["leave", "resend"]
Plant = Literal["shared-inboxes", "outcome-first", "default-retries"]

FAULTS = (
    "throttle_429",
    "error_500_before", "error_500_after",
    "error_503_before", "error_503_after",
    "hang_before", "hang_after",
    "reset_before", "reset_after",
    "close_before", "close_after",
)  # fmt: skip
SHARE = 0.05
WINDOW = 16
SETTLE_SECONDS = 10
SHORTEST_LIFE, LONGEST_LIFE = 0.0, 0.9
LONGEST_RUN = 800
KILLED_WHILE_STARTING = 0.15
SHARE_AN_INBOX, REFUSED, SUPPRESSED = 0.06, 0.01, 0.03


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be done. `messages` are fed in as many portions as there are kills."""

    messages: int = 3_000
    kills: int = 50
    policy: Policy = "leave"
    seed: int = 1
    plant: Plant | None = None


def kill_run(home: Path, run: Run, body: Body = None) -> dict[str, Any]:
    """Do it, and return the auditor's verdict."""
    dice = random.Random(run.seed)
    settings = {"window": WINDOW, "settle_seconds": SETTLE_SECONDS}
    with Station(home, "--latency-ms", "40", body=body, **settings) as here:
        here.sandbox.switch(faults=dict.fromkeys(FAULTS, SHARE), seed=str(run.seed))
        lives = Lives(here, run, dice)
        if run.plant == "shared-inboxes":
            lives.forget_inboxes()
        portions = list(_portions(run, dice))
        late = datetime.now(UTC) + timedelta(seconds=15 + run.kills * 0.8)
        for number, portion in enumerate(portions):
            feed(here, run, portion, late if number % 5 == 4 else None, dice)
            order(here, number, run)
            lives.live_and_die()
        lives.live_until_closed()
        waves = [send_of(number) for number in range(len(portions))]  # pulses have no policy
        return here.audit(*waves, policy=run.policy, kills=run.kills, window=WINDOW)


class Lives:
    """The sender's lives, one after the other."""

    def __init__(self, station: Station, run: Run, dice: random.Random) -> None:
        self._station, self._run, self._dice = station, run, dice
        self._end = time.monotonic() + LONGEST_RUN

    def live_and_die(self) -> None:
        """Start it and kill it: sometimes while it starts, mostly while it works."""
        sender = self._start()
        if self._dice.random() >= KILLED_WHILE_STARTING:
            sender.wait_for_line('"action": "loop.ownership"')
        pass_time(self._dice.uniform(SHORTEST_LIFE, LONGEST_LIFE))
        assert sender.alive(), f"ended by itself: {sender.said()[-3000:]}"
        sender.kill()

    def live_until_closed(self) -> None:
        """The last life: until nothing is open, SES has told everything, and all of it is read."""
        sender, here = self._start(), self._station
        waves = here.sends()
        while any(here.open(send) for send in waves):
            here.check()
            assert sender.alive(), f"ended by itself: {sender.said()[-3000:]}"
            assert time.monotonic() < self._end, {send: here.states(send) for send in waves}
            # What is in doubt is resent only when SES's events are known to come; with all other
            # work done, somebody has to be mailed for that.
            if not any(here.states(send)["ready"] for send in waves):
                number = len(here.sends())
                here.feed(f"pulse-{number:02}", people(3, f"pulse{number}"))
            pass_time(1.5)
        for send in here.sends():
            here.wait_until_closed(send, here.frozen_size(send))
        here.wait_until_heard(*here.sends())
        assert sender.stop() == 0, sender.said()[-3000:]

    def forget_inboxes(self) -> None:
        """Plant: the ledger does not know any more that an inbox gets one mail."""
        self._start().wait_for_line("loop.ownership").kill()
        with closing(apsw.Connection(str(self._station.ledger))) as ledger:
            ledger.execute("drop index message_inbox")

    def _start(self) -> ServiceProcess:
        if self._run.plant in {"outcome-first", "default-retries"}:
            return self._station.start_sender(
                str(self._run.plant), module="tests.end_to_end.planted_senders"
            )
        return self._station.start_sender()


def feed(
    station: Station,
    run: Run,
    portion: Sequence[Person],
    late: datetime | None,
    dice: random.Random,
) -> None:
    """One send: a few could not be rendered, and a few withdraw only now."""
    send = send_of(len(station.sends()))
    entries = [
        entry(
            send, person, resend_unconfirmed=run.policy == "resend", deadline=late,
            **({"mail": None, "refusal": "a field is missing"} if dice.random() < REFUSED else {}),
        )
        for person in portion
    ]  # fmt: skip
    station.feed_entries(entries)
    for person in portion:
        if dice.random() < SUPPRESSED:
            station.suppress(person.supporter_id, "everything", "unsubscribed")


def order(station: Station, number: int, run: Run) -> None:
    """Every seventh send is paused and later resumed, every tenth is cancelled under way."""
    if number % 7 == 3:
        station.order(send_of(number), paused=True)
    if number % 7 == 5 or number == run.kills - 1:
        for earlier in range(number + 1):
            if earlier % 7 == 3:
                station.order(send_of(earlier), paused=False)
    if number % 10 == 6:
        station.order(send_of(number - 1), cancelled=True)


def send_of(number: int) -> str:
    return f"wave-{number:02}"


def _portions(run: Run, dice: random.Random) -> Iterator[list[Person]]:
    """People for each kill. Some share an inbox with the person before them."""
    each = run.messages // run.kills
    for number in range(run.kills):
        found = people(each, f"{run.seed}.{number}")
        for place in range(1, each):
            if dice.random() < SHARE_AN_INBOX:
                found[place] = Person(found[place].supporter_id, found[place - 1].address)
        yield found


def pass_time(seconds: float) -> None:
    """Let things go on for so long."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, "time to pass")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.kill_run")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--messages", type=int, default=3_000)
    parser.add_argument("--policy", choices=("leave", "resend"), default="leave")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--plant", choices=("shared-inboxes", "outcome-first", "default-retries"), default=None
    )
    given = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-run-", ignore_cleanup_errors=True) as folder:
        verdict = kill_run(Path(folder), Run(**vars(given)))
    print(json.dumps(verdict | {"findings": verdict["findings"][:20]}, indent=2))
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if verdict["balanced"] else 1


if __name__ == "__main__":
    sys.exit(main())
