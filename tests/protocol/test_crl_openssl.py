"""Our CRLs, judged by the openssl command."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from doorward.core.certificate import RevocationReason
from doorward.core.ports import KeyKind
from doorward.pki.crl import CrlEntry, build_crl, encode_entries, sign_crl
from tests.support.certificates.issuing import crl_at, toy_ca
from tests.support.commands import run_openssl

pytestmark = pytest.mark.needs("openssl")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
URL = "http://pki.corp.example/crl/1.crl"
KINDS = [KeyKind.P256, KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048]


class Judged:
    """A CA with a leaf, and CRLs of ours in files."""

    def __init__(self, folder, kind=KeyKind.P256):
        self.folder = folder
        self.ca = toy_ca(key_kind=kind)
        self.leaf = self.ca.leaf("alice", extra=[crl_at(URL)])
        (folder / "ca.pem").write_bytes(self.ca.pem)
        (folder / "leaf.pem").write_bytes(self.leaf.pem)

    def publish(self, *entries: CrlEntry, next_update: datetime = NOW + timedelta(days=7), **options) -> None:
        """Write a CRL in DER."""
        unsigned = build_crl(
            self.ca.certificate,
            encode_entries(entries),
            number=258,
            this_update=NOW,
            next_update=next_update,
            **options,
        )
        (self.folder / "ca.crl").write_bytes(sign_crl(unsigned, self.ca.key))

    def verify(self, *options: str, at: datetime = NOW) -> str:
        """Verify the leaf with the CRL; the output."""
        pem = run_openssl("crl", "-inform", "DER", "-in", self.path("ca.crl")).stdout
        (self.folder / "crl.pem").write_bytes(pem)
        arguments = ("-crl_check", "-CRLfile", self.path("crl.pem"), "-attime", str(int(at.timestamp())))
        files = ("-no-CApath", "-no-CAstore", "-CAfile", self.path("ca.pem"), self.path("leaf.pem"))
        return run_openssl("verify", "-x509_strict", *arguments, *options, *files).stdout.decode()

    def path(self, name: str) -> str:
        """The path of a file here."""
        return str(self.folder / name)

    def entry(self, reason=RevocationReason.KEY_COMPROMISE) -> CrlEntry:
        """The leaf, revoked."""
        serial = self.leaf.certificate.serial_number
        return CrlEntry(serial=serial, revoked_at=NOW - timedelta(hours=1), reason=reason)


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_verifies(kind, tmp_path):
    """`openssl crl -verify` accepts the CRL, for every kind of CA key."""
    judged = Judged(tmp_path, kind)
    judged.publish(judged.entry())
    printed = run_openssl(
        "crl", "-inform", "DER", "-in", judged.path("ca.crl"), "-CAfile", judged.path("ca.pem"), "-verify"
    )
    assert b"verify OK" in printed.stdout


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_a_revoked_leaf_is_refused(reason, tmp_path):
    """Every reason means revoked to `openssl verify -crl_check`."""
    judged = Judged(tmp_path)
    judged.publish(judged.entry(reason))
    assert "certificate revoked" in judged.verify()


def test_another_leaf_is_not(tmp_path):
    """An empty list and a list of others let the leaf pass."""
    judged = Judged(tmp_path)
    judged.publish()
    assert judged.verify().endswith("leaf.pem: OK\n")
    others = [
        CrlEntry(serial=(1 << 126) + n, revoked_at=NOW, reason=RevocationReason.SUPERSEDED)
        for n in range(500)
    ]
    judged.publish(*others)
    assert judged.verify().endswith("leaf.pem: OK\n")


def test_a_stale_list_is_noticed(tmp_path):
    """After nextUpdate openssl says that the CRL has expired."""
    judged = Judged(tmp_path)
    judged.publish(next_update=NOW + timedelta(hours=1))
    assert "CRL has expired" in judged.verify(at=NOW + timedelta(hours=2))


def test_a_shard_counts_for_its_own_certificates_only(tmp_path):
    """The distribution point of the list must be the certificate's."""
    judged = Judged(tmp_path)
    judged.publish(judged.entry(), distribution_point=URL)
    assert "certificate revoked" in judged.verify()
    judged.publish(judged.entry(), distribution_point="http://pki.corp.example/crl/2.crl")
    assert "different CRL scope" in judged.verify()


def test_openssl_reads_what_the_list_says(tmp_path):
    """Version, number, reason and dates come out as they went in."""
    judged = Judged(tmp_path)
    judged.publish(judged.entry(RevocationReason.CERTIFICATE_HOLD))
    text = run_openssl(
        "crl", "-inform", "DER", "-in", judged.path("ca.crl"), "-noout", "-text"
    ).stdout.decode()
    for part in (
        "Version 2",
        "X509v3 CRL Number: \n                258",
        "Certificate Hold",
        "Revocation Date: Nov 23 11:00:00 2026 GMT",
        "Next Update: Nov 30 12:00:00 2026 GMT",
    ):
        assert part in text
