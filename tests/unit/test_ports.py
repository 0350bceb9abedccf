"""Free ports for programs: different, free, and out of reach of outgoing connections."""

from __future__ import annotations

import socket

import pytest

from deploy import ports
from deploy.ports import free_port, free_ports


def test_free_ports_differ_and_can_be_bound() -> None:
    found = free_ports(4)
    assert len(set(found)) == 4
    for port in found:
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))


def test_none_is_given_out_twice_or_to_an_outgoing_connection() -> None:
    found = [free_port() for _ in range(200)]
    assert len(set(found)) == 200
    assert all(1024 < port < 32_768 for port in found)


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, free = free_ports(2)
    monkeypatch.setattr(ports, "_turns", iter([busy - ports._FIRST, free - ports._FIRST]))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", busy))
        assert free_port() == free


def test_too_few_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_PORTS", 3)
    with pytest.raises(OSError, match="no 5 free ports from 20000 to 20002"):
        free_ports(5)
