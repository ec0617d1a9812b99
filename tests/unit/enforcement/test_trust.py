"""What a door is told of authorities, and when Envoy's own check is taken out."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.enforcement.trust import Trust, build_trust
from tests.support.path_ca import Node, certify

OWN, ROOT = certify("Own"), certify("Clinic Root")
ISSUING = certify("Clinic Issuing", ROOT)
NETWORK = x509.IPAddress(ip_network("10.0.0.0/8"))


def pem(one: Node) -> str:
    """The text of a certificate."""
    return one.certificate.public_bytes(Encoding.PEM).decode("ascii")


def trust(*partners: Node) -> Trust:
    """What a door is told that trusts our own authority and these."""
    return build_trust([OWN.der], [one.der for one in partners])


def test_every_authority_is_told_once_in_one_order() -> None:
    """Anchors and intermediates alike, sorted, so that equal trust is equal configuration."""
    found = trust(ISSUING, ROOT, ISSUING)
    assert found == trust(ROOT, ISSUING)
    assert found.authorities == tuple(sorted(pem(one) for one in (OWN, ROOT, ISSUING)))
    assert found.verified


@pytest.mark.parametrize("form", ["permitted", "excluded"])
def test_constraints_about_addresses_open_the_handshake(form: str) -> None:
    """Envoy refuses what is good below a constraint about IP addresses."""
    assert not trust(certify("Net", **{form: [NETWORK]})).verified
    assert trust(certify("Net", **{form: [x509.DNSName("clinic.example")]})).verified


def test_one_name_with_two_keys_opens_the_handshake() -> None:
    """Envoy tries one of them; one key under two certificates is no such case."""
    rolled = certify("Clinic Issuing", ROOT)
    assert not trust(ROOT, ISSUING, rolled).verified
    crossed = certify("Clinic Issuing", certify("Bridge"), key=ISSUING.key)
    assert trust(ROOT, ISSUING, crossed).verified


def test_nobody_and_nonsense_are_impossible() -> None:
    """A door without an authority would check nothing."""
    with pytest.raises(ValueError, match="no authority"):
        build_trust([], [])
    with pytest.raises(ValueError, match="no authority"):
        build_trust([], [b"nonsense"])
    assert build_trust([OWN.der], [b"nonsense"]) == build_trust([OWN.der], [])
