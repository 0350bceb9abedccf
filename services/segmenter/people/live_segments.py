"""Which segments are live, in which version, and for whom of the owned partitions.

A segment that is new or edited is seeded partition by partition and without a word: nobody entered
or left, the rule did. What a partition was seeded with stands in the store beside its people, so
that its next owner goes on with it. One that cannot be asked is not live, and holds up no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from services.segmenter.people import samples
from services.segmenter.people.ownership import Owned
from services.segmenter.people.rule_facts import Window, facts_of, windows_of
from services.segmenter.people.rules_sql import RuleUnusable, compile_rule
from shared.clock import to_ms
from shared.programme.definitions import Segment
from shared.programme.rules import Rule
from shared.store.database import Database

_STANDS: Final = "select segment, partition, version, seeded_at from live_segment where {within}"
_STAND: Final = """
    insert into live_segment(segment, partition, version, seeded_at) values (?, ?, ?, ?)
    on conflict (segment, partition) do update set
        version = excluded.version, seeded_at = excluded.seeded_at"""
_FORGET: Final = "delete from live_segment where segment = ? and {within}"
_EMPTY: Final = "delete from membership where segment = ? and {within}"
_SEED: Final = """
    insert into membership(segment, partition, supporter_id, since)
    select ?, s.partition, s.supporter_id, ? from supporter s where {s_within} and {condition}
    on conflict do nothing"""
# `except`, not `not in`: PostgreSQL would look through a long list anew for each member.
_UNSEED: Final = """
    delete from membership where segment = ? and {within} and supporter_id in (
        select m.supporter_id from membership m where m.segment = ? and {m_within}
        except select s.supporter_id from supporter s where {s_within} and {condition})"""


@dataclass(frozen=True, slots=True)
class Live:
    """A segment, with what its rule looks at."""

    name: str
    version: str
    rule: Rule
    facts: AbstractSet[str]
    windows: AbstractSet[Window]


class Stand(NamedTuple):
    """Which version of a segment the people of a partition were seeded with, and when."""

    version: str
    seeded_at: int


class Standing(NamedTuple):
    """A segment, and the partitions where it stands as it is wanted, each with when it was seeded
    there.
    """

    live: Live
    seeded_at: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Seeding:
    """What there is to do: seed the segment among the people of these partitions, or, with no
    `live`, forget that it ever was there.
    """

    name: str
    live: Live | None
    partitions: AbstractSet[int]


class LiveSegments:
    """The live segments of an instance: what is wanted, and what stands. Memory; the caller's
    units write. `partitions` is P.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._wanted: dict[str, Live] = {}
        self._stands: dict[int, dict[str, Stand]] = {}
        self._standing: list[Standing] | None = None

    def use(self, segments: Iterable[Segment], as_of: datetime) -> list[str]:
        """Want exactly these. Returns a sentence for each that cannot be used."""
        before, self._wanted, self._standing = self._wanted, {}, None
        unusable = []
        for segment in sorted(segments, key=lambda segment: segment.name):
            version = segment.version()
            known = before.get(segment.name)
            if known is None or known.version != version:
                try:
                    known = _live(segment, version, as_of)
                except RuleUnusable as error:
                    unusable.append(f"segment {segment.name}: {error}")
                    continue
            self._wanted[segment.name] = known
        return unusable

    def take(self, database: Database, partitions: AbstractSet[int]) -> None:
        """Read what these partitions, which are owned now, were seeded with."""
        self._standing = None
        for partition in partitions:
            self._stands[partition] = {}
        sql = _STANDS.format(within=Owned(partitions, self._partitions).sql("partition"))
        for name, partition, version, seeded_at in database.execute(sql):
            self._stands[partition][name] = Stand(version, seeded_at)

    def lose(self, partitions: AbstractSet[int]) -> None:
        """These partitions are owned no more."""
        self._standing = None
        for partition in partitions:
            self._stands.pop(partition, None)

    def behind(self, among: AbstractSet[int]) -> list[Seeding]:
        """What there is to do until all that is wanted, and nothing else, stands in those of the
        owned partitions.
        """
        names = self._wanted.keys() | {
            name for partition in self._stands.keys() & among for name in self._stands[partition]
        }
        found = []
        for name in sorted(names):
            live = self._wanted.get(name)
            partitions = frozenset(
                partition
                for partition in self._stands.keys() & among
                if not self._right(partition, name, live)
            )
            if partitions:
                found.append(Seeding(name, live, partitions))
        return found

    def seed(self, database: Database, seeding: Seeding, as_of: datetime) -> None:
        """Write it; `seeded` when that is committed."""
        at, whose = to_ms(as_of), Owned(seeding.partitions, self._partitions)
        there = whose.sql("partition")
        if seeding.live is None:
            database.execute(_EMPTY.format(within=there), (seeding.name,))
            database.execute(_FORGET.format(within=there), (seeding.name,))
            return
        samples.teach(database)
        many = len(seeding.partitions) * 4 >= self._partitions
        condition = compile_rule(seeding.live.rule, as_of, "everyone" if many else "partition")
        texts = {
            "within": there, "m_within": whose.sql("m.partition"),
            "s_within": whose.sql("s.partition"),
            "condition": condition.sql,
        }  # fmt: skip
        database.execute(
            _UNSEED.format(**texts), (seeding.name, seeding.name, *condition.parameters)
        )
        database.execute(_SEED.format(**texts), (seeding.name, at, *condition.parameters))
        version = seeding.live.version
        database.executemany(
            _STAND, [(seeding.name, p, version, at) for p in sorted(seeding.partitions)]
        )

    def seeded(self, seeding: Seeding, as_of: datetime) -> None:
        """It is committed."""
        self._standing = None
        for partition in seeding.partitions & self._stands.keys():
            if seeding.live is None:
                self._stands[partition].pop(seeding.name, None)
            else:
                self._stands[partition][seeding.name] = Stand(seeding.live.version, to_ms(as_of))

    def standing(self) -> list[Standing]:
        """All that is wanted, by name."""
        if self._standing is None:
            self._standing = [
                Standing(
                    live,
                    {
                        partition: stands[name].seeded_at
                        for partition, stands in self._stands.items()
                        if self._right(partition, name, live)
                    },
                )
                for name, live in self._wanted.items()
            ]
        return self._standing

    def _right(self, partition: int, name: str, live: Live | None) -> bool:
        stand = self._stands[partition].get(name)
        return (stand and stand.version) == (live and live.version)


def _live(segment: Segment, version: str, as_of: datetime) -> Live:
    """Raises RuleUnusable."""
    for asked in ("everyone", "partition", "given"):
        compile_rule(segment.rule, as_of, asked)
    rule = segment.rule
    return Live(segment.name, version, rule, facts_of(rule), windows_of(rule))
