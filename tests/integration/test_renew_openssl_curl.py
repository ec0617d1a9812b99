"""Renewal without Doorward on the machine: the how-to's own lines, run by a shell at the enrolment door."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from doorward.authority.inventory import find_certificate
from tests.support.certificates.issuing import key_pem_of
from tests.support.commands import run_program
from tests.support.enrol_door import Door, enrolment_door
from tests.support.world import Held

HOW_TO = Path(__file__).parents[2] / "docs/how-to/renew-without-people.md"
SCRIPT = re.findall(r"```sh\n(.*?)\n```", HOW_TO.read_text("utf-8"), re.DOTALL)[0]

pytestmark = pytest.mark.needs("openssl", "curl")


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """The enrolment host, once for this file."""
    with enrolment_door() as running:
        yield running


@pytest.fixture
def sensor(door: Door, tmp_path: Path) -> Held:
    """A device with its pair in a folder."""
    held = door.world.issue("sensor-1")
    chain = b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in held.chain_der)
    (tmp_path / "me.pem").write_bytes(key_pem_of(held.key) + chain)
    (tmp_path / "root.pem").write_bytes(door.root.public_bytes(Encoding.PEM))
    return held


def run(door: Door, folder: Path, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    """Run the lines with the address of the door in their first one."""
    origin = re.escape("https://enroll.corp.example:8443")
    link = door.link()
    placed = re.sub(origin, f"https://{link.host}:{link.port}", script)
    assert placed != script
    return run_program(
        ["/bin/sh", "-c", placed], cwd=folder, env={"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    )


def pair_in(folder: Path) -> x509.Certificate:
    """The certificate in the file; its key must be there too."""
    data = (folder / "me.pem").read_bytes()
    leaf = x509.load_pem_x509_certificates(data)[0]
    assert load_pem_private_key(data, None).public_key() == leaf.public_key()
    return leaf


def test_the_lines_of_the_guide_renew(door: Door, sensor: Held, tmp_path: Path) -> None:
    """Twice in a row: each time a new key and a successor of the last certificate, in one file; nothing else is left."""
    last = sensor.record.id
    for _ in range(2):
        done = run(door, tmp_path)
        assert done.returncode == 0, done.stderr
        record = find_certificate(door.world.services, f"{pair_in(tmp_path).serial_number:x}")
        assert (record.replaces, record.subject_name) == (last, "sensor-1")
        last = record.id
        door.world.clock.turn(days=130)  # a successor is renewed after a third of its life
    assert {path.name for path in tmp_path.iterdir()} == {"me.pem", "root.pem"}


@pytest.mark.parametrize("after", ["-o new-chain.pem", "mv me.pem.new me.pem"])
def test_the_lines_can_be_run_again(door: Door, sensor: Held, tmp_path: Path, after: str) -> None:
    """If they end after the certificate was issued, or after the switch, the next run succeeds."""
    lines = SCRIPT.split("\n")
    end = next(number for number, line in enumerate(lines) if after in line) + 1
    assert run(door, tmp_path, "\n".join(lines[:end])).returncode == 0
    door.world.clock.turn(days=130)
    assert run(door, tmp_path).returncode == 0
    assert find_certificate(door.world.services, f"{pair_in(tmp_path).serial_number:x}").replaces
