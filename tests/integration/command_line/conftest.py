"""Every command on a real installation: one JSON document each, words for people, exit codes, nothing half done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from doorward.authority.issuing import issue
from doorward.cli.__main__ import main
from doorward.core.ports import KeyKind
from doorward.directory.principals import find_principal
from doorward.pki.csr import build_csr
from doorward.runtime.compose import Installation
from doorward.runtime.settings import load_settings
from doorward.storage import keystore
from tests.support.doorway import short_folder
from tests.support.ports import PlainKeys
from tests.support.world import operator_claim

DOCUMENT = """\
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - name: tellers [/b] read
        allow: {groups: [tellers]}
        to: {methods: [GET], paths: ["/accounts/**"]}
"""


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a guess at the passphrase costs is not what is tested here."""
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**10)


def open_below(folder: Path) -> list[str]:
    """Return the files in a folder that this process has open, one for each descriptor, sorted."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor with which they are listed
            found.append(str(link.readlink()))
    return sorted(name for name in found if name.startswith(f"{folder}/"))


@dataclass
class Site:
    """An installation, and the command line on it."""

    folder: Path

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.folder / "data"

    def run(self, *words: str, stdin: str | None = None) -> Result:
        """Run a command in this process; it closes what it opened."""
        environ = {
            "DOORWARD_DATA": str(self.data),
            "DOORWARD_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "DOORWARD_USER": "nobody",
            "DOORWARD_STATUS_LISTEN": "127.0.0.1:9",
        }
        alone = not open_below(self.data)  # a test that has it open itself keeps SQLite from closing files
        result = CliRunner(env=environ).invoke(main, words, input=stdin)
        assert not alone or not open_below(self.data), words
        return result

    def do(self, *words: str, code: int = 0, stdin: str | None = None) -> Any:
        """Run a command with --json; return its one document."""
        result = self.run(*words, "--json", stdin=stdin)
        assert result.exit_code == code, (words, result.output, result.exception)
        value = json.loads(result.stdout)
        if code in {0, 1, 4} and "error" not in value:
            return value
        assert set(value) == {"error"}, value
        assert value["error"]["code"]
        assert result.stderr == ""
        return value["error"]

    def say(self, *words: str, code: int = 0) -> str:
        """Run a command for people; return what it said on both."""
        result = self.run(*words)
        assert result.exit_code == code, (words, result.output, result.exception)
        assert "Traceback" not in result.output
        return result.output

    def opened(self) -> Installation:
        """The installation, unlocked."""
        installation = Installation(
            load_settings(
                environ={"DOORWARD_PASSPHRASE_FILE": str(self.folder / "passphrase")}, data=self.data
            )
        )
        installation.unlock()
        return installation

    def certificate(self, name: str) -> str:
        """Issue a certificate; return its id."""
        installation = self.opened()
        request = build_csr(PlainKeys().generate(KeyKind.P256), name)
        holder = find_principal(installation.services, name)
        issued = issue(installation.services, request, operator_claim(holder, "os:0"))
        installation.close()
        return issued.record.id

    def file(self, name: str, content: str | bytes) -> str:
        """Write a file; return its path."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def csr(self, name: str) -> str:
        """A request in a file; return its path."""
        return self.file(f"{name}.csr", build_csr(PlainKeys().generate(KeyKind.P256), name))


@pytest.fixture
def site() -> Iterator[Site]:
    """A founded installation with alice, a teller, and a policy."""
    with short_folder() as folder:
        made = Site(folder)
        made.do("init", "--trust-domain", "corp.example")
        made.do("person", "add", "alice", "--group", "tellers", "--display-name", "Alice [/i] A.")
        made.do("apply", "-f", made.file("policy.yaml", DOCUMENT))
        yield made
