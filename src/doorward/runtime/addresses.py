"""Which URLs and which addresses may be asked when a certificate names them: pure, no look-up.

Not here: the look-up (resolving) and the connection (fetcher).
A partner's authority writes these addresses, and the machine that asks them stands inside our network.
Without a limit a certificate could make it call whatever listens there (server-side request forgery).
1. A URL is http or https, names a host, and holds no user, no space, nothing but ASCII.
   Any port: authorities publish on others than 80 and 443, and what keeps us out of places is the address.
2. An address that embeds an IPv4 address is judged by that one.
3. Global unicast may be asked. Private networks, loopback and shared addresses only where the operator
   allowed it for this partner.
4. Never, whatever is allowed: link-local, multicast, reserved, unspecified, tunnels, and the addresses at
   which clouds hand out the credentials of the machine.

Tables of our own, because the library's `is_global` means another thing in each of its versions.
Standard: RFC 6890 and the IANA special-purpose address registries; RFC 6052 (NAT64); RFC 3986.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from urllib.parse import urljoin, urlsplit

from doorward.core.errors import MalformedInput

URL_LIMIT = 2048
"""Characters. The longest honest ones known (LDAP-like queries over HTTP) stay under 300."""

Address = IPv4Address | IPv6Address

_PRINTABLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9._-]{1,253}")
_PORTS = {"http": 80, "https": 443}

_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSLATED = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")
_PRIVATE = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # shared by a carrier's customers (RFC 6598)
        "127.0.0.0/8",
        "::1/128",
        "fc00::/7",
    )
)
_NEVER = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "100.100.100.200/32",  # credentials of clouds: these five lie in networks that are allowed otherwise
        "168.63.129.16/32",
        "fd00:42::/32",
        "fd00:ec2::/32",
        "fd20:ce::/32",
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4, which embeds an IPv4 address that somebody else's relay would take
        "3fff::/20",
    )
)


class Reach(Enum):
    """Where an address lies."""

    GLOBAL = "global"
    PRIVATE = "private"
    NEVER = "never"


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
    """Return where a URL leads.

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
        (_PRINTABLE.fullmatch(url), "it holds something else than printable ASCII"),
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


def judge_address(address: Address) -> Reach:
    """Return where an address lies: steps 2 to 4."""
    embedded = _embedded(address)
    if embedded is not None:
        return judge_address(embedded)
    if any(address in network for network in _NEVER):
        return Reach.NEVER
    if any(address in network for network in _PRIVATE):
        return Reach.PRIVATE
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return Reach.NEVER
    return Reach.GLOBAL


def _embedded(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def may_ask(address: Address, *, allow_private: bool) -> bool:
    """Return whether an address may be asked."""
    reach = judge_address(address)
    return reach is Reach.GLOBAL or (allow_private and reach is Reach.PRIVATE)
