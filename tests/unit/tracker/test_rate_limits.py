"""Who is counted as one client, how much it may ask, and who is never limited."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.client_addresses import ClientAddresses
from services.tracker.rate_limits import Allowances, is_spared
from shared.errors import Misconfigured

PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48")


def scope(peer: str | None, *forwarded: str) -> dict[str, Any]:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", one.encode()) for one in forwarded)]
    return {"client": (peer, 40_000) if peer is not None else None, "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        # What a stranger says of itself is not believed.
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        # Only the last that no proxy of ours wrote: what stands before it anybody may have sent.
        ("10.1.2.3", ["192.0.2.66, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", ["192.0.2.66, 10.9.9.9 , 198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["10.4.4.4"], None),
        ("10.1.2.3", ["nonsense"], None),
        ("10.1.2.3", [], None),
        ("127.0.0.1", ["198.51.100.1"], None),
        ("::1", [], None),
        ("192.168.7.7", ["198.51.100.1"], None),
        ("fe80::1%eth0", [], None),
        (None, [], None),
        ("::ffff:203.0.113.5", [], "203.0.113.5"),
        ("::ffff:10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("2001:db8:ffff:1::9", ["2001:db8:7:8::1"], "2001:db8:7:8::/64"),
    ],
)
def test_the_client_is_told(peer: str | None, forwarded: list[str], client: str | None) -> None:
    assert ClientAddresses(PROXIES).client_of(scope(peer, *forwarded)) == client


def test_a_proxy_on_this_machine_is_believed_when_it_is_named() -> None:
    addresses = ClientAddresses(["127.0.0.0/8"])
    assert addresses.client_of(scope("127.0.0.1", "198.51.100.1")) == "198.51.100.1"


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(Misconfigured, match=r"TRUSTED_PROXIES: 'here' is no address"):
        ClientAddresses(["here"])


def test_a_burst_is_let_through_and_then_so_many_a_second() -> None:
    allowances = Allowances(rate=2.0, burst=5.0)
    assert [allowances.take("a", 100.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert allowances.take("b", 100.0), "another client's"
    assert [allowances.take("a", 101.0) for _ in range(3)] == [True, True, False]
    assert [allowances.take("a", 1_000.0) for _ in range(6)] == [True] * 5 + [False]


@given(st.lists(st.floats(0, 10), max_size=60), st.floats(0.5, 20), st.integers(1, 20))
def test_no_client_gets_more_than_its_burst_and_what_has_filled_up(
    moments: list[float], rate: float, burst: int
) -> None:
    allowances = Allowances(rate, burst)
    taken = sum(allowances.take("a", 50 + moment) for moment in sorted(moments))
    spread = max(moments) - min(moments) if moments else 0.0
    assert taken <= burst + spread * rate + 1e-6
    assert taken >= min(len(moments), burst)


def test_clients_beyond_the_bound_are_forgotten_oldest_first() -> None:
    allowances = Allowances(rate=0.001, burst=1.0, most_clients=2)
    assert allowances.take("a", 0.0)
    assert allowances.take("b", 0.0)
    assert not allowances.take("a", 0.0)
    assert allowances.take("c", 0.0)
    assert allowances.take("a", 0.0), "forgotten, and so allowed again"


@pytest.mark.parametrize(
    ("method", "path", "spared"),
    [
        ("POST", "/u/token", True), ("POST", "/sns", True), ("GET", "/u/token", False),
        ("POST", "/actions", False), ("GET", "/o/token.gif", False), ("POST", "/sns/x", False),
        ("GET", "/sns", False),
    ],
)  # fmt: skip
def test_the_one_click_button_and_sns_are_never_limited(
    method: str, path: str, spared: bool
) -> None:
    assert is_spared(method, path) is spared
