"""The selector key `source: [networks]`: the peer's address, as the kernel sees it.

It is the address of the TCP connection's peer, never one from a header. An IPv4-mapped IPv6 address counts as the IPv4
address (RFC 4291 section 2.5.5.2), so `::/0` covers every IPv6 address and no IPv4 address. Without an address the key is
undetermined.

Standard: RFC 4632 section 3.1, RFC 4291 section 2.3.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Network, IPv6Network, NetmaskValueError, ip_address, ip_network

from doorward.core.addresses import Network, unmap_ipv4
from doorward.core.errors import MalformedInput
from doorward.policy.node_reader import NodeReader
from doorward.policy.scalars import render_list
from doorward.policy.selectors.key import SelectorKey, either
from doorward.policy.subject import FALSE, TRUE, UNDETERMINED, Subject, Truth
from doorward.policy.yaml_tree import Node

NETWORKS_LIMIT = 256
"""Networks of one rule: each one is compared for each new connection."""

_MAPPED = IPv6Network("::ffff:0:0/96")
_TEXT_LIMIT = 64
_WRITTEN = re.compile(r"[0-9A-Fa-f.:]+(?:/(?:0|[1-9][0-9]{0,2}))?")
"""The prefix is one decimal number: some programs read a mask such as 0.255.255.255 as its inverse."""

Networks = tuple[Network, ...]


class SourceKey(SelectorKey[Networks]):
    """`source`: the peer's address is in one of these networks."""

    word = "source"

    def read(self, reader: NodeReader, node: Node, key: str) -> Networks | None:
        """Read a list of networks, or a single one."""
        found = set()
        for text in reader.texts(node, key):
            try:
                found.add(parse_network(text.value))
            except MalformedInput as error:
                reader.add_malformed(text, error, key=key)
        if len(found) > NETWORKS_LIMIT:
            message = f"the rule has {len(found)} networks, at most {NETWORKS_LIMIT} are allowed"
            reader.add_fault(
                node, "too-many-networks", message, key=key, hint="join networks, or make two rules"
            )
        return tuple(sorted(found, key=_order)) or None

    def render(self, value: Networks) -> str:
        """Write a list, sorted."""
        return render_list(map(str, value))

    def judge(self, value: Networks, subject: Subject) -> Truth:
        """Compare the peer's address with each network."""
        if subject.source is None:
            return UNDETERMINED
        source = unmap_ipv4(subject.source)
        found = any(source.version == one.version and source in one for one in value)
        return TRUE if found else FALSE

    def explain(self, value: Networks, subject: Subject) -> str:
        """Name the address and the networks."""
        wanted = either([str(one) for one in value])
        if subject.source is None:
            return f"source: the peer's address is not known (give --source ADDRESS), the rule needs {wanted}"
        return f"source: {unmap_ipv4(subject.source)} is not in {wanted}"

    def alternatives(self, value: Networks) -> frozenset[str]:
        """Each network."""
        return frozenset(map(str, value))

    def wider(self, alternative: str) -> frozenset[str]:
        """A network and every network that contains it."""
        return _supernets(alternative)


def parse_network(text: str) -> Network:
    """Return a network such as `10.1.0.0/16`; one address is a network with this address only.

    Raises:
        MalformedInput: `network-malformed`.
    """
    hint = "write a network such as 10.1.0.0/16 or 2001:db8::/32, or one address"
    if len(text) > _TEXT_LIMIT or not _WRITTEN.fullmatch(text):
        raise MalformedInput("network-malformed", f"{text[:_TEXT_LIMIT]!a} is not a network", hint=hint)
    try:
        network = ip_network(text, strict=False)
        address = ip_address(text.partition("/")[0])
    except (ValueError, AddressValueError, NetmaskValueError) as error:
        raise MalformedInput("network-malformed", f"{text!a} is not a network", hint=hint) from error
    if address != network.network_address:
        hint = f"write {network}, or the single address {address}"
        raise MalformedInput("network-malformed", f"{text} has bits after its prefix", hint=hint)
    if (
        isinstance(network, IPv6Network)
        and network.prefixlen >= _MAPPED.prefixlen
        and network.subnet_of(_MAPPED)
    ):
        inner = IPv4Network(
            (int(network.network_address) & 0xFFFFFFFF, network.prefixlen - _MAPPED.prefixlen)
        )
        raise MalformedInput(
            "network-malformed",
            f"{network} has IPv4-mapped addresses, which are compared as IPv4 addresses",
            hint=f"write {inner}",
        )
    return network


def _order(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


@lru_cache(maxsize=4096)
def _supernets(text: str) -> frozenset[str]:
    network = ip_network(text)
    return frozenset(str(network.supernet(new_prefix=bits)) for bits in range(network.prefixlen + 1))


SOURCE = SourceKey()
