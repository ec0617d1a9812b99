"""The commands of docs/how-to/enrol-devices-with-est.md, as they stand on the page."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.clients.est import origin
from tests.support.commands import run_program
from tests.support.doorway import Doorway, Identity
from tests.support.walkthrough import ROOT, read_blocks

PAGE = ROOT / "docs" / "how-to" / "enrol-devices-with-est.md"
SECTIONS: dict[str, str] = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
)

pytestmark = [pytest.mark.xdist_group("est-clients"), pytest.mark.needs("openssl", "curl", "pki")]


def blocks(section: str) -> list[str]:
    """Return the commands of a section."""
    return re.findall(
        r"^```sh (?:server|client|pest)\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL
    )


def prepare(est: Doorway, folder: Path, device: str) -> str:
    """Run the commands of the server for another device; return the password that `invite` shows."""
    token = ""
    for line in blocks("On the server")[0].splitlines():
        words = shlex.split(
            line.replace("pump-1", device).replace("authority.pem", str(folder / "authority.pem"))
        )
        assert words[0] == "doorward"
        done = est.command(*words[1:], "--json")
        assert done.exit_code == 0, done.output
        if words[1] == "invite":
            found = json.loads(done.output)["est"]
            assert found["name"] == device
            token = found["password"]
    return token


@pytest.mark.parametrize(("section", "device"), [("curl and OpenSSL", "pump-1"), ("strongSwan", "pump-2")])
def test_the_commands_give_a_certificate_and_renew_it(
    est: Doorway, tmp_path: Path, section: str, device: str
) -> None:
    """Both blocks run in one shell; the door admits the last certificate, which is not the first one."""
    token = prepare(est, tmp_path, device)
    first, second = blocks(section)
    replaced = {"https://est.corp.example:8443": origin(est), "pump-1": device, "the password": token}
    for old, new in replaced.items():
        assert old in first
        first = first.replace(old, new)
    script = f"set -e\n{first}\ncp certificate.pem first.pem\n{second}"
    done = run_program(["/bin/sh", "-c", script], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    identity = Identity(chain=tmp_path / "certificate.pem", key=tmp_path / "key.pem")
    assert est.get(identity, "/").status == 200
    assert identity.chain.read_bytes() != (tmp_path / "first.pem").read_bytes()


def test_every_command_of_the_page_is_played_or_pests() -> None:
    """A block that is added is run here; pest is in no package, so `make clients` runs it."""
    count = sum(one.kind.startswith("sh") for one in read_blocks(PAGE))
    assert count == sum(len(blocks(one)) for one in SECTIONS)
    assert shutil.which("curl")
    assert len(blocks("pest")) == 1
