"""The `.p12` files before outside judges: OpenSSL, NSS (Firefox, Chromium on Linux), Java."""

from __future__ import annotations

from pathlib import Path

import pytest

from doorward.agent.pkcs12 import Pkcs12Form, make_password, render_pkcs12
from doorward.core.ports import KeyKind
from tests.support.certificates.issuing import CertifiedKey, toy_ca
from tests.support.commands import run_program
from tests.support.ports import FakeRandom

PASSWORD = make_password(FakeRandom())
KINDS = [KeyKind.P256, KeyKind.P384, KeyKind.RSA3072]


def run(*command: str | Path, **environment: str) -> str:
    """Run a program and return what it says; it must succeed."""
    done = run_program(
        [str(part) for part in command], env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def write(folder: Path, form: Pkcs12Form, kind: KeyKind = KeyKind.P256) -> tuple[Path, CertifiedKey]:
    """Write alice.p12 and return it with what is inside."""
    issuing = toy_ca().issuing()
    leaf = issuing.leaf("alice", key_kind=kind)
    data = render_pkcs12(
        leaf.key, leaf.certificate, [issuing.certificate], name="alice", password=PASSWORD, form=form
    )
    path = folder / "alice.p12"
    path.write_bytes(data)
    return path, leaf


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", Pkcs12Form)
@pytest.mark.needs("openssl")
def test_openssl_reads_key_and_chain(tmp_path: Path, form: Pkcs12Form, kind: KeyKind) -> None:
    """Openssl pkcs12, without its legacy provider, finds the key and both certificates."""
    path, leaf = write(tmp_path, form, kind)
    text = run("openssl", "pkcs12", "-in", path, "-passin", f"pass:{PASSWORD}", "-noenc")
    assert text.count("BEGIN CERTIFICATE") == 2
    assert text.count("BEGIN PRIVATE KEY") == 1
    assert leaf.pem.decode().strip() in text


@pytest.mark.parametrize(
    ("form", "cipher", "mac"),
    [
        (Pkcs12Form.MODERN, "PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256", "sha256"),
        (Pkcs12Form.LEGACY, "pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 100000", "sha1"),
    ],
)
@pytest.mark.needs("openssl")
def test_each_form_is_what_its_importers_know(
    tmp_path: Path, form: Pkcs12Form, cipher: str, mac: str
) -> None:
    """Key and certificates are encrypted alike, the MAC has the form's hash and an 8-byte salt.

    A MAC salt of 16 bytes is said to have kept macOS from importing.
    """
    path, _ = write(tmp_path, form)
    text = run("openssl", "pkcs12", "-in", path, "-passin", f"pass:{PASSWORD}", "-info", "-noout")
    assert text.count(cipher) == 2, text
    assert f"MAC: {mac}, Iteration " in text
    assert "salt length: 8" in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", Pkcs12Form)
@pytest.mark.needs("pk12util", "certutil")
def test_nss_imports_key_and_chain(tmp_path: Path, form: Pkcs12Form, kind: KeyKind) -> None:
    """pk12util puts alice's key and certificate into a database as Firefox and Chromium have it."""
    path, _ = write(tmp_path, form, kind)
    database = tmp_path / "nss"
    database.mkdir()
    run("certutil", "-N", "-d", f"sql:{database}", "--empty-password")
    run("pk12util", "-i", path, "-d", f"sql:{database}", "-W", PASSWORD, "-K", "")
    assert "alice" in run("certutil", "-K", "-d", f"sql:{database}")
    listed = run("certutil", "-L", "-d", f"sql:{database}")
    assert "alice" in listed
    assert "u,u,u" in listed
    assert "Toy Issuing" in listed


@pytest.mark.parametrize("form", Pkcs12Form)
@pytest.mark.needs("keytool", must=False)
def test_java_reads_the_key_entry(tmp_path: Path, form: Pkcs12Form) -> None:
    """Keytool finds one private key entry with a chain of two."""
    path, _ = write(tmp_path, form)
    text = run("keytool", "-list", "-v", "-storetype", "PKCS12", "-keystore", path, "-storepass", PASSWORD)
    assert "PrivateKeyEntry" in text
    assert "Certificate chain length: 2" in text
