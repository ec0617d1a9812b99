"""No command passes control characters of outside text to a terminal: names, files, arguments, answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.cli.command import Command
from doorward.cli.groups import walk
from doorward.cli.table import COMMANDS
from doorward.core.certificate import CertificateState
from doorward.core.errors import ConfigurationError, Fault, RequestRefused
from tests.support import records
from tests.support.certificates.issuing import around_now, certify
from tests.unit.cli.conftest import DOCUMENT, Site

HOSTILE = "x\x1b]0;owned\x07\x1b[2J\x7f\x9b31m\x85\u202e\u2066\u061c\u200f\u2028\u200b[red]"
"""C0, C1 (ECMA-48 section 5), bidirectional controls (UAX #9 section 2), a separator, markup."""


def is_safe(text: str) -> bool:
    """Whether a terminal shows every character of it and obeys none."""
    return all(one.isprintable() or one == "\n" for one in text)


def hostile_lines(site: Site, words: tuple[str, ...], command: click.Command) -> Iterator[list[str]]:
    """Command lines with the hostile text in one place each; in the others stands what the command may take."""
    if words == ("demo",):  # it takes no text
        return
    document = site.file("good.yaml", DOCUMENT)
    plain, required = list[str](), list[str]()
    for one in command.params:
        path = isinstance(one.type, click.Path)
        value = document if path else "2" if isinstance(one.type, click.IntRange) else "alice"
        if isinstance(one, click.Argument):
            plain.append(value)
        elif isinstance(one, click.Option) and one.required:
            required += [one.opts[0], value]
    for number in range(len(plain)):
        yield [*words, *required, *plain[:number], HOSTILE, *plain[number + 1 :]]
    for one in command.params:
        if isinstance(one, click.Option) and not one.is_flag and one.opts[0] != "--data":
            yield [*words, *required, one.opts[0], HOSTILE, *plain]
    yield [*words, f"--{HOSTILE}"]
    yield [*words[:-1], f"{words[-1]}{HOSTILE}"]


RUNS_ON = {("up",), ("serve",), ("gateway",)}


def test_hostile_words_on_every_command_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each argument and each option of each command takes or refuses them in safe words, and with --json in JSON."""
    monkeypatch.chdir(site.folder)  # where `--out` writes
    count = 0
    for words, command in ((path, entry.load()) for path, entry in walk(COMMANDS)):
        for line in hostile_lines(site, words, command):
            if words in RUNS_ON and HOSTILE not in "".join(line[1:]):
                continue
            count += 1
            for form in ([], ["--json"]):
                result = site.run(*line, *form)
                assert is_safe(result.output), (line, result.output)
                assert "Traceback" not in result.output
                if form and words != ("audit", "tail"):
                    json.loads(result.stdout)
    assert count > 100


def store_hostile(site: Site) -> None:
    """Put hostile texts where text of others is kept: certificates, partners' authorities, gateways."""
    authority = certify(f"Clinic {HOSTILE}", **around_now(200))
    file = site.file("clinic.pem", authority.certificate.public_bytes(Encoding.PEM))
    assert is_safe(site.run("ca", "import", "clinic", file, "--check").output)
    site.do("ca", "import", "clinic", file, "--yes")
    installation = site.opened()
    with installation.services.work.change() as stores:
        partner = stores.partners.by_name("clinic")
        assert partner is not None
        seen = records.certificate(7)
        stores.certificates.add_seen(
            replace(seen, subject_name=HOSTILE, profile=HOSTILE, state=CertificateState.VALID)
        )
        stores.gateways.save(replace(records.gateway("gateway-1"), name=HOSTILE, status=HOSTILE))
        found = records.evidence("clinic", f"http://{HOSTILE}")
        stores.evidence.store(replace(found, partner_id=partner.id, problem=HOSTILE))
    installation.close()


SHOWN = (
    ["ca", "list"],
    ["ca", "show", "clinic"],
    ["cert", "list"],
    ["cert", "show", "crt_"],
    ["person", "show", "alice"],
    ["status"],
    ["policy", "explain", "--principal", "alice", "--app", "payments", "GET", f"/{HOSTILE}"],
    ["app", "list"],
    ["export"],
    ["ca", "import", "clinic", "CLINIC", "--replace", "--check"],
)


def test_hostile_text_that_is_stored(site: Site) -> None:
    """What others wrote into certificates, lists and answers is shown in safe words, and with --json as the same text."""
    store_hostile(site)
    for line in SHOWN:
        words = [str(site.folder / "clinic.pem") if word == "CLINIC" else word for word in line]
        for form in ([], ["--json"]):
            result = site.run(*words, *form)
            assert is_safe(result.output), (line, result.output)
    # JSON: other words, the same value. A certificate's subject is kept with its escapes.
    assert any(HOSTILE in row.values() for row in site.do("cert", "list"))
    assert any("%1B[2J" in row["subject"] and "%E2%80%AE" in row["subject"] for row in site.do("ca", "list"))


def test_hostile_documents_and_files(site: Site) -> None:
    """What is wrong with a document is said in safe words: keys, values, and YAML that cannot be read."""
    for text in (
        f"trust_domain: corp.example\napps:\n  {json.dumps(HOSTILE)}: {{}}\n",
        f"{json.dumps(HOSTILE)}: 1\n",
        f"apps: *{HOSTILE}\n",
        f"apps: [{HOSTILE}\n",
        f"a: !{HOSTILE} x\n",
        DOCUMENT.replace("GET", json.dumps(HOSTILE)[1:-1]),
        DOCUMENT.replace("[GET]", json.dumps([HOSTILE])),
        DOCUMENT.replace("tellers [/b] read", json.dumps(HOSTILE)),
    ):
        path = site.file("bad.yaml", text)
        for command in (["apply", "-f", path], ["diff", "-f", path], ["policy", "check", "-f", path]):
            for form in ([], ["--json"]):
                result = site.run(*command, *form)
                assert is_safe(result.output), (text, result.output)
    named = str(site.folder / "dir\x1b[2J\u202e\n.pem")
    site.file("dir\x1b[2J\u202e\n.pem", "no certificate")
    for form in ([], ["--json"]):
        result = site.run("ca", "import", "other", named, "--yes", *form)
        assert result.exit_code
        assert is_safe(result.output)
        assert result.output.count("\n") <= 3  # a line feed in a name begins no line of ours


def test_whatever_an_error_carries() -> None:
    """Details, hints, notes and members of errors, such as the answer of a server, are shown safely."""
    error = RequestRefused("refused", f"the server said {HOSTILE}\n", hint=HOSTILE, answer=HOSTILE)
    error.add_note(HOSTILE)
    faults = ConfigurationError([Fault(code="one", message=HOSTILE, hint=HOSTILE, file=HOSTILE, key=HOSTILE)])
    for raised in (error, faults, ValueError(HOSTILE), OSError(2, HOSTILE, HOSTILE)):
        for form in ([], ["--json"]):

            @click.command("fails", cls=Command)
            def fails(raised: Exception = raised) -> None:
                raise raised

            result = CliRunner(env={"DOORWARD_DEBUG": "1"}).invoke(fails, form)
            assert result.exit_code
            assert is_safe(result.output), result.output
