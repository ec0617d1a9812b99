"""Origins of web pages: those that `cors` may list, and the application's own.

An origin is compared as the browser writes it, octet by octet: no case folding, no default port, no dot at the end. So a
list has the spelling that a browser sends, and every other spelling is refused.

Standard: RFC 6454 sections 4 and 6.2 (serialisation), section 7 (the Origin header).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from doorward.core.errors import MalformedInput

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,31})://"
    r"(?P<host>[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?|\[[0-9a-f:]{2,45}\])(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_HIGHEST_PORT = 65_535
_HTTPS = 443


def parse_origin(text: str) -> str:
    """Return an origin that may be listed.

    Args:
        text: `https://host` or `https://host:port`; other schemes, such as those of browser extensions, too.

    Raises:
        MalformedInput: `origin-malformed`; the hint says what to write.
    """
    if text == "null":
        raise _malformed(
            "the origin `null` cannot be listed: every sandboxed page and every local file has it",
            "list the page's own origin",
        )
    if "*" in text:
        raise _malformed(f"{text!r} has a wildcard", "list each origin")
    match = _ORIGIN.fullmatch(text)
    if match is None:
        lower = text.rstrip("/.").lower()
        hint = f"write {lower}" if lower != text and _ORIGIN.fullmatch(lower) else "write https://host[:port]"
        raise _malformed(f"{text!r} is not an origin in the spelling of browsers", hint)
    port = match["port"]
    if port and int(port) > _HIGHEST_PORT:
        raise _malformed(f"{port} is not a port", f"write a port from 1 to {_HIGHEST_PORT}")
    if port and port == _DEFAULT_PORTS.get(match["scheme"]):
        short = text.removesuffix(f":{port}")
        raise _malformed(f"browsers leave out the default port {port} of {match['scheme']}", f"write {short}")
    return text


def own_origins(hosts: Iterable[str], ports: Iterable[int]) -> tuple[str, ...]:
    """Return the origins of an application's own pages, sorted.

    Args:
        hosts: its host names, lower case.
        ports: the ports that browsers use for the door: where it listens, and its public ports.
    """
    ports = frozenset(ports)
    return tuple(
        sorted(
            f"https://{host}" if port == _HTTPS else f"https://{host}:{port}"
            for host in hosts
            for port in ports
        )
    )


def _malformed(detail: str, hint: str) -> MalformedInput:
    return MalformedInput("origin-malformed", detail, hint=hint)
