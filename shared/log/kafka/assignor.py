"""Assignment by partition number, as kafka-python wants it told.

The pure function of `shared.log.assignor` decides who owns which number; here its result is given
to every topic alike, in the two steps of the cooperative protocol: a number that moves is first
taken from its owner, and given to the new one in the round that follows. (kafka-python's own
cooperative-sticky lets partition p of two topics go to two members.)
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor, RebalanceProtocol
from kafka.protocol.consumer.metadata import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
)

from shared.log.assignor import assign

OWNED_VERSION: Final = 2
"""Version of the subscription on the wire that names owned partitions and their generation."""


def protocol_name(topics: Iterable[str]) -> str:
    """Members that read other topics speak another protocol, so that the broker refuses them."""
    digest = hashlib.sha256("\n".join(sorted(topics)).encode()).hexdigest()
    return f"doorstep-numbers-{digest[:12]}"


def stage(wanted: Mapping[int, str], owners: Mapping[int, str]) -> dict[str, list[int]]:
    """Member to the numbers that it may own in this round; those that move go to nobody yet."""
    staged: defaultdict[str, list[int]] = defaultdict(list)
    for number, member in sorted(wanted.items()):
        if owners.get(number, member) == member:
            staged[member].append(number)
    return dict(staged)


def owners_of(claims: Sequence[tuple[str, int, frozenset[int]]]) -> dict[int, str]:
    """Number to its owner, from (member, generation, numbers it says it owns).

    Of two that claim a number, the one of the newer generation is right; the other was frozen.
    """
    found: dict[int, tuple[int, str]] = {}
    for member, generation, numbers in claims:
        for number in numbers:
            if number not in found or found[number] < (generation, member):
                found[number] = (generation, member)
    return {number: member for number, (_, member) in found.items()}


def assignor_for(
    topics: Sequence[str], partitions: int, owned: Callable[[], tuple[int, frozenset[int]]]
) -> type[AbstractPartitionAssignor]:
    """The assignor of one member. `owned`: its generation and the numbers it owns now."""

    class NumberAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # untyped base
        name = protocol_name(topics)
        version = OWNED_VERSION

        def supported_protocols(self) -> list[RebalanceProtocol]:
            return [RebalanceProtocol.COOPERATIVE]

        def metadata(self, subscribed: Iterable[str]) -> Any:
            generation, numbers = owned()
            place = ConsumerProtocolSubscription.TopicPartition
            return ConsumerProtocolSubscription(
                version=self.version,
                topics=sorted(subscribed),
                user_data=b"",
                owned_partitions=[
                    place(topic=topic, partitions=sorted(numbers)) for topic in sorted(topics)
                ],
                generation_id=generation,
                rack_id=None,
            )

        def assign(self, _cluster: Any, members: Sequence[Any]) -> dict[str, Any]:
            owners = owners_of([(m.member_id, *_claimed(m.metadata)) for m in members])
            ids = [member.member_id for member in members]
            staged = stage(assign(ids, owners, partitions), owners)
            return {
                member: ConsumerProtocolAssignment(
                    1, [(topic, staged.get(member, [])) for topic in sorted(topics)], b""
                )
                for member in ids
            }

        def on_assignment(self, assignment: Any, generation: int) -> None:
            """Nothing to remember: the member knows what it owns."""

    return NumberAssignor


def _claimed(metadata: Any) -> tuple[int, frozenset[int]]:
    numbers: set[int] = set()
    for place in getattr(metadata, "owned_partitions", None) or ():
        numbers.update(place.partitions)
    return int(getattr(metadata, "generation_id", -1)), frozenset(numbers)
