"""The command line on a real installation, in this process: founded once, and copied for each test."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from click.testing import CliRunner, Result

from doorward.authority.issuing import issue
from doorward.cli.__main__ import main
from doorward.core.ports import KeyKind
from doorward.directory.principals import find_principal
from doorward.pki.csr import build_csr
from doorward.runtime.compose import Installation
from doorward.runtime.settings import load_settings
from tests.support.doorway import quick_keys, short_folder
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


@pytest.fixture(scope="module", autouse=True)
def cheap_keys() -> Iterator[None]:
    """In these modules alone: others start processes, which know the real cost only."""
    with quick_keys():
        yield


def open_below(folder: Path) -> list[str]:
    """Return the files in a folder that this process has open, one for each descriptor, sorted."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor with which they are listed
            found.append(str(link.readlink()))
    return sorted(name for name in found if name.startswith(f"{folder}/"))


class Terminal(CliRunner):
    """Runs a command with a standard input that says that it is a terminal."""

    @contextmanager
    def isolation(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """As click's, with that standard input."""
        with super().isolation(*args, **kwargs) as streams:
            sys.stdin.isatty = lambda: True  # type: ignore[method-assign]
            yield streams


class Answer(io.BytesIO):
    """What a person types; `meanwhile` happens while the question waits."""

    def __init__(self, text: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__(text.encode())
        self._meanwhile = meanwhile

    def read1(self, size: int | None = -1) -> bytes:
        """Return what is typed."""
        self._meanwhile()
        return super().read1(size)


@dataclass
class Site:
    """An installation, and the command line on it."""

    folder: Path

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.folder / "data"

    def run(
        self,
        *words: str,
        stdin: str | IO[bytes] | None = None,
        kind: type[CliRunner] = CliRunner,
    ) -> Result:
        """Run a command in this process; it closes what it opened."""
        environ = {
            "DOORWARD_DATA": str(self.data),
            "DOORWARD_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "DOORWARD_USER": "nobody",
            "DOORWARD_STATUS_LISTEN": "127.0.0.1:9",
        }
        alone = not open_below(self.data)  # a test that has it open itself keeps SQLite from closing files
        result = kind(env=environ).invoke(main, words, input=stdin)
        assert not alone or not open_below(self.data), words
        return result

    def ask(self, *words: str, answer: str, meanwhile: Callable[[], object] = lambda: None) -> Result:
        """Run a command at a terminal, where a person answers its question."""
        return self.run(*words, stdin=Answer(answer, meanwhile), kind=Terminal)

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
        principal = find_principal(installation.services, name)
        issued = issue(installation.services, request, operator_claim(principal, "os:0"))
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

    @contextmanager
    def copied(self) -> Iterator[Site]:
        """Yield a copy of it in a folder of its own, with the same owners."""
        with short_folder() as folder:
            for source in (self.folder, *self.folder.rglob("*")):
                place = folder / source.relative_to(self.folder)
                if source.is_dir():
                    place.mkdir(exist_ok=True)
                else:
                    shutil.copyfile(source, place)
                state = source.stat()
                os.chown(place, state.st_uid, state.st_gid)
                place.chmod(state.st_mode & 0o7777)
            yield Site(folder)


@pytest.fixture(scope="session")
def founded() -> Iterator[Site]:
    """A founded installation with alice, a teller, and a policy; tests take copies."""
    with short_folder() as folder:
        made = Site(folder)
        with quick_keys():
            made.do("init", "--trust-domain", "corp.example")
            made.do("person", "add", "alice", "--group", "tellers", "--display-name", "Alice [/i] A.")
            made.do("apply", "-f", made.file("policy.yaml", DOCUMENT))
        yield made


@pytest.fixture
def site(founded: Site) -> Iterator[Site]:
    """A founded installation with alice, a teller, and a policy."""
    with founded.copied() as copy:
        yield copy
