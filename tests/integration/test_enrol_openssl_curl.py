"""The documented way without Doorward on the machine: the how-to's own lines, run by a shell."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12

from doorward.agent.link import Link, render_link
from doorward.audit.events import EventType
from tests.support.certificates.issuing import toy_ca
from tests.support.commands import run_program
from tests.support.enrol_door import Door, Front, enrolment_door, tls

HOW_TO = Path(__file__).parents[2] / "docs/how-to/enrol-with-openssl-and-curl.md"
SCRIPT = re.findall(r"```sh\n(.*?)\n```", HOW_TO.read_text("utf-8"), re.DOTALL)[0]

pytestmark = pytest.mark.needs("openssl", "curl")


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """The enrolment host, once for this file."""
    with enrolment_door() as running:
        yield running


def run(link: Link, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the lines with the link in their first one; openssl's question for a password is answered."""
    script = SCRIPT.replace("LINK='the whole link'", f"LINK='{render_link(link)}'")
    assert script != SCRIPT
    # The one thing that a test cannot type: pkcs12 asks on the terminal.
    script = script.replace("-out me.p12", "-out me.p12 -passout pass:typed-by-me")
    return run_program(
        ["/bin/sh", "-c", script], cwd=folder, env={"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    )


def test_the_lines_of_the_guide_give_a_certificate(door: Door, tmp_path: Path) -> None:
    """Pasted into a shell they leave key, chain, root and a .p12 that fit together."""
    done = run(door.link(), tmp_path)
    assert done.returncode == 0, done.stderr
    leaf, issuing = x509.load_pem_x509_certificates((tmp_path / "chain.pem").read_bytes())
    key = load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    assert leaf.subject.rfc4514_string() == "CN=alice"
    assert leaf.public_key() == key.public_key()
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "root.pem").read_bytes()))
    imported = pkcs12.load_pkcs12((tmp_path / "me.p12").read_bytes(), b"typed-by-me")
    assert len(imported.additional_certs) == 1
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir() if path.is_file()} == {0}


def test_the_lines_can_be_pasted_again(door: Door, tmp_path: Path) -> None:
    """A key that is there is used: the second run, with a fresh link, certifies the same key."""
    assert run(Link(host="enroll.localhost", port=1, token="A" * 43, root_sha256="0" * 64), tmp_path).stdout
    before = (tmp_path / "key.pem").read_bytes()
    assert run(door.link(), tmp_path).returncode == 0
    assert (tmp_path / "key.pem").read_bytes() == before
    assert (tmp_path / "chain.pem").exists()


def test_a_used_link_gives_401(door: Door, tmp_path: Path) -> None:
    """Curl says the status, and there is no chain."""
    link = door.link()
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    assert run(link, tmp_path / "first").returncode == 0
    again = run(link, tmp_path / "second")
    assert "401" in again.stderr
    assert not (tmp_path / "second" / "chain.pem").exists()


@pytest.mark.parametrize("damage", ["other", "missing"])
def test_a_link_without_the_right_pin_sends_no_token(door: Door, tmp_path: Path, damage: str) -> None:
    """Another SHA-256, or none: the lines stop before the token goes anywhere."""
    issued = len(door.world.events(EventType.CERTIFICATE_ISSUED))
    link = render_link(door.link())
    broken = link[:-64] + "0" * 64 if damage == "other" else link.partition("&")[0]
    script = SCRIPT.replace("LINK='the whole link'", f"LINK='{broken}'")
    done = run_program(["/bin/sh", "-c", script], cwd=tmp_path)
    assert "not the authority of your link" in done.stdout
    assert len(door.world.events(EventType.CERTIFICATE_ISSUED)) == issued


def test_a_second_root_slipped_behind_the_true_one_is_not_trusted(door: Door, tmp_path: Path) -> None:
    """A man in the middle appends his root to /root.pem: the first root matches the link, and only that one is trusted."""
    now = door.world.clock.now()
    evil = toy_ca(not_before=now)
    leaf = evil.server("enroll.localhost", not_before=now)
    (tmp_path / "evil.pem").write_bytes(leaf.key_pem + leaf.pem)
    seen: list[bytes] = []

    def serve(secure: ssl.SSLSocket) -> None:
        seen.append(secure.recv(65536))
        body = door.root.public_bytes(Encoding.PEM) + evil.pem
        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    front = Front(tls(tmp_path / "evil.pem", serve))
    true = door.link()
    link = Link(host=true.host, port=front.port, token=true.token, root_sha256=true.root_sha256)
    (tmp_path / "id").mkdir()
    done = run(link, tmp_path / "id")
    front.close()
    assert "(60)" in done.stderr
    assert true.token.encode() not in b"".join(seen)


def test_json_for_programs(door: Door, tmp_path: Path) -> None:
    """Curl -H 'Accept: application/json' gets the facts with the certificate."""
    (tmp_path / "root.pem").write_bytes(door.root.public_bytes(Encoding.PEM))
    (tmp_path / "request.pem").write_bytes(door.world.csr())
    link = door.link()
    done = subprocess.run(
        [
            "curl", "-fsS", "--cacert", "root.pem", "-H", f"Authorization: Bearer {link.token}",
            "-H", "Content-Type: application/pkcs10", "-H", "Accept: application/json",
            "--data-binary", "@request.pem", f"https://{link.authority}/v1/certificates",
        ],
        cwd=tmp_path, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["name"] == "alice"
