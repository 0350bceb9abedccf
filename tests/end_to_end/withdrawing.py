"""People who withdraw and vote while a send goes out, and until when they may still be mailed.

They leave by two ways: at the tracker by the link of a mail (acknowledged with HTTP 200, once it
is in the spool) or by a statement on `supporters`; who votes does so by an action on `events`. Each
way ends on `suppressions`, which the sender reads. So two things can be asked of each of them:

- **What stands on `suppressions` stops each call that begins 30 s later**, whatever is broken: a
  sender whose table is older calls nobody. This is the promise. It counts from when a reader of the
  topic saw the record.
- **What was acknowledged gets to `suppressions`**, and within a bound. While it is under way
  nothing holds the mail up, and the way is as long as those who carry it are dead. The bounds are
  what the chaos does to them, see `Way`; they are no promise to anybody.

The auditor is given both as moments after which SES may take no mail.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import RetryLater
from shared.log.port import Log
from shared.log.topics import SUPPRESSIONS
from tests.end_to_end.estate import Estate
from tests.end_to_end.outages import Links, unsubscribe
from tests.end_to_end.whole_run import action, statement
from tests.integration.sender.audience import Person
from tests.integration.sender.processes import until

PROMISED_SECONDS = 30 + 1
"""From the record to the beginning of the call, which lasts a second at the most."""
EVERY_SECONDS = 1.0
LONGEST_WAY = 300.0
VOTED = "voted"


@dataclass(frozen=True, slots=True)
class Way:
    """How a withdrawal comes to `suppressions`; `seconds`: within which time."""

    name: str
    seconds: float


BY_LINK = Way("a link", 180)
"""Through the spool of the one tracker, which is killed again while it starts: on a machine that is
busy with three times its work it was away for 82 s so."""
BY_STATEMENT = Way("a statement", 300)
BY_ACTION = Way("an action", 300)
"""Both through a segmenter. One that is killed or frozen keeps its partitions for a lease of 10 s;
another may be killed taking them over, or lose the database; then it reads what has gathered."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Acknowledged at `at`, in seconds of the epoch. `sends`: of these only; of any without."""

    person: Person
    way: Way
    at: float
    sends: Sequence[str] = ()

    @property
    def keys(self) -> list[str]:
        """Where they stand on `suppressions`: the person; and who leaves, leaves with the inbox."""
        if self.sends:
            return [f"{self.person.supporter_id}|send:{send}" for send in self.sends]
        return [self.of_person, self.of_inbox]

    @property
    def of_person(self) -> str:
        return f"{self.person.supporter_id}|everything"

    @property
    def of_inbox(self) -> str:
        return f"{self.person.address_key}|everything"


