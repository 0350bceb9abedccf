"""Lets a stopped group go on whose positions the log has forgotten, and publishes no row twice.

Brokers forget the positions of a group that was stopped for long, and with them how far its outbox
was published. Rows are published in order and trimmed only afterwards. So all rows up to one that
is on the log are published; and one that is not there never was, where nothing is ever removed.
What cannot be shown is refused. That it is the right log at all, witnesses show.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from shared.errors import Fenced, Misconfigured, PositionOutsideLog, WrongStore
from shared.log.port import Log, Member
from shared.log.record import Headers, Record, Stored, TopicPartition
from shared.log.topics import TOPICS
from shared.loop.relay import Relay
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.settings import Settings
from shared.store.port import Store, Unit

ROWS: Final = 1_000
SPARE_SECONDS: Final = 10.0
COMPACTED: Final = frozenset(spec.name for spec in TOPICS if spec.compacted)


@dataclass(frozen=True, slots=True)
class Witness:
    """A record that is on the log if the store belongs to it, known by some of its headers."""

    place: TopicPartition
    headers: Headers

    def known_by(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.headers)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of an outbox. `lasting`: nothing was or will be removed from where it belongs."""

    seq: int
    on_log: bool
    lasting: bool


def published_through(newest: int, rows: Sequence[Row]) -> int:
    """The seq of the newest published row of a partition. Pure.

    `rows`: all that are not trimmed, in order; `newest`: the seq last given out. Raises WrongStore
    when it cannot be known.
    """
    trimmed = rows[0].seq - 1 if rows else newest
    through = max((row.seq for row in rows if row.on_log), default=trimmed)
    following = next((row for row in rows if row.seq > through), None)
    if following is not None and not following.lasting:
        raise WrongStore(
            f"whether row {following.seq} of its outbox was published cannot be known any more: "
            "its topic does not keep everything"
        )
    return through


