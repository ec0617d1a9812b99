"""A chain that Envoy does not verify; only the authorizer judges.

A partner's door is such a chain (docs/design/0043). Envoy's own check is the twin here: with it, good
certificates are refused before anybody could judge them.
"""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from doorward.enforcement.trust import build_trust
from tests.posture.witness import Witness
from tests.support.attacks import AUTHORIZER, TLS, H2Client, changed, every_value, without
from tests.support.certificates.der import oid_der, tlv
from tests.support.certificates.issuing import CertifiedKey, around_now, certify, name, rsa_key
from tests.support.compiled_door import CompiledDoor, CompiledDoors, Kept
from tests.support.door_site import APPS, CLEARED, TELLER
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-unverified")


NOW = datetime.now(UTC).replace(microsecond=0)
DATES = around_now()
ENDED: dict[str, Any] = {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=2)}
VERIFIED = changed(
    "secrets", "trust-app_pay", "validation_context", "trust_chain_verification", to="VERIFY_TRUST_CHAIN"
)


NETWORK = ip_network("10.0.0.0/8")


def _partner() -> tuple[dict[str, CertifiedKey], list[CertifiedKey]]:
    """Return unusual good leaves by their peculiarity, and the authorities that are imported."""
    root = certify("Clinic Root", **DATES)
    renewed = certify("Clinic Renewed", **ENDED)
    again = certify("Clinic Renewed", key=renewed.key, **DATES)
    pss = certify("Clinic PSS", key=rsa_key(), **DATES)
    mail = certify("Clinic Mail", permitted=[x509.RFC822Name("clinic.example")], **DATES)
    folded = certify(name("Clinic Grün"), **DATES)
    eddsa = certify("Clinic Ed448", key=ed448.Ed448PrivateKey.generate(), **DATES)
    nets = certify("Clinic Nets", excluded=[x509.IPAddress(NETWORK)], **DATES)
    second = certify("Clinic Root", **DATES)
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "bob"),
            x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, "bob@clinic.example"),
        ]
    )
    serial = x509.AuthorityKeyIdentifier(
        x509.SubjectKeyIdentifier.from_public_key(root.key.public_key()).digest,
        [x509.DirectoryName(name("Clinic Root"))],
        root.certificate.serial_number + 1,
    )
    given = {"ca": False, **DATES}
    leaves = {
        "plain": certify("bob", root, **given),
        "AKI with an old key id": certify("bob", root, authority_key=b"\1" * 20, **given),
        "AKI with an old serial": certify("bob", root, extra=[(serial, False)], **given),
        "a renewed authority": certify("bob", again, **given),
        "RSASSA-PSS with salt 0": certify("bob", pss, pss=_pss(0), hash_algorithm=hashes.SHA256(), **given),
        "RSASSA-PSS with salt 17": certify("bob", pss, pss=_pss(17), hash_algorithm=hashes.SHA256(), **given),
        "Ed448": certify("bob", eddsa, **given),
        "a subject with e-mail": certify(subject, mail, **given),
        "an issuer in another case": certify("bob", folded, issuer_name=name("CLINIC GRÜN"), **given),
        "constraints about addresses": certify("bob", nets, names=[x509.DNSName("bob.example")], **given),
        "one name with two keys": certify("bob", second, **given),
    }
    return leaves, [root, renewed, again, pss, mail, folded, eddsa, nets, second]


def _pss(salt: int) -> padding.PSS:
    return padding.PSS(padding.MGF1(hashes.SHA256()), salt)


LEAVES, AUTHORITIES = _partner()


BY_CHANCE = {"plain", "a renewed authority", "constraints about addresses", "one name with two keys"}
"""Envoy's own check takes the first; of the others it takes some, by the order in which it was told authorities."""

VERSIONS = [
    pytest.param(ssl.TLSVersion.TLSv1_2, id="TLS 1.2"),
    pytest.param(ssl.TLSVersion.TLSv1_3, id="TLS 1.3"),
]
PARTNERS = {"pay": build_trust([], [one.der for one in AUTHORITIES])}


@pytest.fixture
def unverified(kept: Kept) -> Iterator[CompiledDoor]:
    """A door that trusts the partner; its authorizer admits, as for a certificate that was judged good."""
    door = kept(name="unverified", partners=PARTNERS)
    door.authorizer.facts = facts_of(TELLER, CLEARED)
    yield door
    door.authorizer.facts = facts_of(TELLER, CLEARED)


