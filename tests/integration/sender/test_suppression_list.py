"""SES's own suppression list is read into `suppressions`, once, and read on from there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.sender.suppression_list import (
    PAGE_SECONDS,
    Known,
    Listed,
    Page,
    SuppressionListReading,
    WrongToken,
)
from shared.clock import FixedClock
from shared.log.record import Stored
from shared.observability.metrics import Metrics
from shared.store.port import Store, Unit
from shared.wire.cloudevents import decode
from shared.wire.suppressions import Suppression
from tests.contract.ses_sandbox_client import ses_client
from tests.integration.sender.audience import SECRET, people
from tests.integration.sender.processes import until
from tests.integration.sender.station import Body, Station
from tests.integration.sender.test_figures import figure

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
ADA, BOB, CYD, DEE = people(4, "listed")


class List:
    """SES's list in pages of two; what was asked of it."""

    def __init__(self, *listed: Listed) -> None:
        self.listed = list(listed)
        self.asked: list[tuple[datetime | None, str | None]] = []
        self.forgets = False

    def page(self, since: datetime | None, token: str | None) -> Page:
        self.asked.append((since, token))
        if token is not None and self.forgets:
            raise WrongToken
        wanted = [one for one in self.listed if since is None or one.at >= since]
        begin = int(token or 0)
        more = len(wanted) > begin + 2
        return Page(wanted[begin : begin + 2], str(begin + 2) if more else None)


@pytest.fixture
def store(ledger: Store[Unit]) -> Store[Unit]:
    ledger.take(3)
    return ledger


def listed(*addresses: str, reason: str = "BOUNCE") -> list[Listed]:
    return [Listed(each, reason, NOW + timedelta(seconds=n)) for n, each in enumerate(addresses)]


def told(store: Store[Unit]) -> list[tuple[str, str, str]]:
    """(subject, scope, reason) of what waits to be published."""
    found = []
    for row in store.pending(3, 0, 100):
        record = row.record
        stored = Stored(
            record.topic, record.partition, 0, record.key, record.value, record.headers, 0
        )
        data = decode(stored).data
        assert isinstance(data, Suppression)
        found.append((data.subject, data.scope, data.reason))
    return found


def reading(
    store: Store[Unit], ses: List, clock: FixedClock, known: Known | None = None
) -> SuppressionListReading:
    return SuppressionListReading(
        store, ses.page, lambda: {} if known is None else known, SECRET, 6, 3_600, clock,
        Metrics("x"),
    )  # fmt: skip


def test_page_after_page_slowly_then_only_what_is_new(store: Store[Unit]) -> None:
    ses, clock = List(*listed(ADA.address, BOB.address, CYD.address)), FixedClock(NOW)
    one, other = reading(store, ses, clock), reading(store, ses, clock)
    for _ in range(3):
        one.step()
        other.step()
    assert ses.asked == [(None, None)], "one of them, and not more often than SES bears"
    clock.advance(PAGE_SECONDS)
    other.step()
    one.step()
    assert ses.asked[1:] == [(None, "2")]
    assert told(store) == [
        (each.address_key, "everything", "hard_bounce") for each in (ADA, BOB, CYD)
    ]
    clock.advance(PAGE_SECONDS)
    one.step()
    assert len(ses.asked) == 2, "it is read to its end"

    ses.listed += [Listed(DEE.address, "COMPLAINT", NOW + timedelta(minutes=5))]
    clock.advance(3_600)
    known = {each.address_key: {"everything": "hard_bounce"} for each in (ADA, BOB, CYD)}
    reading(store, ses, clock, known).step()
    assert ses.asked[2:] == [(NOW + timedelta(seconds=2), None)], "from the newest on"
    assert told(store)[3:] == [(DEE.address_key, "everything", "complained")]


def test_who_is_suppressed_already_is_left_as_they_are(store: Store[Unit]) -> None:
    ses = List(*listed(ADA.address, "no address", BOB.address))
    known = {ADA.address_key: {"everything": "erased"}, BOB.address_key: {"topic:news": "x"}}
    clock = FixedClock(NOW)
    for _ in range(2):
        reading(store, ses, clock, known).step()
        clock.advance(PAGE_SECONDS)
    assert [subject for subject, _, _ in told(store)] == [BOB.address_key]


def test_a_token_that_ses_has_forgotten_begins_the_reading_anew(store: Store[Unit]) -> None:
    ses, clock = List(*listed(ADA.address, BOB.address, CYD.address)), FixedClock(NOW)
    reads = reading(store, ses, clock)
    reads.step()
    ses.forgets = True
    clock.advance(PAGE_SECONDS)
    reads.step()
    clock.advance(3_600)
    ses.forgets = False
    reads.step()
    assert ses.asked == [(None, None), (None, "2"), (None, None)]


def test_before_the_suppressions_are_read_and_without_a_partition_nothing_is_asked(
    store: Store[Unit],
) -> None:
    ses, clock = List(), FixedClock(NOW)
    early = SuppressionListReading(
        store, ses.page, lambda: None, SECRET, 6, 3_600, clock, Metrics("x")
    )
    early.step()
    never = SuppressionListReading(store, ses.page, dict, SECRET, 6, 0, clock, Metrics("x"))
    never.step()
    store.drop(3)
    reading(store, ses, clock).step()
    assert ses.asked == []


def test_who_is_on_the_list_of_ses_is_not_mailed(
    tmp_path_factory: pytest.TempPathFactory, body: Body
) -> None:
    with Station(tmp_path_factory.mktemp("list"), body=body, suppression_list_seconds=1) as station:
        with ses_client(station.sandbox.url) as ses:
            ses.put_suppressed_destination(EmailAddress=ADA.address, Reason="BOUNCE")
            ses.put_suppressed_destination(EmailAddress=BOB.address, Reason="COMPLAINT")
        station.start_sender().wait_for_line("sender.suppression_list")
        until(lambda: figure(station, "doorstep_suppressions_from_ses_total") == 2, "both")
        station.wait_until_ordered()

        station.feed("spring", [ADA, BOB, CYD])

        station.wait_for_states("spring", accepted=1, suppressed=2)
        reasons = {row["reason"] for row in station.rows("spring").values()}
        assert reasons == {None, "hard_bounce", "complained"}
        assert station.audit("spring")["balanced"]
