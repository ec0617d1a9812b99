"""Enrolment and revocation as others see them: openssl and curl against the running door and status listener."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority.issuing import Entitlement, OperatorClaim, issue
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.core.ports import KeyKind
from doorward.directory.inviting import invite
from doorward.directory.principals import add_principal
from doorward.pki.csr import build_csr
from doorward.runtime.pem import render_pem
from doorward.stores.protocols import Stores
from doorward.verification.validity import has_ended
from tests.support.certificates.issuing import key_pem_of
from tests.support.commands import run_program
from tests.support.doorway import ACTOR, DOMAIN, Doorway, Identity, eventually, open_doorway
from tests.support.ports import PlainKeys
from tests.support.renewing import body_of, prove
from tests.support.world import Held

pytestmark = [pytest.mark.xdist_group("enrol-through-the-door"), pytest.mark.needs("openssl", "curl")]


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """Open one door for all tests."""
    with open_doorway() as opened:
        opened.apply("- {allow: {kind: person}}\n- {allow: {kind: device}}")
        yield opened


def _run(*command: str, code: int | None = 0) -> str:
    done = run_program(command)
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def _invite(door: Doorway, name: str) -> str:
    add_principal(door.services, PrincipalKind.PERSON, name, actor=ACTOR)
    return invite(door.services, name, lifetime=timedelta(hours=1), actor=ACTOR).token


def _curl(door: Doorway, *more: str) -> list[str]:
    host = f"enroll.{DOMAIN}"
    return ["curl", "-sS", "--max-time", "10", "--resolve", f"{host}:{door.port}:127.0.0.1", *more]


def _ask_for_certificate(door: Doorway, token: str, csr: Path, out: Path) -> list[str]:
    return _curl(
        door, "--cacert", str(door.root), "-o", str(out), "-w", "%{http_code}",
        "-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/pkcs10",
        "--data-binary", f"@{csr}", f"https://enroll.{DOMAIN}:{door.port}/v1/certificates",
    )  # fmt: skip


def _make_request(folder: Path, name: str) -> tuple[Path, Path]:
    key, csr = folder / f"{name}.key", folder / f"{name}.csr"
    _run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(csr))  # fmt: skip
    return key, csr


def test_openssl_and_curl_suffice(door: Doorway, tmp_path: Path) -> None:
    """With nothing but openssl and curl a link becomes a certificate that the door admits."""
    token = _invite(door, "dora")
    key, csr = _make_request(tmp_path, "dora")
    fetched, chain = tmp_path / "root.pem", tmp_path / "chain.pem"
    _run(*_curl(door, "-k", "-o", str(fetched), f"https://enroll.{DOMAIN}:{door.port}/root.pem"))
    pin = _run("openssl", "x509", "-in", str(door.root), "-noout", "-fingerprint", "-sha256")
    assert _run("openssl", "x509", "-in", str(fetched), "-noout", "-fingerprint", "-sha256") == pin
    assert _run(*_ask_for_certificate(door, token, csr, chain)).strip() in {"200", "201"}
    assert door.get(Identity(chain=chain, key=key), "/").status == 200


def test_of_two_at_once_one_wins(door: Doorway, tmp_path: Path) -> None:
    """Two requests with one token at the same moment: one certificate, one refusal, and nothing more later."""
    token = _invite(door, "emil")
    answers: list[str] = []

    def ask(number: int) -> None:
        _, csr = _make_request(tmp_path, f"emil-{number}")
        answers.append(
            _run(*_ask_for_certificate(door, token, csr, tmp_path / f"chain-{number}")).strip()[-3:]
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = [answer for answer in answers if answer in {"200", "201"}]
    assert len(good) == 1, answers
    ask(2)
    assert answers[-1].startswith("4")


@dataclass(frozen=True, slots=True)
class BriefClaim(OperatorClaim):
    """An operator's claim to a certificate of one second."""

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        """Return the usual entitlement, for a second."""
        return replace(OperatorClaim.examine(self, stores, now), lifetime=timedelta(seconds=1))