def store(door: CompiledDoor, leaf: CertifiedKey) -> str:
    """Put a certificate where the site's clients find it; return its name there."""
    leaf.write(door.site.folder, "leaf")
    return "leaf"


class TestGoodCertificates:
    """Certificates that are good by RFC 5280 reach the authorizer, also if Envoy would refuse them."""

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("what", LEAVES)
    def test_it_reaches_the_authorizer(
        self, unverified: CompiledDoor, what: str, version: ssl.TLSVersion
    ) -> None:
        """RFC 5280 sections 4.2.1.1, 6.1.3 and 7.1: each of these may vouch for a leaf of its issuer."""
        name = store(unverified, LEAVES[what])
        asked = len(unverified.authorizer.requests)
        with unverified.site.connect("pay.test", name, version) as connection:
            assert unverified.site.ask("GET", "/accounts/7", over=connection).status == 200
        (request,) = unverified.authorizer.requests[asked:]
        assert "CERTIFICATE" in request.attributes.source.certificate

    @pytest.mark.parametrize("what", sorted(set(LEAVES) - BY_CHANCE))
    def test_verified_by_envoy_it_is_refused(self, kept: Kept, what: str) -> None:
        """With VERIFY_TRUST_CHAIN the same certificate ends in the handshake, and no judge hears of it."""
        door = kept(VERIFIED, name="verified", partners=PARTNERS)
        assert door.site.alert("pay.test", store(door, LEAVES[what])) != ""

    def test_a_key_that_envoy_cannot_use_ends_in_the_handshake(self, unverified: CompiledDoor) -> None:
        """BoringSSL has no Ed448: the holder cannot prove possession, so the authorizer is not asked."""
        leaf = certify("bob", AUTHORITIES[0], ca=False, key=ed448.Ed448PrivateKey.generate(), **DATES)
        asked = len(unverified.authorizer.requests)
        assert unverified.site.alert("pay.test", store(unverified, leaf)) != ""
        assert len(unverified.authorizer.requests) == asked


