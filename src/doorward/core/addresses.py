"""Where an IP address lies, and which may be asked when a certificate names them: pure, no look-up.

1. An IPv4 address that an IPv6 address maps is judged as that IPv4 address. One that NAT64 translates must be
   global (RFC 6052 section 3.1).
2. Global unicast may be asked. Private networks, loopback and shared addresses only if the operator named
   a network that they lie in.
3. Never, even if allowed: link-local, multicast, reserved, unspecified, tunnels, and the addresses at
   which clouds hand out the credentials of the machine.

Not here: our own listeners (runtime.own_listeners).
Tables of our own, because the library's `is_global` means another thing in each of its versions.
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
"""Networks that a partner may have: more than a few are a mistake."""

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
        "100.100.100.200/32",  # credentials of clouds: these five lie in networks that are allowed otherwise
        "168.63.129.16/32",
        "fd00:42::/32",
        "fd00:ec2::/32",
        "fd20:ce::/32",
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4, which embeds an IPv4 address that a foreign relay would take
        "3fff::/20",
    )
)


class AddressClass(Enum):
    """Where an address lies."""

    GLOBAL = "global"
    PRIVATE = "private"
    NEVER = "never"


def unmap_ipv4(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address maps (RFC 4291 section 2.5.5.2), or the address itself."""
    return _embedded(address) if isinstance(address, IPv6Address) and address in _MAPPED else address


def parse_address(text: str) -> Address | None:
    """Return the address that a text is, mapped ones as IPv4 and without a zone; None for any other text."""
    try:
        return unmap_ipv4(ip_address(text[:_LONGEST_TEXT].partition("%")[0]))
    except ValueError:
        return None


def classify_address(address: Address) -> AddressClass:
    """Return where an address lies."""
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
    """Return whether an address may be asked: a global one, or a private one within a network that is allowed."""
    kind = classify_address(address)
    if kind is AddressClass.PRIVATE:
        return any(unmap_ipv4(address) in network for network in allowed)
    return kind is AddressClass.GLOBAL


def parse_private_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return private networks that an operator allows, sorted, each once.

    Args:
        texts: each one network (`10.1.0.0/16`, `::1/128`) or one address.

    Raises:
        MalformedInput: `network-malformed` or `too-many-networks`.

    Standard: RFC 4632 section 3.1; RFC 4291 section 2.3.
    """
    found = {_parse_private_network(text) for text in texts}
    if len(found) > NETWORKS_LIMIT:
        raise MalformedInput("too-many-networks", f"{NETWORKS_LIMIT} private networks are allowed at most")
    return tuple(sorted(found, key=lambda one: (one.version, int(one.network_address), one.prefixlen)))


def _parse_private_network(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        hint = "write a network such as 10.1.0.0/16, or one address such as 127.0.0.1"
        raise MalformedInput(
            "network-malformed", f"this is not a network: {text[:80]!a}", hint=hint
        ) from error
    if str(network.network_address) != str(ip_address(text.partition("/")[0])):
        hint = f"write {network}, or the one address"
        raise MalformedInput("network-malformed", f"{text} has bits beyond its prefix", hint=hint)
    if not any(_lies_in(network, one) for one in PRIVATE_NETWORKS):
        names = ", ".join(map(str, PRIVATE_NETWORKS))
        raise MalformedInput(
            "network-malformed",
            f"{network} does not lie within a private network",
            hint=f"global addresses need no permission; private networks are {names}",
        )
    return network


def _lies_in(inner: Network, outer: Network) -> bool:
    return inner.network_address in outer and inner.prefixlen >= outer.prefixlen
