"""Who asks: the address of the client, also behind proxies, and what is counted as one client.

`X-Forwarded-For` is believed only as far as it was written by proxies that the settings name, since
anybody can send one. Addresses stay in memory, for a while; none is ever written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.types import Scope

from shared.errors import Misconfigured
from shared.settings import PREFIX

IPV6_PREFIX: Final = 64
"""What one customer of a provider has: one client has many addresses in it."""
REMEMBERED: Final = 16_384
MOST_PROXIES: Final = 8

_PRIVATE: Final = [
    ip_network(text)
    for text in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
        "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10",
    )
]  # fmt: skip
"""Loopback, private use, shared by a provider, of a link (RFC 6890, RFC 4193)."""


class ClientAddresses:
    """Reads them off requests."""

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        """Raises Misconfigured when one is no network."""
        self._trusted = [_network(text) for text in trusted_proxies]
        self._is_trusted = lru_cache(maxsize=REMEMBERED)(self._look_up)

    def client_of(self, scope: Scope) -> str | None:
        """The client's address, or the network of an IPv6 one; None when it cannot be told.

        It cannot where a trusted proxy does not say for whom it asks, or where who asks is on a
        private network: it may be a proxy for all the world that nobody has named.
        """
        peer = scope.get("client")
        address = str(peer[0]) if peer else ""
        if not self._is_trusted(address):
            return _client(address)
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                return self._forwarded(value)
        return None

    def _forwarded(self, value: bytes) -> str | None:
        """The last address that no trusted proxy has."""
        for part in reversed(value.decode("latin-1").split(",")[-MOST_PROXIES:]):
            address = part.strip().strip('"')
            if not self._is_trusted(address):
                return _client(address)
        return None

    def _look_up(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._trusted)


@lru_cache(maxsize=REMEMBERED)
def _client(address: str) -> str | None:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found in network for network in _PRIVATE):
        return None
    if isinstance(found, IPv6Address):
        return str(ip_network((found, IPV6_PREFIX), strict=False))
    return str(found)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise Misconfigured(
            f"{PREFIX}TRACKER__TRUSTED_PROXIES: {text!r} is no address or network "
            f"(10.0.0.0/8, 2001:db8::/32): {error}"
        ) from error
