"""How long the names of authorities are in a handshake (RFC 8446 section 4.2.4)."""

from __future__ import annotations

from doorward.verification.path.ca_names import count_ca_name_octets
from tests.support.certificates.issuing import certify, name


def test_each_name_counts_once_with_its_two_octets_of_length() -> None:
    """A renewed authority of the same name adds nothing."""
    first, renewed, other = certify("A"), certify("A"), certify("B" * 60)
    length = len(name("A").public_bytes())
    assert count_ca_name_octets([first.parsed, renewed.parsed]) == length + 2
    assert count_ca_name_octets([first.parsed, other.parsed]) == 2 * (length + 2) + 59
    assert count_ca_name_octets([]) == 0
