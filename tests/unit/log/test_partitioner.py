"""The number of a key is the one that Kafka's own clients would choose."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as of_the_client

from shared.log.partitioner import murmur2, partition_of


@given(st.binary(max_size=80))
def test_the_hash_is_that_of_kafkas_clients(key: bytes) -> None:
    assert murmur2(key) == of_the_client(key) & 0xFFFFFFFF


@given(st.text(max_size=40), st.integers(1, 255))
def test_the_number_is_one_of_those_there_are(key: str, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
