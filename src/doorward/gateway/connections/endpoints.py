"""One end of a TCP connection, as a value and as Envoy writes it.

Not here: asking the kernel about it (sockdiag).
Standard: RFC 4291 section 2.5.5.2 (mapped addresses), RFC 4007 section 11 (scopes).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from doorward.core.errors import MalformedInput

V4_BYTES = 4
_MAX_TEXT = 80  # "[" + 45 characters of IPv6 + "%" + 10 digits of scope + "]:65535" is 65
_MAX_PORT = 0xFFFF
_MAX_SCOPE = 0xFFFF_FFFF
_MAPPED = b"\x00" * 10 + b"\xff\xff"  # ::ffff:0:0/96


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a TCP connection: 4 or 16 address bytes, a port, the IPv6 scope (interface) or 0.

    IPv4 addresses mapped into IPv6 are kept as IPv4, so that a connection on `[::]` has one name.
    """

    address: bytes
    port: int
    scope: int = 0

    @property
    def host(self) -> str:
        """The address in text, without brackets or scope."""
        return _host_of(self.address)

    @property
    def is_wildcard(self) -> bool:
        """Whether this is `0.0.0.0` or `::`, a listener on every address."""
        return not any(self.address)

    def __str__(self) -> str:
        if len(self.address) == V4_BYTES:
            return f"{self.host}:{self.port}"
        return f"[{self.host}%{self.scope}]:{self.port}" if self.scope else f"[{self.host}]:{self.port}"


@lru_cache(4096)
def _host_of(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == V4_BYTES else socket.AF_INET6, address)


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint written as Envoy writes addresses.

    Args:
        text: `192.0.2.1:443`, `[2001:db8::1]:443` or `[fe80::1%2]:443`, at most 80 characters.

    Raises:
        MalformedInput: for anything else (`endpoint-malformed`).
    """
    host, _, digits = text.rpartition(":")
    try:
        if len(text) > _MAX_TEXT:
            _malformed(text)
        port = _number(digits, _MAX_PORT)
        if not host.startswith("["):
            return Endpoint(socket.inet_pton(socket.AF_INET, host), port)
        if not host.endswith("]"):
            _malformed(text)
        name, percent, zone = host[1:-1].partition("%")
        scope = _number(zone, _MAX_SCOPE) if percent else 0
        return Endpoint(shorten(socket.inet_pton(socket.AF_INET6, name)), port, scope)
    except (ValueError, OSError):
        _malformed(text)


def shorten(address: bytes) -> bytes:
    """Return 16 address bytes as they are, or the 4 bytes of an IPv4 address mapped into them."""
    return address[12:] if address.startswith(_MAPPED) else address


def _number(digits: str, most: int) -> int:
    # int() alone would accept "+1", " 1", "1_0" and the digits of other scripts.
    if not (digits.isascii() and digits.isdigit()) or int(digits) > most:
        raise ValueError(digits)
    return int(digits)


def _malformed(text: str) -> NoReturn:
    raise MalformedInput(
        "endpoint-malformed",
        "not an address with a port",
        hint="write address:port, and an IPv6 address in brackets: [2001:db8::1]:8443",
        text=text[:_MAX_TEXT],
    ) from None
