"""The status listener before outside judges: openssl's OCSP client and chain checker, and curl."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from doorward.authority import revocation
from doorward.authority.status import crls
from doorward.core.certificate import RevocationReason
from doorward.web.app import build_status_app
from doorward.web.ocsp import OcspSurface
from doorward.web.ocsp_protocol import OcspProtocol
from doorward.web.pool import UseCasePool
from doorward.web.serving import TcpAddress, WebServer
from tests.support.commands import run_program
from tests.support.enrol_door import real_time_world
from tests.support.world import OPERATOR, Held, World

pytestmark = pytest.mark.needs("openssl", "curl")


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running status listener, and alice's certificate with its issuers as files."""

    world: World
    held: Held
    url: str
    folder: Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Serve the status of a fresh authority."""
    world, pool = real_time_world(), UseCasePool(workers=2)
    crls.publish_crls(world.services)
    held = world.issue("alice")
    server = WebServer(
        build_status_app(world.services, pool),
        TcpAddress(host="127.0.0.1", port=0),
        name="status",
        protocol=partial(OcspProtocol, OcspSurface(world.services, pool)),
    )
    server.start()
    url = f"http://{server.address}"
    for name, der in zip(("leaf", "issuing"), held.chain_der, strict=True):
        pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
        (tmp_path / f"{name}.pem").write_bytes(pem)
    yield Site(world=world, held=held, url=url, folder=tmp_path)
    server.stop()
    pool.close()


def run(site: Site, *command: str, code: int = 0) -> str:
    """Run a program in the site's folder and return what it says."""
    done = run_program(command, cwd=site.folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def question(site: Site, nonce: bytes | None) -> bytes:
    """Return a request about alice's certificate, in DER."""
    leaf, issuer = (x509.load_der_x509_certificate(der) for der in site.held.chain_der)
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256())
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def revoke(site: Site) -> None:
    """Revoke alice's certificate and publish the list."""
    revocation.revoke(site.world.services, site.held.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    crls.publish_crls(site.world.services)


@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
def test_openssl_hears_good_and_then_revoked(site: Site, nonce: str) -> None:
    """Openssl ocsp verifies the answer up to the root and reads the state, at once after a revocation."""
    run(site, "curl", "-fsS", f"{site.url}/root.pem", "-o", "root.pem")
    ask = ("openssl", "ocsp", "-issuer", "issuing.pem", "-cert", "leaf.pem", "-CAfile", "root.pem", nonce)
    good = run(site, *ask, "-url", f"{site.url}/ocsp")
    assert "Response verify OK" in good
    assert "leaf.pem: good" in good
    revoke(site)
    revoked = run(site, *ask, "-url", f"{site.url}/ocsp")
    assert "Response verify OK" in revoked
    assert "leaf.pem: revoked" in revoked
    assert "Reason: keyCompromise" in revoked


@pytest.mark.parametrize("escape", [quote, partial(quote, safe=""), str], ids=["slashes", "all", "nothing"])
@pytest.mark.parametrize("nonce", [None, b"\xff" * 128, b"\xfb" * 96], ids=["none", "slashes", "pluses"])
def test_curl_asks_in_the_path(site: Site, nonce: bytes | None, escape: Callable[[str], str]) -> None:
    """A GET is answered like a POST, however its base64 is escaped; without a nonce it is cached and then known."""
    request = question(site, nonce)
    (site.folder / "request.der").write_bytes(request)
    text = base64.b64encode(request).decode("ascii")
    assert nonce is None or "//" in text or "+" in text
    get = (
        "curl",
        "-fsS",
        "--path-as-is",
        f"{site.url}/ocsp/{escape(text)}",
        "-o",
        "answer.der",
        "-D",
        "head",
    )
    post = (
        "-H",
        "Content-Type: application/ocsp-request",
        "--data-binary",
        "@request.der",
        "-o",
        "posted.der",
    )
    run(site, *get, "--etag-save", "tag")
    run(site, "curl", "-fsS", f"{site.url}/ocsp", *post)
    answer = ocsp.load_der_ocsp_response((site.folder / "answer.der").read_bytes())
    posted = ocsp.load_der_ocsp_response((site.folder / "posted.der").read_bytes())
    assert answer.certificate_status is posted.certificate_status is ocsp.OCSPCertStatus.GOOD
    head = (site.folder / "head").read_text().lower()
    assert "content-type: application/ocsp-response" in head
    if nonce:
        assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
        assert "cache-control: no-store" in head
    else:
        assert answer.public_bytes(Encoding.DER) == posted.public_bytes(Encoding.DER)
        assert "cache-control: public, max-age=300, no-transform, must-revalidate" in head
        again = run(site, *get, "--etag-compare", "tag", "-w", "%{http_code} %{size_download}")
        assert again == "304 0"


@pytest.mark.parametrize("nonce", [b"", b"\xff" * 129], ids=["empty", "long"])
def test_nonces_of_other_lengths_are_malformed(site: Site, nonce: bytes) -> None:
    """RFC 9654 section 2.1: nothing and more than 128 octets are answered malformedRequest, and not cached."""
    request = question(site, nonce)
    path = f"{site.url}/ocsp/{quote(base64.b64encode(request).decode('ascii'), safe='')}"
    run(site, "curl", "-fsS", path, "-o", "answer.der", "-D", "head")
    answer = ocsp.load_der_ocsp_response((site.folder / "answer.der").read_bytes())
    assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    assert "cache-control: no-store" in (site.folder / "head").read_text().lower()


def test_openssl_checks_a_chain_against_the_published_list(site: Site) -> None:
    """Root by curl, issuer by its AIA path, list by its path: the chain holds until it is revoked."""
    issuing_id = site.held.record.authority_id
    check = ("openssl", "verify", "-CAfile", "root.pem", "-untrusted", "issuing.cer.pem", "-crl_check")
    for revoked in (False, True):
        if revoked:
            revoke(site)
        run(site, "curl", "-fsS", f"{site.url}/root.pem", "-o", "root.pem")
        run(site, "curl", "-fsS", f"{site.url}/ca/{issuing_id}.cer", "-o", "issuing.cer")
        run(site, "openssl", "x509", "-inform", "DER", "-in", "issuing.cer", "-out", "issuing.cer.pem")
        run(site, "curl", "-fsS", f"{site.url}/crl/{issuing_id}.crl", "-o", "list.crl")
        run(site, "openssl", "crl", "-inform", "DER", "-in", "list.crl", "-out", "list.pem")
        said = run(site, *check, "-CRLfile", "list.pem", "leaf.pem", code=2 if revoked else 0)
        assert ("certificate revoked" if revoked else "leaf.pem: OK") in said


def test_a_list_that_is_known_is_not_sent_again(site: Site) -> None:
    """Curl --etag-compare gets 304 and no body."""
    path = f"{site.url}/crl/{site.held.record.authority_id}.crl"
    run(site, "curl", "-fsS", path, "-o", "one.crl", "--etag-save", "tag")
    again = (
        "curl",
        "-fsS",
        path,
        "-o",
        "two.crl",
        "--etag-compare",
        "tag",
        "-w",
        "%{http_code} %{size_download}",
    )
    assert run(site, *again) == "304 0"
