"""What the sender's metrics say to whoever watches it."""

from __future__ import annotations

import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import inf
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.sender.gateway import Verdict
from tests.integration.sender.audience import Person, people
from tests.integration.sender.processes import until
from tests.integration.sender.station import Station


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("figures"), rate=100) as running:
        running.start_sender().wait_for_line("loop.ownership")
        until(lambda: listens(running), "its figures to be there")
        yield running


def listens(station: Station) -> bool:
    try:
        return figure(station, "doorstep_partitions_owned") is not None
    except OSError:
        return False


def figure(station: Station, name: str, **labels: str) -> float | None:
    """A sample of the sender's `/metrics`."""
    address = f"http://127.0.0.1:{station.settings['sender__port']}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and {**sample.labels, **labels} == sample.labels:
                return float(sample.value)
    return None


def test_counters_begin_at_nought(station: Station) -> None:
    assert figure(station, "doorstep_mail_events_total", kind="complained") is not None
    assert figure(station, "doorstep_outcomes_total", state="expired") is not None
    for topic in ("messages", "events"):
        assert figure(station, "doorstep_dead_letters_total", topic=topic) == 0
    for verdict in get_args(Verdict):
        assert figure(station, "doorstep_attempts_total", answer=verdict) == 0
    assert figure(station, "doorstep_loop_retries_total", reason="unavailable") is not None
    assert figure(station, "doorstep_rebalances_total", kind="lost") == 0


def test_what_ses_says_of_mails_is_counted_by_kind(station: Station) -> None:
    audience = [
        Person(str(uuid.uuid4()), address)
        for address in ("ada@example.org", "bo+bounce@example.org", "cy+complaint@example.org")
    ]
    station.feed("fates", audience)
    station.wait_until_closed("fates", len(audience))
    for kind, number in {"bounced": 1, "complained": 1, "delivered": 2, "soft_bounced": 0}.items():
        until(
            lambda kind=kind, number=number: (
                figure(station, "doorstep_mail_events_total", kind=kind) == number
            ),
            f"{number} {kind}",
        )


def test_the_time_to_spare_is_known_also_of_a_paused_send(station: Station) -> None:
    assert figure(station, "doorstep_deadline_slack_seconds") == inf
    station.order("paused", paused=True)
    station.wait_until_ordered()
    station.feed("paused", people(100, "paused"), deadline=datetime.now(UTC) + timedelta(hours=1))
    until(
        lambda: 3_500 < (figure(station, "doorstep_deadline_slack_seconds") or 0) < 3_600,
        "an hour less the margin and a second for a hundred calls",
    )
    station.order("paused", cancelled=True)
    until(lambda: figure(station, "doorstep_deadline_slack_seconds") == inf, "nothing waits")
