"""A partner at a real door: an authority of its own, leaves for its people, evidence put where it is looked for.

with open_doorway() as door:
    clinic = Clinic(door)                      # imported, evidence required, at hand
    clinic.trust()                             # the application hears it
    bob = clinic.identity("bob@clinic.example")
    clinic.revoke("bob@clinic.example")
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from doorward.partners.importing import import_partner
from doorward.partners.terms import Terms
from doorward.stores.records import ChangeKind
from tests.support.certificates.der import tlv
from tests.support.certificates.issuing import ANY_POLICY, CertifiedKey, certify, crl_at
from tests.support.certificates.status import crl_of
from tests.support.doorway import ACTOR, Doorway, Identity
from tests.support.records import fetched_crl

DAY = timedelta(days=1)


class Clinic:
    """One partner, `clinic` by default: a root, an issuing authority, a CRL of each at `sources`."""

    def __init__(
        self, door: Doorway, name: str = "clinic", sources: tuple[str, str] | None = None, **terms: Any
    ) -> None:
        self.door, self.name = door, name
        self.now = datetime.now(UTC).replace(microsecond=0)
        dates = {"not_before": self.now - DAY, "not_after": self.now + 90 * DAY}
        self.dates = dates
        # `serve` forgets evidence that no certificate names; unless private addresses are allowed, none is asked.
        nowhere = f"http://127.0.0.1:1/{name}"
        self.sources = sources or (f"{nowhere}/root.crl", f"{nowhere}/issuing.crl")
        self.root = certify(f"{name} Root", extra=[crl_at(self.sources[0])], **dates)
        # Whatever policy a leaf of it says is valid for the path.
        self.issuing = certify(f"{name} Issuing", self.root, policy={"valid": [ANY_POLICY]}, **dates)
        # Named by an authority below, the list of the issuing one is looked for before anybody has come.
        below = certify(f"{name} Wards", self.issuing, extra=[crl_at(self.sources[1])], **dates)
        self.leaves: dict[str, CertifiedKey] = {}
        self._number = 0
        given = {"everyone": True, "groups": ("clinicians",), **terms}
        done = import_partner(
            door.services,
            name,
            Terms(**given),
            anchors=[self.root.der],
            intermediates=[self.issuing.der, below.der],
            actor=ACTOR,
        )
        self.id = done.value.partner.id
        self.door.settle(done.seq)

    def trust(self, rules: str = "- {allow: {groups: [clinicians, staff]}}") -> int:
        """Let the application hear our own authority and this partner."""
        return self.door.apply(rules, trust=f"[own, {self.name}]")

    def leaf(self, email: str, **words: Any) -> CertifiedKey:
        """Certify somebody; what is given replaces what is right."""
        serial = 1000 + len(self.leaves)
        given = {"names": [x509.RFC822Name(email)], "serial": serial, **self.dates, **words}
        node = certify(email, given.pop("issuer", self.issuing), ca=given.pop("ca", False), **given)
        self.leaves[email] = node
        return node

    def identity(self, email: str, **words: Any) -> Identity:
        """Certify somebody, and return the files that a client uses."""
        return self.write(email, self.leaf(email, **words))

    def write(self, name: str, node: CertifiedKey, *chain: CertifiedKey) -> Identity:
        """Write a certificate, what is sent with it, and its key."""
        stem = f"{node.sha256[:16]}-{name.replace('/', '_')}"
        files = node.write(self.door.folder / "partner", stem, *(chain or (self.issuing,)))
        return Identity(chain=files[0], key=files[1])

    def publish(self, *revoked: str, lifetime: timedelta = DAY) -> int:
        """Put newer CRLs of both authorities where evidence is looked for; return the change number."""
        self._number += 1
        serials = [self.leaves[one].certificate.serial_number for one in revoked]
        seq = 0
        for issuer, listed, source in zip(
            (self.root, self.issuing), ([], serials), self.sources, strict=True
        ):
            der = crl_of(
                issuer,
                *listed,
                number=self._number,
                this_update=self.now - DAY,
                next_update=datetime.now(UTC).replace(microsecond=0) + lifetime,
            )
            seq = self.store(der, source)
        self.door.settle(seq)
        return seq

    def store(self, der: bytes, source: str) -> int:
        """Store one CRL as the fetching job does."""
        now = datetime.now(UTC)
        with self.door.services.work.change() as stores:
            stores.evidence.store(fetched_crl(self.id, source, der, now))
            return stores.changes.note(ChangeKind.EVIDENCE, self.id, now)


def resigned(node: CertifiedKey) -> CertifiedKey:
    """The same certificate with its ECDSA signature in its other form (r, n - s), which anybody can make."""
    curve = ec.SECP256R1()
    r, s = decode_dss_signature(node.certificate.signature)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    assert isinstance(node.key.curve, type(curve))
    signature = encode_dss_signature(r, order - s)
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
    der = tlv(0x30, node.certificate.tbs_certificate_bytes, algorithm, tlv(0x03, b"\0" + signature))
    return CertifiedKey(x509.load_der_x509_certificate(der), node.key)
