"""EST (RFC 7030) with other people's clients, through the door: curl with openssl, strongSwan's pki."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from doorward.core.entities import PrincipalKind
from doorward.directory.inviting import invite
from doorward.directory.principals import add_principal
from tests.support.commands import run_program
from tests.support.doorway import ACTOR, Doorway, Identity, open_doorway

pytestmark = [pytest.mark.xdist_group("est-clients"), pytest.mark.needs("openssl", "curl", "pki")]

HOST = "localhost"
"""The only host name that every machine resolves to itself, for clients that cannot be told an address."""


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """One door, at which every device may enter."""
    with open_doorway(settings={"est_host": HOST}) as opened:
        opened.apply("- {allow: {kind: device}}")
        yield opened


def url(door: Doorway, operation: str = "") -> str:
    """Return the address of an operation."""
    return f"https://{HOST}:{door.port}/.well-known/est/{operation}".rstrip("/")


def run(*command: str, code: int = 0, **more: object) -> str:
    """Run a program and return all that it wrote."""
    done = run_program(command, **more)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def device(door: Doorway, name: str) -> str:
    """Add a device and return the token of its link."""
    add_principal(door.services, PrincipalKind.DEVICE, name, actor=ACTOR)
    return invite(door.services, name, lifetime=timedelta(hours=1), actor=ACTOR).token


def openssl_request(folder: Path, subject: str = "/CN=anything") -> tuple[Path, Path]:
    """Make a key and a request in base64 by openssl."""
    key, request = folder / "key.pem", folder / "request.b64"
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
        "-keyout", str(key), "-outform", "DER", "-out", str(folder / "request.der"))  # fmt: skip
    run("openssl", "base64", "-in", str(folder / "request.der"), "-out", str(request))
    return key, request


def test_curl_and_openssl_enrol_by_token(door: Doorway, tmp_path: Path) -> None:
    """The authority's certificates come as PKCS#7, and a token as Basic becomes a certificate that the door admits."""
    curl = ["curl", "-sS", "--fail-with-body", "--max-time", "10", "--cacert", str(door.root)]
    run(*curl, "-o", str(tmp_path / "ca.b64"), url(door, "cacerts"))
    run("openssl", "base64", "-d", "-A", "-in", str(tmp_path / "ca.b64"), "-out", str(tmp_path / "ca.p7"))
    told = run("openssl", "pkcs7", "-inform", "DER", "-in", str(tmp_path / "ca.p7"), "-print_certs")
    assert x509.load_pem_x509_certificate(door.root.read_bytes()) in x509.load_pem_x509_certificates(
        told.encode()
    )

    key, request = openssl_request(tmp_path)
    run(*curl, "-u", f"curl-1:{device(door, 'curl-1')}", "-H", "Content-Type: application/pkcs10",
        "--data-binary", f"@{request}", "-o", str(tmp_path / "leaf.b64"), url(door, "simpleenroll"))  # fmt: skip
    run("openssl", "base64", "-d", "-A", "-in", str(tmp_path / "leaf.b64"), "-out", str(tmp_path / "leaf.p7"))
    leaf = run("openssl", "pkcs7", "-inform", "DER", "-in", str(tmp_path / "leaf.p7"), "-print_certs")
    chain = tmp_path / "chain.pem"
    chain.write_text(leaf + told)
    assert door.get(Identity(chain=chain, key=key), "/").status == 200


def test_strongswan_enrols_by_token(door: Doorway, tmp_path: Path) -> None:
    """`pki --estca` and `pki --est`: TLS 1.2, base64 in one line, no Content-Transfer-Encoding."""
    run("pki", "--estca", "--url", f"https://{HOST}:{door.port}", "--cacert", str(door.root), "--caout",
        str(tmp_path / "ca.pem"), "--outform", "pem")  # fmt: skip
    assert list(tmp_path.glob("ca*.pem"))
    key, request = tmp_path / "key.pem", tmp_path / "request.der"
    key.write_text(
        run_program(["pki", "--gen", "--type", "ecdsa", "--size", "256", "--outform", "pem"]).stdout
    )
    with request.open("wb") as out:
        run_program(["pki", "--req", "--in", str(key), "--type", "ecdsa", "--dn", "CN=swan-1"], text=False,
                    capture_output=False, stdout=out)  # fmt: skip
    done = run_program(
        ["pki", "--est", "--url", f"https://{HOST}:{door.port}", "--cacert", str(door.root), "--in", str(request),
         "--userpass", f"swan-1:{device(door, 'swan-1')}", "--outform", "pem"]
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert x509.load_pem_x509_certificate(done.stdout.encode()).subject.rfc4514_string() == "CN=swan-1"
