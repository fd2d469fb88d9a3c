"""Which URLs may be fetched, and which addresses their names may lead to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")


class UrlError(ValueError):
    """A URL that is none, or is none of those that are fetched; the message names no address behind a name."""


class NotAllowedError(UrlError):
    """A URL whose host, port or address is not listed."""


@dataclass(frozen=True)
class _Rule:
    """One entry of the list: a name or a network, and the port, ``None`` for the scheme's own."""

    name: str
    network: Network | None
    port: int | None

    def has_port(self, parts: SplitResult) -> bool:
        """Whether this entry allows the port of a URL."""
        return port_of(parts) == (self.port or _DEFAULT_PORTS[parts.scheme])


class AllowList:
    """The hosts that images may come from.

    Args:
        text: entries with commas between: a name (``images.example.com``), an address or a network
            (``10.0.3.0/24``, ``2001:db8::/32``), each with ``:port`` where it is not the scheme's own
            (``[2001:db8::1]:8080``).

    Raises:
        ValueError: an entry that is none of these.
    """

    def __init__(self, text: str) -> None:
        self._rules = [_rule(entry.strip()) for entry in text.split(",") if entry.strip()]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def check(self, url: str) -> SplitResult:
        """Take a URL apart whose host and port are listed.

        Raises:
            UrlError: it is no http or https URL, or holds a user name.
            NotAllowedError: its host is not listed, or not with this port.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise UrlError(f"a URL can not be read: {error}") from None
        if parts.scheme not in _DEFAULT_PORTS or not host or any(ord(sign) <= 32 for sign in url):
            raise UrlError("only http:// and https:// URLs are fetched, without blanks")
        if parts.username is not None or parts.password is not None:
            raise UrlError("a URL with a user name or a password is not fetched")
        literal = _literal(host)
        for rule in self._rules:
            named = host == rule.name if rule.network is None else literal is not None and literal in rule.network
            if named and rule.has_port(parts):
                return parts
        raise NotAllowedError(f"images are not fetched from {host}, port {port_of(parts)}; it is not listed")

    def resolve(self, parts: SplitResult) -> Address:
        """Find the one address to connect to; asked once, so that a name can not lead elsewhere a moment later.

        Raises:
            OSError: the name is not known.
            NotAllowedError: it leads, if only among others, to an address that is neither public nor listed.
        """
        found = socket.getaddrinfo(parts.hostname, port_of(parts), type=socket.SOCK_STREAM)
        addresses: Sequence[Address] = [ipaddress.ip_address(str(item[4][0]).partition("%")[0]) for item in found]
        for address in addresses:
            listed = any(rule.network and address in rule.network and rule.has_port(parts) for rule in self._rules)
            if not listed and not _is_public(address):
                raise NotAllowedError(f"{parts.hostname} leads to an address that is neither public nor listed")
        return addresses[0]


def port_of(parts: SplitResult) -> int:
    """The port of a checked URL."""
    return parts.port or _DEFAULT_PORTS[parts.scheme]


def _rule(entry: str) -> _Rule:
    host, port = entry, ""
    if entry.startswith("["):
        host, _, port = entry[1:].partition("]")
        port = port.removeprefix(":")
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{entry!r} has the port {port!r}; 1 to 65535 is allowed")
    try:
        return _Rule("", ipaddress.ip_network(host), int(port) if port else None)
    except ValueError as error:
        if "/" in host or not host.replace("-", "").replace(".", "").isalnum():
            raise ValueError(f"{entry!r} is no name, address or network: {error}") from None
    return _Rule(host.lower(), None, int(port) if port else None)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    """Whether anyone on the internet may reach an address, and the IPv4 address that it may stand for."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped or address in _NAT64:
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.sixtofour or (address.teredo and address.teredo[1])
        if address in _LOCAL_NAT64 or (inner and not _is_public(inner)):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
