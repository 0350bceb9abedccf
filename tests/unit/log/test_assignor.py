"""The assignor: whole, balanced, sticky, and never a split number."""

from __future__ import annotations

import random
import warnings

from hypothesis import given
from hypothesis import strategies as st

from shared.log.assignor import assign
from shared.log.partitioner import murmur2, partition_of

MEMBERS = [f"m{n}" for n in range(9)]


def check(assignment: dict[int, str], members: list[str], partitions: int) -> None:
    if not members:
        assert assignment == {}
        return
    assert sorted(assignment) == list(range(partitions))
    loads = [list(assignment.values()).count(member) for member in members]
    assert sum(loads) == partitions
    assert max(loads) - min(loads) <= 1


@given(
    st.lists(st.sets(st.sampled_from(MEMBERS)), min_size=1, max_size=12),
    st.integers(min_value=1, max_value=48),
)
def test_every_number_has_one_owner_and_loads_differ_by_at_most_one(
    generations: list[set[str]], partitions: int
) -> None:
    previous: dict[int, str] = {}
    for members in generations:
        previous = assign(sorted(members), previous, partitions)
        check(previous, sorted(members), partitions)


def test_a_thousand_random_joins_and_leaves_never_split_a_number() -> None:
    """One number means one member for every topic, whatever has happened before."""
    dice = random.Random(20261122)
    members: set[str] = {"m0"}
    previous: dict[int, str] = {}
    for _ in range(1_000):
        if members and dice.random() < 0.5:
            members.discard(dice.choice(sorted(members)))
        else:
            members.add(dice.choice(MEMBERS))
        previous = assign(sorted(members), previous, 24)
        check(previous, sorted(members), 24)


@given(st.sets(st.sampled_from(MEMBERS), min_size=2), st.integers(min_value=9, max_value=48))
def test_a_member_that_leaves_moves_only_its_own_numbers(
    members: set[str], partitions: int
) -> None:
    before = assign(sorted(members), {}, partitions)
    gone = min(members)
    after = assign(sorted(members - {gone}), before, partitions)
    assert all(after[n] == before[n] for n in range(partitions) if before[n] != gone)


@given(st.sets(st.sampled_from(MEMBERS), min_size=1), st.integers(min_value=1, max_value=48))
def test_the_same_members_keep_what_they_have(members: set[str], partitions: int) -> None:
    before = assign(sorted(members), {}, partitions)
    assert assign(sorted(members), before, partitions) == before


def test_murmur2_is_the_hash_of_kafkas_clients() -> None:
    """Against kafka-python's own, so that a key sits in the same partition everywhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from kafka.partitioner.default import murmur2 as theirs

    dice = random.Random(1)
    for length in range(40):
        data = dice.randbytes(length)
        assert murmur2(data) == theirs(data) & 0xFFFFFFFF


@given(st.text(), st.integers(min_value=1, max_value=255))
def test_a_key_has_one_partition_within_range(key: str, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == partition_of(key, partitions)
