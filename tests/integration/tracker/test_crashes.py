"""Whatever was acknowledged is on `events` exactly once, wherever the tracker is killed."""

from __future__ import annotations

import signal
import threading
import uuid
from collections import Counter

import httpx
import pytest

from shared.observability.fail_points import COMMIT_POINTS
from tests.integration.tracker.running import ACTION_KEY, RunningTracker
from tests.unit.tracker.building import token

POINTS = [
    point for point in COMMIT_POINTS if point.startswith(("tracker.spool", "tracker.forward"))
]
Hit = tuple[str, str]


def hit(client: httpx.Client, url: str, number: int, acknowledged: list[Hit]) -> None:
    """One hit of a supporter of its own, written down once it is acknowledged."""
    supporter = str(uuid.uuid4())
    mark = token(supporter=supporter)
    match number % 4:
        case 0:
            kind, answer = "opened", client.get(f"{url}/o/{mark}.gif")
        case 1:
            kind, answer = "clicked", client.get(f"{url}/c/{mark}/0")
        case 2:
            one_click = {"List-Unsubscribe": "One-Click"}
            kind, answer = "unsubscribed", client.post(f"{url}/u/{mark}", data=one_click)
        case _:
            headers = {"Authorization": f"Bearer {ACTION_KEY}", "Idempotency-Key": supporter}
            body = {"action": "pledged", "token": mark}
            kind, answer = "acted", client.post(f"{url}/actions", json=body, headers=headers)
    assert answer.status_code in (200, 302), answer.text
    acknowledged.append((kind, supporter))


def hit_until_it_dies(url: str, acknowledged: list[Hit], most: int) -> None:
    """Eight clients at once, so that commits have several hits in them."""

    def run() -> None:
        with httpx.Client(timeout=30) as client:
            try:
                for number in range(most):
                    hit(client, url, number, acknowledged)
            except httpx.TransportError:
                return

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check_each_exactly_once(home: RunningTracker, acknowledged: list[Hit]) -> None:
    found = Counter((event.kind, event.supporter_id) for event in home.events())
    assert [one for one in acknowledged if found[one[0], one[1]] != 1] == []  # type: ignore[index]
    assert max(found.values(), default=0) <= 1
    ids = [one.id for one in home.records("events")]
    assert len(ids) == len(set(ids))
    stopped = {one.subject for one in home.suppressions()}
    assert {who for kind, who in acknowledged if kind == "unsubscribed"} <= stopped


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_commit_point_nothing_acknowledged_is_lost_or_doubled(
    home: RunningTracker, point: str, count: int
) -> None:
    acknowledged: list[Hit] = []
    home.start(fail_at=f"{point}:{count}").ready()
    hit_until_it_dies(home.url, acknowledged, most=2_000)
    assert home.ended() == -signal.SIGKILL
    home.start().ready()
    hit_until_it_dies(home.url, acknowledged, most=3)
    assert home.stop() == 0
    assert len(acknowledged) >= 24
    check_each_exactly_once(home, acknowledged)


def test_killed_again_and_again_nothing_acknowledged_is_lost_or_doubled(
    home: RunningTracker,
) -> None:
    acknowledged: list[Hit] = []
    for point, count in zip(POINTS, (7, 5, 3, 2), strict=True):
        home.start(fail_at=f"{point}:{count}").ready()
        hit_until_it_dies(home.url, acknowledged, most=2_000)
        assert home.ended() == -signal.SIGKILL
    home.start().ready()
    assert home.stop() == 0
    check_each_exactly_once(home, acknowledged)


def test_an_ordered_stop_forwards_what_is_in_the_spool(home: RunningTracker) -> None:
    acknowledged: list[Hit] = []
    home.start().ready()
    hit_until_it_dies(home.url, acknowledged, most=50)
    assert home.stop() == 0
    assert len(acknowledged) == 400
    check_each_exactly_once(home, acknowledged)
