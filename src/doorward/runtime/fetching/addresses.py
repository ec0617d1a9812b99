"""Which URLs in certificates may be fetched: pure, without a look-up.

Not here: which addresses may be asked (core.addresses), the look-up (resolving), the connection (fetcher).
A partner's authority writes these addresses, and the machine that asks them stands inside our network.
Without a limit a certificate could make it call whatever listens there (server-side request forgery).
A URL is http or https, names a host, and holds no user, no space, nothing but ASCII.
Any port: authorities publish on others than 80 and 443, and what keeps us out of places is the address.

Standard: RFC 3986.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import urljoin, urlsplit

from doorward.core.errors import MalformedInput

URL_LIMIT = 2048
"""Characters. The longest honest ones known (LDAP-like queries over HTTP) stay under 300."""

_PRINTABLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9._-]{1,253}")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A URL that may be looked up: `host` in lower case without brackets, `target` path and query."""

    url: str
    secure: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """As in a Host field (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.secure else "http"] else f"{host}:{self.port}"


def parse_place(url: str, base: Place | None = None) -> Place:
    """Return the parsed parts of a URL.

    Args:
        url: at most 2048 characters; relative only with `base`.
        base: where a redirect came from.

    Raises:
        MalformedInput: `fetch-url-unusable`.

    Standard: RFC 3986; RFC 9110 sections 4.2 and 10.2.2.
    """
    try:
        parts = urlsplit(urljoin(base.url, url) if base else url)
        port = _PORTS.get(parts.scheme) if parts.port is None else parts.port
    except ValueError:
        raise _unusable("it does not parse") from None
    host = (parts.hostname or "").rstrip(".")
    for holds, why in (
        (len(url) <= URL_LIMIT, "it is too long"),
        (_PRINTABLE.fullmatch(url), "it has characters other than printable ASCII"),
        (parts.scheme in _PORTS, "it is neither http nor https"),
        ("@" not in parts.netloc, "it names a user"),
        (_HOST.fullmatch(host) or _is_ipv6(host), "it names no host"),
        (port, "there is no port 0"),
    ):
        if not holds:
            raise _unusable(why)
    assert port is not None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(
        url=parts._replace(fragment="").geturl(),
        secure=parts.scheme == "https",
        host=host,
        port=port,
        target=target,
    )


def _unusable(why: str) -> MalformedInput:
    return MalformedInput("fetch-url-unusable", f"this URL cannot be fetched: {why}")


def _is_ipv6(host: str) -> bool:
    """Return whether it is an IPv6 address, without a scope: that would be link-local."""
    try:
        return "%" not in host and IPv6Address(host) is not None
    except ValueError:
        return False
