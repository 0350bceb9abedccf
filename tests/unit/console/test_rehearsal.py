"""The port of a rehearsal's sandbox: free, and out of reach of outgoing connections."""

from __future__ import annotations

import socket

import pytest

from deploy.ports import free_ports
from services.console import rehearsal
from services.console.instances import HOST
from services.console.rehearsal import PORTS, free_port


def test_it_can_be_bound_and_no_outgoing_connection_takes_it() -> None:
    assert PORTS.stop <= 32_768
    port = free_port()
    assert port in PORTS
    with socket.socket() as one:
        one.bind((HOST, port))


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, free = free_ports(2)
    monkeypatch.setattr(rehearsal.random, "sample", lambda _ports, _number: [busy, free])
    with socket.socket() as taken:
        taken.bind((HOST, busy))
        assert free_port() == free


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    [busy] = free_ports(1)
    monkeypatch.setattr(rehearsal, "PORTS", range(busy, busy + 1))
    with socket.socket() as taken:
        taken.bind((HOST, busy))
        with pytest.raises(OSError, match=f"no free port from {busy} to {busy}"):
            free_port()
