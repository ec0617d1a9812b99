"""The class of an IP address, and whether a URL in a certificate may be fetched from it. Pure: no DNS look-up.

1. An IPv4-mapped IPv6 address is judged as its IPv4 address. A NAT64 address must translate a global
   IPv4 address (RFC 6052 section 3.1).
2. Global unicast addresses are allowed. Private networks, loopback and shared addresses are allowed only if the
   operator named a network that contains them.
3. Never allowed, even if named: link-local, multicast, reserved, unspecified and tunnel addresses, and the
   addresses from which cloud providers serve a machine's credentials.

Not here: our own listeners (runtime.own_listeners).
The tables are our own, because the meaning of `is_global` differs between versions of the standard library.
Standard: RFC 6890 and the IANA special-purpose address registries; RFC 6052 (NAT64).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from doorward.core.errors import MalformedInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NETWORKS_LIMIT = 64
"""Private networks of one partner. A longer list is a mistake."""

_LONGEST_TEXT = 80
_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSLATED = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")
PRIVATE_NETWORKS: tuple[Network, ...] = tuple(
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
_NEVER: tuple[Network, ...] = tuple(
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
        "100.100.100.200/32",  # cloud credentials: these five lie in networks that may otherwise be allowed
        "168.63.129.16/32",
        "fd00:42::/32",
        "fd00:ec2::/32",
        "fd20:ce::/32",
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: a relay outside our network would forward to the embedded IPv4 address
        "3fff::/20",
    )
)


class AddressClass(Enum):
    """Whether an address is reachable from everywhere, in a private network, or never to be contacted."""

    GLOBAL = "global"
    PRIVATE = "private"
    NEVER = "never"


def unmap_ipv4(address: Address) -> Address:
    """Return the IPv4 address in an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2); any other address unchanged."""
    return _embedded(address) if isinstance(address, IPv6Address) and address in _MAPPED else address


def parse_address(text: str) -> Address | None:
    """Return the address in a text, IPv4-mapped ones as IPv4 and without a zone; None if the text is not an address."""
    try:
        return unmap_ipv4(ip_address(text[:_LONGEST_TEXT].partition("%")[0]))
    except ValueError:
        return None


def classify_address(address: Address) -> AddressClass:
    """Return the class of an address."""
    address = unmap_ipv4(address)
    if isinstance(address, IPv6Address) and address in _TRANSLATED:
        inner = classify_address(_embedded(address))
        return inner if inner is AddressClass.GLOBAL else AddressClass.NEVER
    if any(address in network for network in _NEVER):
        return AddressClass.NEVER
    if any(address in network for network in PRIVATE_NETWORKS):
        return AddressClass.PRIVATE
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return AddressClass.NEVER
    return AddressClass.GLOBAL


def _embedded(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def may_fetch_from(address: Address, allowed: Sequence[Network] = ()) -> bool:
    """Return whether an address may be contacted: it is global, or private and in one of the allowed networks."""
    kind = classify_address(address)
    if kind is AddressClass.PRIVATE:
        return any(unmap_ipv4(address) in network for network in allowed)
    return kind is AddressClass.GLOBAL


def parse_private_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the private networks that an operator allows, sorted, without duplicates.

    Args:
        texts: each is a network (`10.1.0.0/16`, `::1/128`) or an address.

    Raises:
        MalformedInput: `network-malformed` or `too-many-networks`.

    Standard: RFC 4632 section 3.1; RFC 4291 section 2.3.
    """
    found = {_parse_private_network(text) for text in texts}
    if len(found) > NETWORKS_LIMIT:
        raise MalformedInput(
            "too-many-networks",
            f"{len(found)} private networks are given, and at most {NETWORKS_LIMIT} are allowed",
        )
    return tuple(sorted(found, key=lambda one: (one.version, int(one.network_address), one.prefixlen)))


def _parse_private_network(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        hint = "write a network such as 10.1.0.0/16, or one address such as 127.0.0.1"
        raise MalformedInput("network-malformed", f"{text[:80]!a} is not a network", hint=hint) from error
    if str(network.network_address) != str(ip_address(text.partition("/")[0])):
        hint = f"write {network} for the network, or the address alone for one address"
        raise MalformedInput("network-malformed", f"{text} has bits set after its prefix", hint=hint)
    if not any(_lies_in(network, one) for one in PRIVATE_NETWORKS):
        names = ", ".join(map(str, PRIVATE_NETWORKS))
        raise MalformedInput(
            "network-malformed",
            f"{network} is not in a private network",
            hint=f"leave it out: global addresses are always allowed. The private networks are {names}",
        )
    return network


def _lies_in(inner: Network, outer: Network) -> bool:
    return inner.network_address in outer and inner.prefixlen >= outer.prefixlen
