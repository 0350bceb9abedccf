"""What a request may be at most, how often a client may ask, and what every answer says."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from services.tracker.connection import MOST_ADDRESS_BYTES, MOST_HEAD_BYTES
from services.tracker.security import DOCUMENT_HEADERS, SECURITY_HEADERS
from tests.integration.tracker.running import ACTION_KEY, RunningTracker, eventually, tracker_home
from tests.unit.tracker.building import ADA, BEN, token

CLIENT = "203.0.113.5"
ANOTHER = "2001:db8:77::5"
TRUSTING = {
    "DOORSTEP_TRACKER__TRUSTED_PROXIES": json.dumps(["127.0.0.0/8"]),
    "DOORSTEP_TRACKER__RATE_PER_ADDRESS": "0.001",
    "DOORSTEP_TRACKER__BURST_PER_ADDRESS": "3",
}


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTracker]:
    with tracker_home(tmp_path_factory.mktemp("tracker")) as running:
        yield running.start(DOORSTEP_TRACKER__MAX_BODY_BYTES="2048").ready()


def said_to(tracker: RunningTracker, request: bytes) -> bytes:
    """All that is answered until the connection is closed."""
    with socket.create_connection(("127.0.0.1", tracker.port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
        return answer


def get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: t.example", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


def check_headers(answer: bytes, wanted: dict[str, str]) -> None:
    head = answer.partition(b"\r\n\r\n")[0].decode().lower()
    for name, value in wanted.items():
        assert f"{name}: {value}".lower() in head


@pytest.mark.parametrize("length", [MOST_ADDRESS_BYTES, 4 * MOST_ADDRESS_BYTES, 600_000])
def test_an_address_that_is_too_long_is_refused(tracker: RunningTracker, length: int) -> None:
    answer = said_to(tracker, get("/o/" + "a" * length))
    assert answer.startswith((b"HTTP/1.1 414 ", b"HTTP/1.1 431 "))
    if length < MOST_HEAD_BYTES:
        assert answer.startswith(b"HTTP/1.1 414 ")
    check_headers(answer, DOCUMENT_HEADERS)


@pytest.mark.parametrize(
    "headers", [["X-A: " + "a" * MOST_HEAD_BYTES], [f"X-{n}: {n}" for n in range(3_000)]]
)
def test_a_head_that_is_too_large_is_refused(tracker: RunningTracker, headers: list[str]) -> None:
    answer = said_to(tracker, get(f"/o/{token()}.gif", *headers))
    assert answer.startswith(b"HTTP/1.1 431 ")
    check_headers(answer, DOCUMENT_HEADERS)


def test_a_header_without_an_end_is_refused_before_it_has_come(tracker: RunningTracker) -> None:
    with socket.create_connection(("127.0.0.1", tracker.port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-A: ")
        answer = b""
        connection.settimeout(0.05)
        for _ in range(400):
            try:
                connection.sendall(b"a" * 1_000)
                answer += connection.recv(65_536)
            except TimeoutError:
                continue
            except OSError:
                break
            if answer:
                break
        assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_head_of_the_largest_size_and_a_large_body_are_taken(tracker: RunningTracker) -> None:
    padding = "X-A: " + "a" * (MOST_HEAD_BYTES - 600)
    assert said_to(tracker, get(f"/o/{token()}.gif", padding)).startswith(b"HTTP/1.1 200 ")
    body = b"b" * 200_000
    request = (
        f"POST /u/{token(supporter=BEN)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"{padding}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    assert said_to(tracker, request + body).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/sns", "/actions"])
def test_a_body_that_is_too_large_is_refused(tracker: RunningTracker, path: str) -> None:
    headers = {"Authorization": f"Bearer {ACTION_KEY}", "Content-Type": "application/json"}
    answer = httpx.post(tracker.url + path, content=b"x" * 2_049, headers=headers)
    assert answer.status_code == 413
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_answer_has_the_security_headers(tracker: RunningTracker) -> None:
    mark = token()
    for method, path in (
        ("GET", f"/o/{mark}.gif"), ("GET", f"/c/{mark}/0"), ("POST", f"/o/{mark}.gif"),
        ("GET", "/o/forged.gif"), ("GET", f"/c/{mark}/99"), ("GET", f"/u/{mark}"),
        ("PUT", f"/u/{mark}"), ("GET", "/nothing"), ("POST", "/sns"), ("POST", "/actions"),
        ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"),
    ):  # fmt: skip
        answer = httpx.request(method, tracker.url + path)
        for name, value in SECURITY_HEADERS.items():
            assert value in answer.headers.get(name, ""), (method, path, name)
            assert len(answer.headers.get_list(name)) == 1, (method, path, name)
        if answer.headers.get("content-type") != "image/gif" and answer.status_code != 302:
            assert "default-src 'none'" in answer.headers["content-security-policy"], path
            assert answer.headers["x-frame-options"] == "DENY"
    check_headers(said_to(tracker, b"NO SUCH THING\r\n\r\n"), DOCUMENT_HEADERS)


def test_who_asks_too_often_is_told_so_and_nothing_of_it_is_recorded(home: RunningTracker) -> None:
    home.start(**TRUSTING).ready()
    path = f"{home.url}/o/{token()}.gif"
    said = [httpx.get(path, headers={"X-Forwarded-For": CLIENT}) for _ in range(6)]
    assert [answer.status_code for answer in said] == [200] * 3 + [429] * 3
    assert said[-1].headers["retry-after"] == "1"
    assert said[-1].headers["x-content-type-options"] == "nosniff"
    assert httpx.get(path, headers={"X-Forwarded-For": ANOTHER}).status_code == 200
    assert httpx.get(path).status_code == 200, "a proxy that does not say for whom"
    assert home.metric("doorstep_tracked_hits_refused_total", reason="rate") == 3
    for _ in range(20):
        answer = httpx.post(
            f"{home.url}/u/{token(supporter=BEN)}",
            content="List-Unsubscribe=One-Click", headers={"X-Forwarded-For": CLIENT},
        )  # fmt: skip
        assert answer.status_code == 200, "the one-click button is never limited"
        assert httpx.post(f"{home.url}/sns", headers={"X-Forwarded-For": CLIENT}).status_code == 400
    eventually(home.suppressions, "the withdrawal on the log")
    assert home.stop() == 0
    assert len(home.events("opened")) == 5


def test_no_address_and_no_token_stands_in_the_log(home: RunningTracker) -> None:
    home.start(DOORSTEP_LOG_LEVEL="debug", **TRUSTING).ready()
    mark, forged = token(), token(key=b"x" * 32)
    paths = [
        f"/o/{mark}.gif", f"/c/{mark}/0", f"/u/{mark}", f"/c/{forged}/0", f"/o/{forged}.gif",
        f"/c/{mark}/77", f"/x?d={mark}", "/o/" + mark * 60,
    ]  # fmt: skip
    for path in paths:
        httpx.get(home.url + path, headers={"X-Forwarded-For": CLIENT, "Referer": mark})
        httpx.post(home.url + path, headers={"X-Forwarded-For": ANOTHER}, content=mark)
    said_to(home, get(f"/o/{mark}.gif", "X-A: " + mark * 400, f"X-Forwarded-For: {CLIENT}"))
    said_to(home, f"GET /o/{mark}.gif HTTP/9\r\n\r\n".encode())
    httpx.post(
        f"{home.url}/actions",
        headers={"Authorization": f"Bearer {ACTION_KEY}", "Idempotency-Key": mark},
        json={"action": "pledged", "email": "ada@example.org", "token": forged},
    )
    assert home.stop() == 0
    said = "\n".join(map(str, home.said()))
    assert said
    for secret in (mark, mark[:30], forged, CLIENT, ANOTHER, "ada@example.org", ACTION_KEY, ADA):
        assert secret not in said
