"""`source`: networks have a strict spelling, and a mapped address is compared as IPv4."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from doorward.core.errors import ConfigurationError, MalformedInput
from doorward.policy.document import parse_document
from doorward.policy.selectors.sources import NETWORKS_LIMIT, SOURCE, parse_network
from doorward.policy.subject import Subject, Truth
from tests.support import records
from tests.support.policies import read_networks

ALICE = records.principal("alice", id="per_a")


def judged(source: str | None, *networks: str) -> Truth:
    """Whether a peer is in one of these networks."""
    subject = Subject(principal=ALICE, source=None if source is None else ip_address(source))
    return SOURCE.judge(read_networks(*networks), subject)


@pytest.mark.parametrize(
    ("source", "networks", "truth"),
    [
        ("10.1.2.3", ("10.0.0.0/8",), Truth.TRUE),
        ("11.1.2.3", ("10.0.0.0/8",), Truth.FALSE),
        ("11.1.2.3", ("10.0.0.0/8", "11.1.2.3"), Truth.TRUE),
        ("::ffff:10.1.2.3", ("10.0.0.0/8",), Truth.TRUE),
        ("::ffff:10.1.2.3", ("::/0",), Truth.FALSE),
        ("2001:db8::1", ("0.0.0.0/0",), Truth.FALSE),
        ("2001:db8::1", ("2001:db8::/32",), Truth.TRUE),
        ("fe80::1%3", ("fe80::1",), Truth.TRUE),
        (None, ("0.0.0.0/0", "::/0"), Truth.UNDETERMINED),
    ],
)
def test_where_a_peer_is(source: str | None, networks: tuple[str, ...], truth: Truth) -> None:
    """An IPv4 address is compared with IPv4 networks however it is written; no address is no answer."""
    assert judged(source and source.partition("%")[0], *networks) is truth


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("fe80::1%eth0", "one address"),
        ("10.0.0.0/33", "one address"),
        ("10.0.0.0/255.0.0.0/8", "one address"),
        ("10.0.0.0/255.0.0.0", "one address"),
        ("10.0.0.0/0.255.255.255", "one address"),
        ("10.0.0.0/08", "one address"),
        ("example.com", "one address"),
        ("", "one address"),
        ("1" * 100, "one address"),
    ],
)
def test_what_is_no_network_says_the_mend(text: str, mend: str) -> None:
    """Bits beyond the prefix, mapped networks, zones and names are refused."""
    with pytest.raises(MalformedInput) as caught:
        parse_network(text)
    assert caught.value.code == "network-malformed"
    assert mend in caught.value.hint


def test_the_whole_internet_is_a_network() -> None:
    """Everything of one version may be named."""
    assert str(parse_network("0.0.0.0/0")) == "0.0.0.0/0"
    assert str(parse_network("::/0")) == "::/0"


def test_a_network_lies_in_wider_ones() -> None:
    """For the analysis of rules."""
    assert SOURCE.wider("10.0.0.0/8") >= {"10.0.0.0/8", "8.0.0.0/5", "0.0.0.0/0"}
    assert "10.1.0.0/16" not in SOURCE.wider("10.0.0.0/8")


def test_a_rule_names_a_bounded_number_of_networks() -> None:
    """One network more than the limit is a fault with its place."""
    networks = ", ".join(f"10.{at // 256}.{at % 256}.0/24" for at in range(NETWORKS_LIMIT + 1))
    text = (
        "trust_domain: test\napps:\n  app:\n    hosts: [app.test]\n    upstream: http://127.0.0.1:1\n    rules:\n"
        f"      - {{allow: {{source: [{networks}]}}}}\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        parse_document(text)
    assert [one.code for one in caught.value.faults] == ["too-many-networks"]
