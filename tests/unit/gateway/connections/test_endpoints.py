import pytest

from doorward.core.errors import MalformedInput
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint


@pytest.mark.parametrize(
    "text", ["192.0.2.1:443", "0.0.0.0:0", "[2001:db8::1]:65535", "[::]:8443", "[fe80::1%2]:443"]
)
def test_text_comes_back(text: str) -> None:
    """An endpoint is written as it was read."""
    assert str(parse_endpoint(text)) == text


def test_mapped_addresses_are_ipv4() -> None:
    """A connection on [::] from an IPv4 peer has one name, whichever way it is written."""
    assert parse_endpoint("[::ffff:192.0.2.1]:443") == parse_endpoint("192.0.2.1:443")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "443",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:+1",
        "192.0.2.1:１",  # noqa: RUF001 - a digit of another script
        "192.0.2:1",
        "localhost:443",
        "::1:443",
        "[::1:443",
        "[::1%eth0]:443",
        "[::1%4294967296]:443",
        "[127.0.0.1]:443",
        "192.0.2.1\0:443",
        "[::1]" + "0" * 90 + ":1",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Text that is not an address with a port is malformed, and nothing else is raised."""
    with pytest.raises(MalformedInput) as caught:
        parse_endpoint(text)
    assert caught.value.code == "endpoint-malformed"


def test_wildcards() -> None:
    """Only the addresses of all zeros stand for every address."""
    assert parse_endpoint("0.0.0.0:1").is_wildcard
    assert parse_endpoint("[::]:1").is_wildcard
    assert not parse_endpoint("0.0.0.1:1").is_wildcard
    assert Endpoint(b"\x7f\0\0\1", 1).host == "127.0.0.1"
