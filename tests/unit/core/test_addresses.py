"""The class of an address, and which addresses may be fetched from."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from doorward.core.addresses import (
    NETWORKS_LIMIT,
    PRIVATE_NETWORKS,
    AddressClass,
    classify_address,
    may_fetch_from,
    parse_private_networks,
)
from doorward.core.errors import MalformedInput

GLOBAL = ("8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808")
PRIVATE = (
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255", "127.0.0.1",
    "127.255.255.254", "::1", "fc00::1", "fdff::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
)  # fmt: skip
NEVER = (
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "192.0.0.8", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "::", "::2", "::808:808", "fe80::1",
    "64:ff9b::a00:1", "64:ff9b::7f00:1",
    "febf::1", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:a00:1::1", "3fff::1", "64:ff9b:1::a00:1",
    "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "100::1", "4000::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "::ffff:0.0.0.0",
)  # fmt: skip


@pytest.mark.parametrize("text", GLOBAL)
def test_global_addresses_are_allowed(text):
    """A global unicast address may be contacted, with any list of allowed networks."""
    assert classify_address(ip_address(text)) is AddressClass.GLOBAL
    assert may_fetch_from(ip_address(text))
    assert may_fetch_from(ip_address(text), PRIVATE_NETWORKS)


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_need_permission(text):
    """A private, shared or loopback address may be contacted only if the operator allowed it."""
    assert classify_address(ip_address(text)) is AddressClass.PRIVATE
    assert not may_fetch_from(ip_address(text))
    assert may_fetch_from(ip_address(text), PRIVATE_NETWORKS)


@pytest.mark.parametrize("text", NEVER)
def test_some_addresses_are_never_allowed(text):
    """Link-local, multicast, reserved and tunnel addresses and those of cloud credentials are refused even if allowed."""
    assert classify_address(ip_address(text)) is AddressClass.NEVER
    assert not may_fetch_from(ip_address(text), PRIVATE_NETWORKS)


@pytest.mark.parametrize(
    ("allowed", "address", "may"),
    [
        (["10.1.0.0/16"], "10.1.2.3", True),
        (["10.1.0.0/16"], "10.2.0.1", False),
        (["10.1.0.0/16"], "127.0.0.1", False),
        (["10.1.0.0/16"], "::ffff:10.1.2.3", True),
        (["10.1.0.0/16"], "64:ff9b::a01:203", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["127.0.0.0/8"], "::1", False),
        (["::1"], "::1", True),
        (["fd12::/16"], "fd12:1::1", True),
    ],
)
def test_only_the_networks_that_were_named(
    allowed: list[str],
    address: str,
    may: bool,  # noqa: FBT001
) -> None:
    """One allowed network allows no other; a mapped address is the IPv4 address (RFC 4291 section 2.5.5.2)."""
    assert may_fetch_from(ip_address(address), parse_private_networks(allowed)) is may


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not a network"),
        ("yes", "not a network"),
        ("10.0.0.0/33", "not a network"),
        ("10.0.0.1/8", "after its prefix"),
        ("0.0.0.0/0", "private"),
        ("10.0.0.0/7", "private"),
        ("8.8.8.0/24", "private"),
        ("::/0", "private"),
        ("::ffff:10.0.0.0/104", "private"),
        ("fe80::/10", "private"),
        ("169.254.169.254", "private"),
        ("224.0.0.0/4", "private"),
    ],
)
def test_what_is_no_private_network_is_refused(text: str, word: str) -> None:
    """RFC 4632 section 3.1: an address and a prefix without bits after it, inside a private network."""
    with pytest.raises(MalformedInput, match=word) as refused:
        parse_private_networks([text])
    assert refused.value.code == "network-malformed"


def test_networks_are_sorted_and_each_once() -> None:
    """The same networks give the same terms, in any order."""
    found = parse_private_networks(["::1", "192.168.0.0/16", "10.0.0.0/8", "::1/128"])
    assert found == (ip_network("10.0.0.0/8"), ip_network("192.168.0.0/16"), ip_network("::1/128"))


def test_networks_are_limited() -> None:
    """More than a few are a mistake."""
    with pytest.raises(MalformedInput) as refused:
        parse_private_networks(f"10.0.0.{last}" for last in range(NETWORKS_LIMIT + 1))
    assert refused.value.code == "too-many-networks"
