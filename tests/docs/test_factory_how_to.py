"""The commands of docs/how-to/let-factory-devices-register-themselves.md, as they stand on the page."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.est import est_door, origin
from tests.support.commands import run_program
from tests.support.doorway import Doorway, Identity
from tests.support.factory import Factory, new_factory
from tests.support.walkthrough import ROOT, read_blocks

PAGE = ROOT / "docs" / "how-to" / "let-factory-devices-register-themselves.md"
SECTIONS: dict[str, str] = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
)

pytestmark = [pytest.mark.xdist_group("est-clients"), pytest.mark.needs("openssl", "curl")]


@dataclass(frozen=True, kw_only=True)
class Played:
    """The server of the page, after its first two sections."""

    door: Doorway
    factory: Factory
    folder: Path

    def server(self, section: str, **replaced: str) -> list[dict[str, object]]:
        """Run the server's commands of a section; return what each prints."""
        done = []
        (block,) = re.findall(r"^```sh server\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
        for old, new in replaced.items():
            assert old in block
            block = block.replace(old, new)
        for line in block.splitlines():
            words = shlex.split(line)
            assert words[0] == "doorward"
            result = self.door.command(*words[1:], "--json")
            assert result.exit_code == 0, (line, result.output)
            done.append(json.loads(result.output))
        return done

    def device(self, serial: str) -> Path:
        """Make the folder of a device: factory certificate and key, and our root."""
        folder = self.folder / serial
        chain, key = self.factory.device(serial).write(folder, "device", self.factory.issuing)
        chain.rename(folder / "factory.pem")
        key.rename(folder / "factory.key")
        (folder / "root.pem").write_bytes(self.door.root.read_bytes())
        return folder

    def contact(self, folder: Path, *, waits: bool = False) -> str:
        """Run the device's commands: all of them, or up to curl, for a device that waits; return curl's line."""
        (block,) = re.findall(
            r"^```sh client\n(.*?)^```$", SECTIONS["On the device"], re.MULTILINE | re.DOTALL
        )
        block = block.replace("https://est.corp.example:8443", origin(self.door))
        if (folder / "key.pem").exists():  # the same request again
            block = re.sub(r"^openssl (?:ecparam|req) .*\n", "", block, flags=re.MULTILINE)
        if waits:
            block = re.sub(r"^openssl base64 .*\n", "", block, flags=re.MULTILINE)
        done = run_program(["/bin/sh", "-c", f"set -e\n{block}"], cwd=folder)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Import the manufacturer and announce the delivery."""
    folder = tmp_path_factory.mktemp("factory")
    factory = new_factory("Acme")
    (folder / "root.pem").write_bytes(factory.root.pem)
    with est_door() as door:
        page = Played(door=door, factory=factory, folder=folder)
        page.server("Import the manufacturer", **{"acme-root.pem": str(folder / "root.pem")})
        page.server("Expect the delivery")
        yield page


def test_the_page_is_played(played: Played) -> None:
    """An announced device gets its certificate at once, another waits until it is approved; then both are let in."""
    announced, other = played.device("SN-00412"), played.device("SN-00499")
    assert played.contact(announced).startswith("200")
    assert played.contact(other, waits=True) == "202 30\n"
    listed, _ = played.server("Devices that wait", den_4m2p7q2k5a6c3e7f2h4j=waiting(played))
    assert [one["reason"] for one in listed] == ["serial-not-expected"]  # type: ignore[index]
    assert played.contact(other).startswith("200")
    for folder in (announced, other):
        assert not played.door.lets_in(
            Identity(chain=folder / "factory.pem", key=folder / "factory.key"), "/"
        )
        assert played.door.lets_in(Identity(chain=folder / "certificate.pem", key=folder / "key.pem"), "/")
    barred, shown, _ = played.server("Bar devices, remove a manufacturer")
    assert barred["changed"] == 1
    assert shown["enrolled"] == 2


def waiting(played: Played) -> str:
    """Return the id of the only device that waits."""
    (one,) = json.loads(played.door.command("device", "pending", "--json").output)
    return str(one["id"])


def test_every_command_of_the_page_is_played() -> None:
    """A block that is added is run here."""
    assert sum(one.kind.startswith("sh") for one in read_blocks(PAGE)) == 5
