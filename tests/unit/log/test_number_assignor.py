"""The assignor as kafka-python is given it: numbers stay whole, and move in two rounds."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from shared.log.kafka.assignor import assignor_for, owners_of, protocol_name, stage

TOPICS = ("one", "two", "three")
PARTITIONS = 24


class Member:
    """A member of a group that is played through without brokers."""

    def __init__(self, name: str) -> None:
        self.name, self.generation, self.numbers = name, -1, frozenset[int]()
        self.assignor = assignor_for(TOPICS, PARTITIONS, lambda: (self.generation, self.numbers))()

    def said(self) -> Any:
        metadata = self.assignor.metadata(TOPICS)
        decoded = ConsumerProtocolSubscription.decode(metadata.encode())
        return SimpleNamespace(member_id=self.name, metadata=decoded)


def rebalance(members: list[Member], generation: int) -> dict[str, frozenset[int]]:
    """One round; each member owns afterwards what it was given. Numbers by member."""
    given = members[0].assignor.assign(None, [member.said() for member in members])
    before = {member.name: member.numbers for member in members}
    for member in members:
        places = given[member.name].partitions()
        by_topic = {t: frozenset(p.partition for p in places if p.topic == t) for t in TOPICS}
        assert len(set(by_topic.values())) == 1, "the same numbers of every topic"
        member.numbers, member.generation = by_topic[TOPICS[0]], generation
    for member in members:
        for other in members:
            if member is not other:
                taken = member.numbers - before[member.name]
                assert not taken & before[other.name], "given before it was given up"
    return {member.name: member.numbers for member in members}


def test_a_thousand_joins_and_leaves_never_split_a_number() -> None:
    dice = random.Random(7)
    members = [Member("m0")]
    generation = 0
    for step in range(1_000):
        if len(members) == 1 or (dice.random() < 0.5 and len(members) < 8):
            members.append(Member(f"m{step + 1}"))
        else:
            members.pop(dice.randrange(len(members)))
        for _ in range(2):
            generation += 1
            owned = rebalance(members, generation)
        numbers = sorted(number for each in owned.values() for number in each)
        assert numbers == list(range(PARTITIONS)), "all numbers, each once"
        loads = [len(each) for each in owned.values()]
        assert max(loads) - min(loads) <= 1


def test_of_two_that_claim_a_number_the_newer_generation_is_right() -> None:
    claims = [("frozen", 4, frozenset({1, 2})), ("alive", 7, frozenset({2, 3}))]
    assert owners_of(claims) == {1: "frozen", 2: "alive", 3: "alive"}


def test_what_moves_is_given_to_nobody_in_the_first_round() -> None:
    assert stage({0: "a", 1: "b", 2: "b"}, {0: "a", 1: "a"}) == {"a": [0], "b": [2]}


def test_members_that_read_other_topics_speak_another_protocol() -> None:
    assert protocol_name(["a", "b"]) == protocol_name(["b", "a"]) != protocol_name(["a"])
