"""The status listener before outside judges: openssl's OCSP client and chain checker, and curl."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority import crls, revocation
from doorward.core.certificate import RevocationReason
from doorward.web.app import build_status_app
from doorward.web.pool import UseCasePool
from doorward.web.serving import TcpAddress, WebServer
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
        build_status_app(world.services, pool), TcpAddress(host="127.0.0.1", port=0), name="status"
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
    done = subprocess.run(command, cwd=site.folder, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


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