class SuppressionsSeen:
    """Follows `suppressions` in a thread and notes when each key was there to be read."""

    def __init__(self, log: Log) -> None:
        self.at: dict[str, float] = {}
        self._follower = log.follow(SUPPRESSIONS)
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="suppressions", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read no more. Raises what ended the reading, if anything did."""
        self._stopping.set()
        self._thread.join()
        self._follower.close()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._read()
        except BaseException as error:  # noqa: BLE001 - told by `close`
            self._failure = error

    def _read(self) -> None:
        try:
            found = self._follower.read(timeout_seconds=0.2)
        except RetryLater:  # a broker is away
            self._stopping.wait(0.2)
            return
        now = time.time()
        for stored in found:
            key = (stored.key or b"").decode()
            if stored.value is None:
                self.at.pop(key, None)
            else:
                self.at.setdefault(key, now)


class Withdrawing:
    """Once a second somebody votes and somebody leaves, by a link and by a statement in turn."""

    def __init__(
        self,
        estate: Estate,
        found: Sequence[Person],
        links: Sequence[Links],
        sends: Sequence[str],
        seed: int,
    ) -> None:
        """`links`: of people who had a mail before. `sends`: what a vote stops."""
        self._estate, self._links, self._sends = estate, list(links), sends
        self._people = iter(random.Random(seed).sample(found, len(found)))
        self._number, self._next = 0, 0.0
        self.acknowledged: list[Withdrawal] = []
        self.posts: Counter[str] = Counter()
        """Supporter to how often they asked the tracker."""
        self._seen = SuppressionsSeen(estate.log)

    def __call__(self) -> None:
        """Let them, when it is time."""
        if time.monotonic() < self._next:
            return
        self._number += 1
        self._vote()
        if self._number % 2:
            self._leave_by_link()
        else:
            self._leave_by_statement()
        self._next = time.monotonic() + EVERY_SECONDS

    def close(self) -> dict[str, dict[str, float]]:
        """Wait until all who left are on `suppressions`; by way, how many and the slowest."""
        leavers = [one for one in self.acknowledged if not one.sends]
        with suppress(AssertionError):  # `lost` names them
            until(
                lambda: all(key in self._seen.at for one in leavers for key in one.keys),
                "those who left to be on suppressions",
                seconds=LONGEST_WAY,
            )
        self._seen.close()
        return {way.name: self._told(way) for way in (BY_LINK, BY_STATEMENT, BY_ACTION)}

    def lost(self) -> list[str]:
        """Who left, was told so, and is not on `suppressions`. Who voted may have had the mail."""
        return [
            f"left by {one.way.name} at {_clock(one.at)}, not on suppressions:"
            f" {one.person.supporter_id}"
            for one in self.acknowledged
            if not one.sends and any(key not in self._seen.at for key in one.keys)
        ]

    def write(self, path: Path) -> Path:
        """For the auditor (`deploy/auditor/withdrawals_file.py`)."""
        with path.open("w") as file:
            for one in self.acknowledged:
                for line in self._lines(one):
                    file.write(json.dumps(line) + "\n")
        return path

    # --- what they do ---

    def _vote(self) -> None:
        if (voter := next(self._people, None)) is None:
            return
        partitions = self._estate.partitions
        self._estate.tell(
            action(voter, f"signed-{self._number}", partitions=partitions),
            action(voter, VOTED, partitions=partitions),
        )
        self._acknowledge(voter, BY_ACTION, self._sends)

    def _leave_by_statement(self) -> None:
        if (leaver := next(self._people, None)) is None:
            return
        self._estate.tell(
            statement(
                leaver, "left", partitions=self._estate.partitions, subscription="unsubscribed",
                stated_by="supporter",
            )
        )  # fmt: skip
        self._acknowledge(leaver, BY_STATEMENT)

    def _leave_by_link(self) -> None:
        """Whoever gets no answer, or another one, tries again later."""
        if not self._links:
            return
        links = self._links.pop()
        self.posts[links.supporter_id] += 1
        try:
            status = unsubscribe(self._estate, links)
        except (OSError, http.client.HTTPException):
            status = 0
        if status == http.client.OK:
            self._acknowledge(Person(links.supporter_id, links.address), BY_LINK)
        else:
            self._links.insert(0, links)

    def _acknowledge(self, person: Person, way: Way, sends: Sequence[str] = ()) -> None:
        self.acknowledged.append(Withdrawal(person, way, time.time(), sends))

    # --- what may not be, from when on ---

    def _told(self, way: Way) -> dict[str, float]:
        theirs = [one for one in self.acknowledged if one.way == way]
        took = [
            self._seen.at[key] - one.at
            for one in theirs
            for key in one.keys
            if key != one.of_inbox and key in self._seen.at
        ]
        return {"acknowledged": len(theirs), "slowest_seconds": round(max(took, default=0.0), 1)}

    def _lines(self, one: Withdrawal) -> Iterator[dict[str, object]]:
        person = one.person
        for send, key in zip(one.sends, one.keys, strict=False):
            yield from self._moments(one, one.way, key, supporter_id=person.supporter_id, send=send)
        if not one.sends:
            yield from self._moments(one, one.way, one.of_person, supporter_id=person.supporter_id)
            # Also when the person left by a link, it is the segmenter that adds the inbox.
            yield from self._moments(one, BY_STATEMENT, one.of_inbox, address=person.address)

    def _moments(
        self, one: Withdrawal, way: Way, key: str, **about: str
    ) -> Iterator[dict[str, object]]:
        who = {"supporter_id": None, "address": None, "send": None, **about}
        said = f"by {one.way.name}, acknowledged {_clock(one.at)}"
        yield {**who, "after_ms": _ms(one.at + way.seconds + PROMISED_SECONDS), "says": said}
        if (seen := self._seen.at.get(key)) is not None:
            said = f"{said}, on suppressions {_clock(seen)}"
            yield {**who, "after_ms": _ms(seen + PROMISED_SECONDS), "says": said}


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
