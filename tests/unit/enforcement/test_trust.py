"""Which authorities a door names to its peers."""

from __future__ import annotations

import ssl

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.enforcement.trust import DoorTrust, build_trust
from tests.support.certificates.der import rdn
from tests.support.certificates.issuing import CertifiedKey, certify, odd_certificate

OWN, ROOT = certify("Own"), certify("Clinic Root")
ISSUING = certify("Clinic Issuing", ROOT)


def pem(one: CertifiedKey) -> str:
    """The text of a certificate."""
    return one.certificate.public_bytes(Encoding.PEM).decode("ascii")


def trust(*partners: CertifiedKey) -> DoorTrust:
    """Return the trust of a door for our own authority and these partners."""
    return build_trust([OWN.der], [one.der for one in partners])


def test_every_authority_is_told_once_in_one_order() -> None:
    """Anchors and intermediates alike, sorted, so that equal trust is equal configuration."""
    found = trust(ISSUING, ROOT, ISSUING)
    assert found == trust(ROOT, ISSUING)
    assert found.authorities == tuple(sorted(pem(one) for one in (OWN, ROOT, ISSUING)))


def test_nobody_and_nonsense_are_impossible() -> None:
    """A door that names no authority gets no certificate of most clients."""
    with pytest.raises(ValueError, match="at least one authority"):
        build_trust([], [])
    with pytest.raises(ValueError, match="at least one authority"):
        build_trust([], [b"nonsense"])
    assert build_trust([OWN.der], [b"nonsense"]) == build_trust([OWN.der], [])


def test_names_that_fit_into_no_handshake_are_not_told() -> None:
    """RFC 8446 section 4.2.4: a handshake has room for 65,535 octets of names; above that no name is sent."""
    key = ROOT.key
    few = [certify(f"{at:03d}" + "x" * 57, key=key).der for at in range(300)]
    many = [*few, *(certify(f"{at:03d}" + "y" * 57, key=key).der for at in range(600))]
    assert build_trust([], few).named
    assert not build_trust([], many).named


@pytest.mark.parametrize("tag", [0x0C, 0x1E, 0x1C])
def test_a_name_that_envoy_does_not_read_takes_no_other_with_it(tag: int) -> None:
    """X.680 section 41: BoringSSL refuses text that is not of its Unicode type, and Envoy the whole file."""
    broken = odd_certificate(ROOT, ROOT.key, subject=[rdn("2.5.4.3", tag, b"\xff\xfe\xfd")])
    assert build_trust([OWN.der], [broken]) == build_trust([OWN.der], [])
    issued = odd_certificate(ROOT, ROOT.key, issuer=[rdn("2.5.4.3", tag, b"\xff\xfe\xfd")])
    assert build_trust([OWN.der], [issued]) == build_trust([OWN.der], [])


def test_an_authority_is_told_in_its_own_bytes() -> None:
    """Envoy gets the original bytes, and not the library's encoding."""
    latin = odd_certificate(ROOT, ROOT.key, subject=[rdn("2.5.4.3", 0x14, b"M\xfcller")])
    [told] = build_trust([], [latin]).authorities
    assert ssl.PEM_cert_to_DER_cert(told) == latin