class TestStrangers:
    """Only the authorizer's answer lets a connection pass such a chain."""

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("certificate", ["stranger", "expired", "p256"])
    def test_refused_by_the_authorizer_the_connection_ends(
        self, unverified: CompiledDoor, witness: Witness, certificate: str, version: ssl.TLSVersion
    ) -> None:
        """A self-made authority that says alice, a date that is over: alert 49, and nothing reaches the application."""
        unverified.authorizer.facts = None
        mark = len(witness.requests)
        connection = unverified.site.connect("pay.test", certificate, version)
        with connection, pytest.raises(ssl.SSLError, match="ACCESS_DENIED"):
            unverified.site.ask("GET", "/accounts/7", over=connection)
        assert witness.since(mark) == []

    def test_no_certificate_ends_in_the_handshake(self, unverified: CompiledDoor, kept: Kept) -> None:
        """A certificate is demanded; without `require_client_certificate` the authorizer would be asked."""
        assert "CERTIFICATE_REQUIRED" in unverified.site.alert("pay.test", None)
        asking = kept(changed(*TLS, "require_client_certificate", to=False), partners=PARTNERS, name="asking")
        assert asking.site.alert("pay.test", None) == ""

    @pytest.mark.parametrize("h2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
    def test_an_unavailable_authorizer_admits_no_connection(
        self, kept: Kept, witness: Witness, *, h2: bool
    ) -> None:
        """Without an answer the connection ends, also for a good certificate; `failure_mode_allow` would let it on."""
        mark = len(witness.requests)
        door = kept(name="nobody there", partners=PARTNERS, serve=False)
        with door.connect(h2=h2) as connection:
            if h2:
                assert H2Client(connection).ask("/accounts/7").status == 0
            else:
                with pytest.raises((OSError, http.client.HTTPException)):
                    door.site.ask("GET", "/accounts/7", over=connection)
        open_ = kept(
            changed(*AUTHORIZER, "failure_mode_allow", to=True),
            name="fails open",
            partners=PARTNERS,
            serve=False,
        )
        assert (
            open_.site.ask("GET", "/accounts/7").status == 403
        )  # and rules that ask for grants refuse still
        assert witness.since(mark) == []


class TestNothingReadsEnvoysOpinion:
    """Section 2.2: `authenticated`, `principal_name`, `connection.mtls` and `source.principal` believe anybody."""

    def test_no_matcher_looks_at_a_certificate(self, doors: CompiledDoors) -> None:
        """Filter state decides, alone; the log names what it reads of a certificate `claimed_…`."""
        resources = doors.site.resources(APPS, partners=PARTNERS)
        values = list(every_value([*resources.routes.values(), *resources.listeners]))
        forbidden = {
            "authenticated",
            "mtls_authenticated",
            "principal_name",
            "tls_context",
            "sourced_metadata",
        }
        assert not {key for key, _ in values} & forbidden
        assert not [value for _, value in values if isinstance(value, str) and "connection.mtls" in value]

    def test_no_session_is_resumed(self, doors: CompiledDoors) -> None:
        """Section 2.4: a resumed session skips the question of a certificate, on every chain."""
        (listener,) = doors.site.resources(APPS, partners=PARTNERS).listeners
        for chain in listener["filter_chains"]:
            config = chain["transport_socket"]["typed_config"]
            assert config["disable_stateless_session_resumption"] is True
            assert config["disable_stateful_session_resumption"] is True


class TestNoNames:
    """A door that names no authority (more than 64 KiB of them): Envoy asks for a certificate and demands none."""

    SILENT = without("secrets", "trust-app_pay", "validation_context", "trusted_ca")

    @pytest.mark.parametrize("certificate", [None, "stranger"])
    def test_a_refused_connection_ends_all_the_same(
        self, kept: Kept, witness: Witness, certificate: str | None
    ) -> None:
        """Without `trusted_ca` TLS refuses no certificate: the authorizer is asked, and its refusal ends the connection."""
        door = kept(self.SILENT, name="silent", partners=PARTNERS)
        door.authorizer.facts, mark = None, len(witness.requests)
        assert door.site.alert("pay.test", certificate) == ""
        with pytest.raises(ssl.SSLError, match="ACCESS_DENIED"):
            door.site.ask("GET", "/accounts/7", certificate=certificate)
        assert witness.since(mark) == []
        door.authorizer.facts = facts_of(TELLER, CLEARED)
        with door.site.connect("pay.test", store(door, LEAVES["plain"])) as connection:
            assert door.site.ask("GET", "/accounts/7", over=connection).status == 200
        assert "CERTIFICATE" in door.authorizer.requests[-1].attributes.source.certificate


class TestPossession:
    """RFC 8446 section 4.4.3: only the path is not verified; the private key is proved all the same."""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_another_persons_certificate_is_worth_nothing(
        self, unverified: CompiledDoor, version: ssl.TLSVersion
    ) -> None:
        """Bob's certificate and a key that is not Bob's: alert 51 in the handshake, and the authorizer is not asked."""
        leaf = LEAVES["plain"]
        (unverified.site.folder / "stolen.pem").write_bytes(leaf.certificate.public_bytes(Encoding.PEM))
        (unverified.site.folder / "stolen.key").write_bytes(_key_that_looks_right(leaf))
        asked = len(unverified.authorizer.requests)
        assert "DECRYPT_ERROR" in unverified.site.alert("pay.test", "stolen", version)
        assert len(unverified.authorizer.requests) == asked
        assert unverified.site.alert("pay.test", store(unverified, leaf), version) == ""


def _key_that_looks_right(leaf: CertifiedKey) -> bytes:
    """Return a key file with the leaf's public point and another private number (RFC 5915); OpenSSL takes it."""
    form = PublicFormat.UncompressedPoint
    point = leaf.certificate.public_key().public_bytes(Encoding.X962, form)  # type: ignore[call-arg]
    der = tlv(
        0x30,
        tlv(0x02, b"\1"),
        tlv(0x04, (12345).to_bytes(32)),
        tlv(0xA0, oid_der("1.2.840.10045.3.1.7")),
        tlv(0xA1, tlv(0x03, b"\0", point)),
    )
    text = base64.encodebytes(der)
    return b"-----BEGIN EC PRIVATE KEY-----\n" + text + b"-----END EC PRIVATE KEY-----\n"
