"""The rate of the account, leased by several senders from one row in PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.sender import pacing
from services.sender.pace import EXPIRY_SECONDS, SharedPace
from services.sender.pacing import BURST_SECONDS, Bucket
from services.sender.schema import LEDGER_DDL
from shared.clock import FixedClock, SystemClock
from shared.store.postgres.connection import PostgresDatabase
from shared.store.postgres.store import PostgresStore

RATE = 200.0
NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(request: pytest.FixtureRequest) -> Iterator[PostgresStore]:
    server = request.getfixturevalue("postgres_server")
    made = PostgresStore(server.dsn(), "sender", LEDGER_DDL)
    yield made
    made.close()


@pytest.fixture
def database(store: PostgresStore) -> PostgresDatabase:
    """A ledger whose row of the rate is as new."""
    store.connection.execute("delete from pace")
    return store.connection


def set_row(database: PostgresDatabase, bucket: Bucket, age: float) -> None:
    """The row as this bucket, last looked at so many seconds ago by the server's clock."""
    database.execute(
        "insert into pace select 1, ?, ?, now - ?::float8, now - ?::float8 from"
        " (select extract(epoch from clock_timestamp())::float8 as now) clock"
        " on conflict (account) do update set rate = excluded.rate, tokens = excluded.tokens,"
        " at = excluded.at, slowed_at = excluded.slowed_at",
        (bucket.rate, bucket.tokens, age, age + bucket.at - bucket.slowed_at),
    )


def row(database: PostgresDatabase) -> tuple[float, float]:
    ((rate, tokens),) = database.execute("select rate, tokens from pace")
    return rate, tokens


buckets = st.builds(
    Bucket,
    ceiling=st.just(RATE),
    rate=st.floats(1, RATE),
    tokens=st.floats(0, RATE * BURST_SECONDS),
    at=st.just(1_000.0),
    slowed_at=st.sampled_from([1_000.0, 999.9, 990.0]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(buckets, st.floats(0, 5), st.integers(0, 64))
def test_a_lease_is_what_the_bucket_would_give(
    database: PostgresDatabase, bucket: Bucket, age: float, wanted: int
) -> None:
    """Within what a moment between the two clocks can make of it."""
    pace = SharedPace(database, lambda: RATE, SystemClock())
    set_row(database, bucket, age)
    now, granted = pacing.take(bucket, wanted, bucket.at + age)
    later, granted_later = pacing.take(bucket, wanted, bucket.at + age + 0.5)

    assert granted <= pace.take(wanted) <= granted_later

    rate, tokens = row(database)
    assert now.rate - 1e-6 <= rate <= later.rate + 1e-6
    assert tokens <= RATE * BURST_SECONDS + 1


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(buckets, st.sampled_from([0.0, 1.0, 3.0]))
def test_too_fast_does_to_the_row_what_it_does_to_the_bucket(
    database: PostgresDatabase, bucket: Bucket, age: float
) -> None:
    pace = SharedPace(database, lambda: RATE, SystemClock())
    set_row(database, bucket, age)
    slowed = pacing.slow_down(bucket, bucket.at + age)

    pace.slow_down()
    pace.take(0)

    rate, tokens = row(database)
    assert slowed.rate - 1e-6 <= rate <= slowed.rate + RATE * pacing.RECOVERY_PER_SECOND
    assert tokens <= rate


@pytest.mark.parametrize("senders", [1, 4])
def test_all_senders_together_keep_to_the_rate(
    store: PostgresStore, database: PostgresDatabase, senders: int
) -> None:
    """They ask as fast as they can. What was granted when is told by the server's clock."""
    gone: list[tuple[float, int]] = []
    begun = time.monotonic()

    def ask(mine: PostgresDatabase) -> None:
        pace = SharedPace(mine, lambda: RATE, SystemClock())
        while time.monotonic() < begun + 2:
            before = time.monotonic()
            if granted := pace.take(16):
                gone.append((before, granted))

    siblings = [store.sibling() for _ in range(senders)]
    threads = [threading.Thread(target=ask, args=(one.connection,)) for one in siblings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    for one in siblings:
        one.close()

    total = sum(number for _, number in gone)
    assert total <= RATE * seconds + RATE * BURST_SECONDS
    assert total >= RATE * 2 * 0.8, "and nothing of it is wasted"


def test_what_is_left_of_a_grant_is_used_first_and_expires(database: PostgresDatabase) -> None:
    clock = FixedClock(NOW)
    pace = SharedPace(database, lambda: RATE, clock)
    assert pace.take(10) == 10
    pace.give_back(6)
    _, tokens = row(database)
    assert pace.take(4) == 4
    assert pace.take(16) == 2
    assert row(database)[1] == tokens, "nothing was asked of the row"
    pace.give_back(2)
    clock.advance(EXPIRY_SECONDS)
    assert pace.take(1) == 1
    assert row(database)[1] != tokens
    assert pace.take(0) == 0


def test_one_sender_is_told_too_fast_and_all_slow_down(
    store: PostgresStore, database: PostgresDatabase
) -> None:
    sibling = store.sibling()
    one, other = (
        SharedPace(d, lambda: RATE, SystemClock()) for d in (database, sibling.connection)
    )
    assert other.take(8) == 8
    for _ in range(16):
        one.slow_down()
    assert one.take(16) <= 5
    assert row(database)[0] <= RATE * (pacing.DECREASE + 0.05)
    assert other.take(16) <= 10
    sibling.close()


def test_a_new_ceiling_counts_at_once(database: PostgresDatabase) -> None:
    SharedPace(database, lambda: RATE, SystemClock()).take(0)
    SharedPace(database, lambda: 10.0, SystemClock()).take(0)
    rate, tokens = row(database)
    assert rate <= 10.0
    assert tokens <= 10.0 * BURST_SECONDS