@dataclass(slots=True)
class _Wanted:
    """What is looked for on the log, and what of it was found."""

    rows: dict[tuple[TopicPartition, bytes | None], list[tuple[int, int, bytes]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    witnesses: dict[tuple[TopicPartition, Headers], Witness] = field(default_factory=dict)
    found_rows: set[tuple[int, int]] = field(default_factory=set)
    found_witnesses: set[Witness] = field(default_factory=set)

    def topics(self) -> set[str]:
        places = {place for place, _ in (*self.rows, *self.witnesses)}
        return {place.topic for place in places}

    def look(self, stored: Stored) -> None:
        headers = dict(stored.headers)
        for number, seq, digest in self.rows.get((stored.place, headers.get("ce_id")), ()):
            if digest == _digest(stored) and (number, seq) not in self.found_rows:
                self.found_rows.add((number, seq))
                break  # one record stands for one row
        self.found_witnesses.update(self.seen_in(stored.place, headers))

    def seen_in(self, place: TopicPartition, headers: Mapping[str, bytes]) -> Iterator[Witness]:
        for names in {witness.known_by() for witness in self.witnesses.values()}:
            said = tuple((name, headers.get(name, b"")) for name in names)
            if (place, said) in self.witnesses:
                yield self.witnesses[place, said]


class Adopting:
    """One adoption, with every instance of the group stopped."""

    def __init__(
        self,
        group: str,
        topics: tuple[str, ...],
        settings: Settings,
        log: Log,
        store: Store[Unit],
        witnesses: Iterable[Witness],
    ) -> None:
        self._group, self._topics = group, topics
        self._settings, self._log, self._store = settings, log, store
        self._wanted = _Wanted(witnesses={(each.place, each.headers): each for each in witnesses})
        self._firsts: dict[str, dict[int, int]] = {}

    def run(self) -> None:
        """1. Nobody else is in the group; which numbers are forgotten. 2. The store's positions are
        inside the log. 3. How far each outbox was published. 4. It is the right log. 5. Nobody else
        is in the group, and nobody was meanwhile; write positions and cursors, in one commit.

        Raises WrongStore, PositionOutsideLog, Misconfigured.
        """
        with self._alone() as (_, forgotten):
            if not forgotten:
                raise Misconfigured(
                    f"the log knows where every partition of the {self._group} stands: there is "
                    "nothing to adopt"
                )
        # Reading the log may take longer than a member may be silent.
        self._check_positions(forgotten)
        rows = {number: list(self._pending(number)) for number in forgotten}
        self._search(rows)
        cursors = {number: self._cursor(number, rows[number]) for number in forgotten}
        self._check_witnesses(cursors, rows)
        with self._alone() as (member, still_forgotten):
            if still_forgotten != forgotten:
                raise Misconfigured(f"a {self._group} ran meanwhile: stop every one of them first")
            relay = self._relay(member)
            for number in range(self._settings.partitions):
                if number not in cursors:
                    relay.take_up(number)
            relay.adopt(cursors)
            self._write(member, relay)
        waiting = sum(self._store.last_seq(number) - through for number, through in cursors.items())
        print(json.dumps({"adopted": len(cursors), "to_publish": waiting}))
        Journal("adopting").info("adopting.done", group=self._group, numbers=len(cursors))

    @contextmanager
    def _alone(self) -> Iterator[tuple[Member, list[int]]]:
        """A member that owns every number, and the numbers of which the log knows nothing."""
        everything = frozenset(range(self._settings.partitions))
        lease = self._settings.loop.lease_seconds
        member = self._log.join(self._group, self._topics, lease_seconds=lease)
        member.pause(everything)
        until = time.monotonic() + 2 * lease + SPARE_SECONDS
        try:
            while member.owned() != everything:
                member.poll(0.2, 1)
                if time.monotonic() > until:
                    raise Misconfigured(f"a {self._group} runs: stop every one of them first")
            places = [TopicPartition(self._topics[0], number) for number in sorted(everything)]
            saved = member.committed(places)
            known = {place for place in places if place in saved and saved[place].metadata}
            yield member, [place.partition for place in places if place not in known]
        finally:
            member.close()

    def _write(self, member: Member, relay: Relay) -> None:
        """While the group settles it refuses a commit, which then wrote nothing: it is repeated."""
        until = time.monotonic() + SPARE_SECONDS
        while True:
            membership = member.poll(0.2, 1).membership
            try:
                return relay.follow(membership, at_once=True)
            except Fenced:
                if time.monotonic() > until:
                    raise

    def _relay(self, member: Member) -> Relay:
        metrics = Metrics(self._group)
        return Relay(self._group, self._topics, member, self._store, FailPoints(""), metrics)

    def _check_positions(self, numbers: Iterable[int]) -> None:
        ends = {topic: self._log.end_offsets(topic) for topic in self._topics}
        for number in numbers:
            for place, next_offset in self._store.positions(number).items():
                first, end = self._first(place), ends[place.topic][number]
                if not first <= next_offset <= end:
                    raise PositionOutsideLog(
                        f"{self._group}: the store reads on at {next_offset} of {place.topic}"
                        f"[{number}], the log has {first} to {end}: it is another log, or the "
                        "group was stopped for longer than the topic is kept"
                    )

    def _pending(self, number: int) -> Iterator[tuple[int, Record]]:
        after = 0
        while found := self._store.pending(number, after, ROWS):
            yield from ((row.seq, row.record) for row in found)
            after = found[-1].seq

    def _search(self, rows: Mapping[int, Sequence[tuple[int, Record]]]) -> None:
        """Read every topic in question once, whole."""
        wanted = self._wanted
        for number, listed in rows.items():
            for seq, record in listed:
                key = (_place(record), dict(record.headers).get("ce_id"))
                wanted.rows[key].append((number, seq, _digest(record)))
        for topic in sorted(wanted.topics()):
            follower = self._log.follow(topic)
            ends = follower.end_offsets()
            try:
                while any(follower.next_offsets().get(n, 0) < end for n, end in ends.items()):
                    for stored in follower.read(timeout_seconds=0.05):
                        wanted.look(stored)
            finally:
                follower.close()

    def _cursor(self, number: int, rows: Sequence[tuple[int, Record]]) -> int:
        seen = [
            Row(seq, (number, seq) in self._wanted.found_rows, self._is_lasting(_place(record)))
            for seq, record in rows
        ]
        try:
            return published_through(self._store.last_seq(number), seen)
        except WrongStore as error:
            raise WrongStore(f"{self._group}: partition {number}: {error}") from error

    def _check_witnesses(
        self, cursors: Mapping[int, int], rows: Mapping[int, Sequence[tuple[int, Record]]]
    ) -> None:
        """What the store has said is there, or waits; and something at least is there."""
        wanted = self._wanted
        waiting = {
            witness
            for number, listed in rows.items()
            for seq, record in listed
            if seq > cursors[number]
            for witness in wanted.seen_in(_place(record), dict(record.headers))
        }
        for witness in wanted.witnesses.values():
            if witness in wanted.found_witnesses or witness in waiting:
                continue
            if self._is_lasting(witness.place):
                raise WrongStore(
                    f"{self._group}: the store has told something on {witness.place.topic}"
                    f"[{witness.place.partition}] that is not there: this log is another one, or "
                    "an older copy"
                )
        published = any(cursors.values())
        if published and not wanted.found_witnesses and not wanted.found_rows:
            raise WrongStore(
                f"{self._group}: nothing that the store has told can be found on this log, so "
                "nothing shows that it is the right one"
            )

    def _is_lasting(self, place: TopicPartition) -> bool:
        return place.topic not in COMPACTED and self._first(place) == 0

    def _first(self, place: TopicPartition) -> int:
        if place.topic not in self._firsts:
            self._firsts[place.topic] = self._log.first_offsets(place.topic)
        return self._firsts[place.topic][place.partition]


def _place(record: Record) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


def _digest(record: Record | Stored) -> bytes:
    said = repr((record.key, record.value, record.headers)).encode()
    return blake2b(said, digest_size=16).digest()
