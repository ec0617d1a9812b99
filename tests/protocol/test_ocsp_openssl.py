"""Our OCSP answers, asked for and judged by the openssl command."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.core.certificate import RevocationReason
from doorward.core.ports import KeyKind
from doorward.pki.ocsp import (
    CertStatus,
    OcspFailure,
    OcspStatus,
    UpdateWindow,
    build_responder,
    parse_ocsp_request,
    presign_responses,
    render_failure,
    sign_response,
)
from tests.support.certificates.issuing import toy_ca
from tests.support.commands import run_openssl

pytestmark = pytest.mark.needs("openssl")
NOW = datetime.now(UTC).replace(microsecond=0)  # openssl ocsp judges freshness by the real clock
WINDOW = UpdateWindow(produced_at=NOW, this_update=NOW, next_update=NOW + timedelta(hours=1))
REVOKED = OcspStatus(
    cert_status=CertStatus.REVOKED, revoked_at=NOW - timedelta(days=1), reason=RevocationReason.KEY_COMPROMISE
)
STATUSES = [
    (OcspStatus(cert_status=CertStatus.GOOD), "good"),
    (OcspStatus(cert_status=CertStatus.UNKNOWN), "unknown"),
    (REVOKED, "revoked"),
]
KINDS = [KeyKind.P256, KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048]


class Asked:
    """A CA with a leaf and a responder, and openssl's questions about the leaf."""

    def __init__(self, folder, kind=KeyKind.P256, *, delegated=True):
        begin, end = NOW - timedelta(days=1), NOW + timedelta(days=30)
        self.folder = folder
        self.ca = toy_ca(key_kind=kind, not_before=begin, not_after=end)
        self.leaf = self.ca.leaf("alice", not_before=begin, not_after=end)
        signer = self.ca.leaf(
            "ocsp",
            uris=(),
            key_kind=kind,
            purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,),
            not_before=begin,
            not_after=end,
        )
        if delegated:
            self.responder = build_responder(self.ca.certificate, signer.key, signer.certificate)
        else:
            self.responder = build_responder(self.ca.certificate, self.ca.key)
        (folder / "ca.pem").write_bytes(self.ca.pem)
        (folder / "leaf.pem").write_bytes(self.leaf.pem)

    def question(self, *options: str) -> list[str]:
        """The arguments that ask about the leaf."""
        return [
            "ocsp",
            "-issuer",
            str(self.folder / "ca.pem"),
            *options,
            "-cert",
            str(self.folder / "leaf.pem"),
        ]

    def ask(self, *options: str) -> bytes:
        """Openssl's request in DER."""
        path = self.folder / "request.der"
        run_openssl(*self.question(*options), "-reqout", str(path))
        return path.read_bytes()

    def judge(self, answer: bytes, *options: str) -> str:
        """What openssl says of an answer."""
        path = self.folder / "answer.der"
        path.write_bytes(answer)
        trust = ("-no-CApath", "-no-CAstore", "-CAfile", str(self.folder / "ca.pem"))
        return run_openssl(*self.question(*options), "-respin", str(path), *trust).stdout.decode()


@pytest.mark.parametrize(("status", "word"), STATUSES)
@pytest.mark.parametrize("digest", ["-sha1", "-sha256"])
@pytest.mark.parametrize("delegated", [True, False])
def test_openssl_accepts_the_answer(status, word, digest, delegated, tmp_path):
    """Good, unknown and revoked, by a delegate and by the CA, named by either hash."""
    asked = Asked(tmp_path, delegated=delegated)
    question = parse_ocsp_request(asked.ask("-no_nonce", digest))
    answer = sign_response(question, status, responder=asked.responder, window=WINDOW)
    printed = asked.judge(answer, "-no_nonce", digest)
    assert "Response verify OK" in printed
    assert f"leaf.pem: {word}" in printed
    assert ("keyCompromise" in printed) is (word == "revoked")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_responder_key_is_accepted(kind, tmp_path):
    """The signature verifies, and the nonce of openssl's request is the answer's."""
    asked = Asked(tmp_path, kind)
    request = asked.ask()
    question = parse_ocsp_request(request)
    assert question.nonce is not None
    answer = sign_response(question, STATUSES[0][0], responder=asked.responder, window=WINDOW)
    path = asked.folder / "answer.der"
    path.write_bytes(answer)
    printed = run_openssl(
        *("ocsp", "-reqin", str(asked.folder / "request.der"), "-respin", str(path)),
        *("-no-CApath", "-no-CAstore", "-CAfile", str(asked.folder / "ca.pem")),
    ).stdout.decode()
    assert "Response verify OK" in printed
    assert "WARNING" not in printed  # it would warn of a nonce that is missing or another


def test_answers_signed_ahead_are_accepted(tmp_path):
    """Both of them, for clients without nonce."""
    asked = Asked(tmp_path)
    serial = asked.leaf.certificate.serial_number
    ready = presign_responses(serial, REVOKED, responder=asked.responder, window=WINDOW)
    for answer, digest in ((ready.sha1, "-sha1"), (ready.sha256, "-sha256")):
        printed = asked.judge(answer, "-no_nonce", digest)
        assert "Response verify OK" in printed
        assert "leaf.pem: revoked" in printed


def test_another_cas_answer_is_refused(tmp_path):
    """An answer signed by a CA of the same name does not verify."""
    asked = Asked(tmp_path)
    (tmp_path / "other").mkdir()
    other = Asked(tmp_path / "other", delegated=False)
    answer = presign_responses(
        asked.leaf.certificate.serial_number, STATUSES[0][0], responder=other.responder, window=WINDOW
    )
    assert "Response verify OK" not in asked.judge(answer.sha1, "-no_nonce")


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (OcspFailure.MALFORMED_REQUEST, "malformedrequest"),
        (OcspFailure.INTERNAL_ERROR, "internalerror"),
        (OcspFailure.TRY_LATER, "trylater"),
        (OcspFailure.UNAUTHORIZED, "unauthorized"),
    ],
)
def test_failures_are_understood(failure, word, tmp_path):
    """Openssl prints the failure's name."""
    assert word in Asked(tmp_path).judge(render_failure(failure))