def test_a_sleeper_comes_back(door: Doorway, tmp_path: Path) -> None:
    """A device's certificate that has ended opens no application; renewed through the door, the new one does."""
    principal = add_principal(door.services, PrincipalKind.DEVICE, "sleeper", actor=ACTOR).value
    key = PlainKeys().generate(KeyKind.P256)
    claim = BriefClaim(actor=ACTOR, holder=principal.id, name="sleeper")
    issued = issue(door.services, build_csr(key, "sleeper"), claim)
    old = Identity(chain=tmp_path / "old.pem", key=tmp_path / "old.key")
    old.chain.write_text(render_pem(*issued.chain_der))
    old.key.write_bytes(key_pem_of(key))
    assert eventually(lambda: has_ended(issued.record.not_after, datetime.now(UTC)))
    assert not door.lets_in(old, "/")
    origin = f"https://enroll.{DOMAIN}:{door.port}"
    nonce = json.loads(_run(*_curl(door, "--cacert", str(door.root), f"{origin}/renew/nonce")))["nonce"]
    new, csr = _make_request(tmp_path, "sleeper")
    request = x509.load_pem_x509_csr(csr.read_bytes()).public_bytes(Encoding.DER)
    held = Held(record=issued.record, chain_der=issued.chain_der, key=key)
    body, chain = tmp_path / "body.json", tmp_path / "chain.pem"
    body.write_bytes(body_of(prove(held, nonce, request)))
    _run(*_curl(door, "--cacert", str(door.root), "-f", "-o", str(chain), "-H", "Content-Type: application/json",
                "--data-binary", f"@{body}", f"{origin}/renew"))  # fmt: skip
    assert door.get(Identity(chain=chain, key=new), "/").status == 200
    assert not door.lets_in(old, "/")


def test_openssl_finds_the_revocation_in_crl_and_ocsp(door: Doorway, tmp_path: Path) -> None:
    """`openssl verify -crl_check` and `openssl ocsp` accept a good certificate, and name a revoked one."""
    identity = door.person("frida")
    door.person("gustav")
    settings = door.installation.settings
    leaf, issuer, crl = tmp_path / "leaf.pem", tmp_path / "issuer.pem", tmp_path / "crl.pem"
    pems = [f"-----BEGIN{part}" for part in identity.chain.read_text().split("-----BEGIN")[1:]]
    leaf.write_text(pems[0])
    issuer.write_text(pems[1])
    address = _run("openssl", "x509", "-in", str(leaf), "-noout", "-ext", "crlDistributionPoints")
    url = next(word.removeprefix("URI:") for word in address.split() if word.startswith("URI:"))
    assert url.startswith(settings.public_status_url)
    ocsp = _run("openssl", "x509", "-in", str(leaf), "-noout", "-ocsp_uri").strip()

    def verify() -> str:
        _run("curl", "-sS", "--max-time", "5", "-o", f"{crl}.der", url)
        _run("openssl", "crl", "-inform", "DER", "-in", f"{crl}.der", "-out", str(crl))
        return _run("openssl", "verify", "-crl_check", "-CRLfile", str(crl), "-CAfile", str(door.root),
                    "-untrusted", str(issuer), str(leaf), code=None)  # fmt: skip

    def ask(*more: str) -> str:
        return _run("openssl", "ocsp", *more, "-issuer", str(issuer), "-cert", str(leaf), "-url", ocsp,
                    "-CAfile", str(door.root), "-verify_other", str(issuer))  # fmt: skip

    assert "leaf.pem: OK" in verify()
    assert "Response verify OK" in ask()
    assert "leaf.pem: good" in ask("-no_nonce")
    revoke(door.services, door.certificate_of("frida"), RevocationReason.KEY_COMPROMISE, ACTOR)
    for more in ((), ("-no_nonce",), ("-sha256",)):
        answer = ask(*more)
        assert "leaf.pem: revoked" in answer, answer
        assert "keyCompromise" in answer
    assert eventually(lambda: "certificate revoked" in verify())
