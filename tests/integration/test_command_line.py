"""Every command on a real installation: one JSON document each, words for people, exit codes, nothing half done."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner, Result
from cryptography import x509

from doorward.authority.directory import find_principal
from doorward.authority.gateways import register_gateway
from doorward.authority.issuing import issue
from doorward.cli.__main__ import main
from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr
from doorward.runtime import confirming
from doorward.runtime.compose import Installation
from doorward.runtime.serve import Serve
from doorward.runtime.settings import load_settings
from doorward.storage import keystore
from tests.support.doorway import short_folder
from tests.support.ports import PlainKeys

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


@dataclass
class Site:
    """An installation, and the command line on it."""

    folder: Path

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.folder / "data"

    def run(self, *words: str, stdin: str | None = None) -> Result:
        """Run a command in this process."""
        environ = {
            "DOORWARD_DATA": str(self.data),
            "DOORWARD_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "DOORWARD_USER": "nobody",
            "DOORWARD_STATUS_LISTEN": "127.0.0.1:9",
        }
        return CliRunner(env=environ).invoke(main, words, input=stdin)

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
        issued = issue(
            installation.services, find_principal(installation.services, name), request, actor="os:0"
        )
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


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command."""
    for name, found in (
        (name, group.get_command(click.Context(group), name))
        for name in group.list_commands(click.Context(group))
    ):
        if isinstance(found, click.Group):
            yield from leaves(found, (*path, name))
        else:
            yield " ".join((*path, name))


ELSEWHERE = {"up", "serve", "gateway", "demo", "enroll"}
"""Commands that run for long or need a door; tested with one."""


def words_for(site: Site) -> dict[str, list[str]]:
    """Words with which each command succeeds on the site, in an order in which all do."""
    first, second, third = (site.certificate("alice") for _ in range(3))
    policy = site.file("again.yaml", DOCUMENT)
    key = site.file("root-passphrase", "several random words")
    os.chmod(key, 0o600)  # noqa: PTH101
    exported = str(site.folder / "root.pem")
    table: dict[str, list[str]] = {
        "status": [],
        "apply": ["-f", policy],
        "diff": ["-f", policy],
        "export": [],
        "app add": ["wiki", "--host", "wiki.corp.example", "--upstream", "http://127.0.0.1:9001"],
        "app list": [],
        "policy check": ["-f", policy],
        "policy explain": ["--principal", "alice", "--app", "payments", "GET", "/accounts/7"],
        "group create": ["more"],
        "group add": ["more", "alice"],
        "group list": [],
        "group remove": ["more", "alice"],
        "invite": ["alice"],
        "cert list": [],
        "cert show": [first],
        "cert revoke": [first, "--reason", "key-compromise"],
        "cert hold": [second],
        "cert release": [second],
        "cert renew": [third, "--csr", site.csr("alice")],
        "ca list": [],
        "ca export": ["--root", "--passphrase-file", key, "--out", exported],
        "ca remove-root-key": ["--exported", exported, "--passphrase-file", key],
        "audit tail": [],
        "audit verify": [],
        "audit export": ["--out", str(site.folder / "log.jsonl")],
        "audit key": [],
        "completion": ["bash"],
    }
    for kind in ("person", "device", "service"):
        name = f"{kind}-1"
        table |= {f"{kind} {verb}": [name] for verb in ("add", "show", "suspend", "resume", "remove")}
        table[f"{kind} list"] = []
    return table


def test_every_command_prints_one_document(site: Site) -> None:
    """Each command succeeds with --json on standard output, and nothing else is there."""
    table = words_for(site)
    assert set(table) | ELSEWHERE | {"init"} == set(leaves(main))
    for command, words in table.items():
        result = site.run(*command.split(), *words, "--json")
        expected = 3 if command == "status" else 0
        assert result.exit_code == expected, (command, result.output, result.exception)
        if command == "audit tail":
            assert all(isinstance(json.loads(line), dict) for line in result.stdout.splitlines())
            continue
        json.loads(result.stdout)
        assert result.stdout.count("\n") == 1, command


def test_every_command_speaks_to_people(site: Site) -> None:
    """Each command says something without --json, and no JSON."""
    for command, words in words_for(site).items():
        text = site.say(*command.split(), *words, code=3 if command == "status" else 0)
        if command not in {"audit tail", "diff", "completion"}:
            assert text.strip(), command
        assert '"error"' not in text


def test_every_command_without_an_installation() -> None:
    """Where there is no installation each command says so in one document, exits 3, and makes nothing."""
    with short_folder() as folder:
        site = Site(folder)
        there = site.file("there", "x")
        for command in sorted(set(leaves(main)) - ELSEWHERE - {"init", "completion"} | {"serve", "gateway"}):
            words = {
                "apply": ["-f", site.file("p.yaml", DOCUMENT)],
                "diff": ["-f", site.file("p.yaml", DOCUMENT)],
                "policy check": ["-f", site.file("p.yaml", DOCUMENT)],
                "policy explain": ["--principal", "a", "--app", "b", "GET", "/"],
                "app add": ["a", "--host", "a.corp.example", "--upstream", "http://127.0.0.1:1"],
                "cert renew": ["crt_x", "--csr", there],
                "group add": ["g", "a"],
                "group remove": ["g", "a"],
                "ca remove-root-key": ["--exported", there, "--passphrase-file", there],
            }.get(command)
            if words is None:
                takes = any(
                    isinstance(one, click.Argument) and one.required for one in _command(command).params
                )
                words = ["x"] if takes else []
            error = site.do(*command.split(), *words, code=3)
            assert error["code"] == "not-initialised", command
            assert "doorward init" in error["hint"]
        assert not site.data.exists()


def _command(name: str) -> click.Command:
    found: click.Command = main
    for word in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)  # type: ignore[assignment]
    return found


# the first start


def test_init_says_what_it_made(site: Site) -> None:
    """The first start names the data, the domain and the passphrase file; a second one is refused."""
    with short_folder() as folder:
        fresh = Site(folder)
        value = fresh.do("init", "--trust-domain", "other.example", "--listen", "127.0.0.1:9443")
        assert value == {
            "data": str(fresh.data),
            "trust_domain": "other.example",
            "passphrase_file": str(folder / "passphrase"),
        }
        assert load_settings(environ={}, data=fresh.data).gateway_listen == "127.0.0.1:9443"
        assert fresh.do("init", "--trust-domain", "other.example", code=1)["code"] == "already-initialised"
        assert "already" in fresh.say("init", "--trust-domain", "other.example", code=1)
    with short_folder() as folder:
        fresh = Site(folder)
        assert fresh.do("init", code=2)["faults"][0]["key"] == "trust_domain"
        assert not fresh.data.exists()
        assert fresh.do("init", "--trust-domain", "No Domain", code=2)["faults"][0]["key"] == "trust_domain"
        assert "made now" in fresh.say("init", "--trust-domain", "corp.example")


# the directory


def test_people_and_groups(site: Site) -> None:
    """People are added, shown, put into groups and removed; each error has its exit code."""
    shown = site.do("person", "show", "alice")
    assert (shown["name"], shown["state"], shown["groups"]) == ("alice", "active", ["tellers"])
    assert shown["certificates"] == []
    certificate = site.certificate("alice")
    assert site.do("person", "show", "alice")["certificates"][0]["id"] == certificate
    assert certificate in site.say("person", "show", "alice")
    assert site.do("person", "add", "alice", code=1)["code"] == "name-taken"
    assert site.do("person", "add", "No Name", code=2)["code"] == "name-malformed"
    assert site.do("person", "show", "nobody", code=1)["code"] == "principal-unknown"
    assert site.do("device", "show", "alice", code=1)["code"] == "principal-kind"
    assert site.do("device", "list") == []
    assert "no devices" in site.say("device", "list")
    assert [row["name"] for row in site.do("person", "list")] == ["alice"]
    assert "alice" in site.say("person", "list")
    assert site.do("group", "list") == [{"group": "tellers", "members": 1}]
    assert site.do("group", "remove", "nowhere", "alice", code=1)["code"] == "group-unknown"
    assert site.do("person", "suspend", "alice")["state"] == "suspended"
    assert site.do("person", "resume", "alice")["state"] == "active"
    removed = site.do("person", "remove", "alice")
    assert (removed["state"], removed["confirmed_by"]) == ("removed", [])
    assert site.do("cert", "show", certificate)["state"] == "revoked"


def test_a_new_group_is_mentioned(site: Site) -> None:
    """A group that a slip of the pen created is said, on standard error only."""
    result = site.run("person", "add", "bob", "--group", "telers")
    assert "telers" in result.stderr
    assert "was created" in result.stderr
    assert "was created" in site.run("group", "add", "tellrs", "bob").stderr
    assert site.run("person", "add", "carol", "--group", "tllers", "--json").stderr == ""


# certificates


def test_the_life_of_a_certificate(site: Site) -> None:
    """A certificate is found, held, released, renewed and revoked; what cannot be is refused."""
    one = site.certificate("alice")
    assert [row["id"] for row in site.do("cert", "list")] == [one]
    assert [row["id"] for row in site.do("cert", "list", "--of", "alice", "--state", "valid")] == [one]
    assert site.do("cert", "list", "--state", "revoked") == []
    assert site.do("cert", "list", "--of", "nobody", code=1)["code"] == "principal-unknown"
    assert site.do("cert", "list", "--after", one) == []
    shown = site.do("cert", "show", one)
    assert x509.load_pem_x509_certificates(shown["pem"].encode())
    assert "BEGIN CERTIFICATE" in site.say("cert", "show", one, "--pem")
    assert site.do("cert", "show", shown["sha256"][:12])["id"] == one
    assert site.do("cert", "hold", one)["state"] == "on hold"
    assert site.do("cert", "hold", one, code=1)["code"] == "transition-refused"
    assert site.do("cert", "release", one)["state"] == "valid again"
    out = site.folder / "chain.pem"
    renewed = site.do("cert", "renew", one, "--csr", site.csr("alice"), "--out", str(out))
    assert (renewed["replaces"], renewed["principal"]) == (one, shown["principal"])
    assert out.read_text() == renewed["pem"]
    assert "renewed" in site.say("cert", "renew", one, "--csr", site.csr("alice"), "--out", str(out))
    assert "BEGIN CERTIFICATE" in site.say("cert", "renew", one, "--csr", site.csr("alice"))
    revoked = site.do("cert", "revoke", one, "--reason", "key-compromise")
    assert (revoked["state"], revoked["confirmed_by"], revoked["away"]) == ("revoked", [], [])
    assert site.do("cert", "revoke", one, code=1)["code"] == "transition-refused"
    assert site.do("cert", "show", one)["reason"] == "key-compromise"
    assert site.do("cert", "show", "crt_nothing", code=1)["code"] == "certificate-unknown"


def test_gateways_that_do_not_confirm(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that lives and does not confirm is an error that says the change is stored; one away is named."""
    monkeypatch.setattr(confirming, "PATIENCE_SECONDS", 0.0)
    one, two = site.certificate("alice"), site.certificate("alice")
    installation = site.opened()
    register_gateway(installation.services, name="gw-1", assertion_jwk="{}", actor="os:0")
    installation.close()
    error = site.do("cert", "revoke", one, code=3)
    assert error["code"] == "gateways-behind"
    assert "gw-1" in error["detail"]
    assert error["seq"] > 0
    assert site.do("cert", "show", one)["state"] == "revoked"
    monkeypatch.setattr("doorward.authority.gateways.FRESH_WITHIN", timedelta(days=-1))
    value = site.do("cert", "revoke", two)
    assert (value["confirmed_by"], value["away"]) == ([], ["gw-1"])
    assert "away: gw-1" in site.say("person", "suspend", "alice")


# the policy


def test_the_document_comes_and_goes(site: Site) -> None:
    """A document is compared, applied, exported; the same one again is no change."""
    assert site.do("export")["document"] == DOCUMENT
    assert site.run("export").stdout == DOCUMENT
    assert site.do("diff", "-f", "-", stdin=DOCUMENT)["differences"] == []
    assert "no difference" in site.run("diff", "-f", "-", stdin=DOCUMENT).stdout
    again = site.do("apply", "-f", "-", stdin=DOCUMENT)
    assert (again["changed"], again["revision"]) == (False, 1)
    other = DOCUMENT.replace("[GET]", "[GET, HEAD]")
    path = site.file("other.yaml", other)
    assert site.do("diff", "-f", path, code=1)["differences"]
    assert "~" in site.say("diff", "-f", path, code=1) or "+" in site.say("diff", "-f", path, code=1)
    assert site.do("apply", "-f", path, "--expect", "7", code=1)["code"] == "revision-conflict"
    value = site.do("apply", "-f", path, "--expect", "1")
    assert (value["changed"], value["revision"]) == (True, 2)
    assert value["seq"] > again["revision"]
    assert site.do("export")["document"] == other
    assert "revision 3" in site.say("apply", "-f", site.file("p.yaml", DOCUMENT))
    assert "nothing changed" in site.say("apply", "-f", site.file("p.yaml", DOCUMENT))


def test_faults_of_a_document_change_nothing(site: Site) -> None:
    """Every fault is listed with its line, the exit code is 2, and the old document stays."""
    path = site.file("bad.yaml", DOCUMENT.replace("groups", "gruops").replace("[GET]", "[get it]"))
    for command in ("apply", "diff", "policy check"):
        error = site.do(*command.split(), "-f", path, code=2)
        assert len(error["faults"]) == 3
        assert all(fault["line"] > 0 and fault["file"] == path for fault in error["faults"])
        text = site.say(*command.split(), "-f", path, code=2)
        assert f"{path}:8:" in text
        assert "→" in text
    assert site.do("export")["document"] == DOCUMENT


def test_findings_are_notes(site: Site) -> None:
    """Names that the directory does not know are notes, not errors."""
    path = site.file("p.yaml", DOCUMENT.replace("[tellers]", "[tellers, nobody-yet]"))
    assert any("nobody-yet" in one for one in site.do("policy", "check", "-f", path)["findings"])
    assert "nobody-yet" in site.say("policy", "check", "-f", path)
    result = site.run("apply", "-f", path)
    assert "nobody-yet" in result.stderr


def test_a_decision_is_explained(site: Site) -> None:
    """Each rule says whether it holds and why; a refusal exits 1; odd paths and names break nothing."""
    words = ["policy", "explain", "--principal", "alice", "--app", "payments"]
    good = site.do(*words, "GET", "/accounts/7")
    assert (good["allowed"], good["path"]) == (True, "/accounts/7")
    assert good["rules"][0]["holds"] is True
    refused = site.run(*words, "GET", "/other", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["allowed"] is False
    assert "tellers [/b] read" in site.say(*words, "GET", "/accounts/7")
    assert "[/dim]" in site.say(*words, "GET", "/a[/dim]%2f..", code=1)
    assert site.do("policy", "explain", "--principal", "x", "--app", "payments", "GET", "/", code=1)["code"]
    assert site.do(*words[:-1], "nothing", "GET", "/", code=1)["code"] == "app-unknown"


def test_applications(site: Site) -> None:
    """An application is added to the document; a second one of its name is refused."""
    value = site.do("app", "add", "wiki", "--host", "wiki.corp.example", "--upstream", "http://127.0.0.1:1")
    assert value["changed"] is True
    assert [row["name"] for row in site.do("app", "list")] == ["payments", "wiki"]
    assert "wiki.corp.example" in site.say("app", "list")
    again = ["app", "add", "wiki", "--host", "w.corp.example", "--upstream", "http://127.0.0.1:1"]
    assert site.do(*again, code=1)["code"] == "app-exists"
    assert site.do("app", "add", "x", "--host", "x.corp.example", "--upstream", "gopher://x", code=2)[
        "faults"
    ]


# invitations


def test_an_invitation_is_a_link(site: Site) -> None:
    """The link carries address, token and pin; the words for people hold the command to run."""
    value = site.do("invite", "alice", "--hours", "2")
    assert value["link"].startswith("https://enroll.corp.example:8443/")
    assert "#" in value["link"]
    assert value["link"] in value["command"]
    text = site.say("invite", "alice")
    assert "doorward enroll '" in text
    assert site.do("invite", "nobody", code=1)["code"] == "principal-unknown"


@pytest.mark.parametrize(
    "link",
    [
        "",
        "x",
        "https://enroll.corp.example",
        "https://enroll.corp.example/join#" + "a" * 5000,
        "file:///etc/passwd",
    ],
)
def test_a_link_that_is_none(site: Site, link: str) -> None:
    """Enrolling with anything but a link is a usage error, and makes no file."""
    out = site.folder / "mine"
    assert site.do("enroll", link, "--out", str(out), code=2)["code"]
    assert not out.exists()


# the authority


def test_the_authority_is_exported(site: Site) -> None:
    """Certificates go to standard output or into a new file that is nobody else's; an old one is not touched."""
    pem = site.run("ca", "export").stdout
    assert len(x509.load_pem_x509_certificates(pem.encode())) == 2
    assert site.do("ca", "export")["pem"] == pem
    out = site.folder / "ca.pem"
    assert site.do("ca", "export", "--out", str(out))["written"] == str(out)
    assert out.read_text() == pem
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert site.do("ca", "export", "--out", str(out), code=1)["code"] == "file-exists"
    assert "written to" in site.say("ca", "export", "--out", str(site.folder / "odd [x] [bold].pem"))
    assert {row["kind"] for row in site.do("ca", "list")} == {"root", "issuing", "ocsp-responder"}
    assert "corp.example" in site.say("ca", "list")
    assert site.do("ca", "export", "--out", "/nowhere/ca.pem", code=3)["code"] == "file-unusable"


def test_the_roots_key_leaves_only_after_its_export(site: Site) -> None:
    """The root's key is exported encrypted, compared, and only then removed."""
    secret = site.file("words", "several random words\n")
    other = site.file("other", "quite other random words\n")
    for path in (secret, other):
        os.chmod(path, 0o600)  # noqa: PTH101
    out = site.folder / "root.pem"
    assert "ENCRYPTED" in site.run("ca", "export", "--root", "--passphrase-file", secret).stdout
    site.do("ca", "export", "--root", "--passphrase-file", secret, "--out", str(out))
    remove = ["ca", "remove-root-key", "--exported", str(out), "--passphrase-file"]
    assert site.do(*remove, other, code=1)["code"]
    assert site.do(*remove, secret) == {"removed": True}
    assert site.do("ca", "export", "--root", "--passphrase-file", secret, code=1)["code"]
    assert site.do("cert", "show", site.certificate("alice"))["state"] == "valid"


# the evidence


def test_the_record_is_read_verified_and_exported(site: Site) -> None:
    """Events are printed as lines, the log verifies, an export verifies alone, and tampering exits 4."""
    installation = site.opened()
    serve = Serve(installation)
    serve.stop()
    installation.close()
    lines = [json.loads(line) for line in site.run("audit", "tail", "-n", "3").stdout.splitlines()]
    assert len(lines) == 3
    assert lines[-1]["number"] == lines[0]["number"] + 2
    assert site.run("audit", "tail", "-n", "0").stdout == ""
    report = site.do("audit", "verify")
    assert (report["verified"], report["signature_verified"], report["faults"]) == (True, True, [])
    assert "events verified" in site.say("audit", "verify")
    export, note, key = (site.folder / name for name in ("log.jsonl", "checkpoint", "log.key"))
    value = site.do("audit", "export", "--out", str(export), "--checkpoint-out", str(note))
    assert value["events"] == report["size"]
    key.write_text(site.do("audit", "key")["key"] + "\n")
    assert site.run("audit", "export").stdout_bytes == export.read_bytes()
    alone = ["audit", "verify", str(export), "--checkpoint", str(note), "--key", str(key)]
    assert site.do(*alone)["verified"] is True
    assert "no signature was checked" in site.say("audit", "verify", str(export))
    export.write_bytes(export.read_bytes().replace(b"principal:created", b"principal:removed", 1))
    broken = site.run(*alone, "--json")
    assert broken.exit_code == 4
    assert json.loads(broken.stdout)["faults"]
    text = site.say(*alone, code=4)
    assert "✗" in text
    assert "principal:removed" in text or "leaf" in text


def test_files_that_are_no_evidence(site: Site) -> None:
    """Garbage in the files that verification is given is a clear error."""
    site.opened().close()
    garbage = site.file("garbage", b"\xff\xfe" * 100)
    assert site.do("audit", "verify", "--checkpoint", garbage, code=2)["code"] == "file-not-text"
    result = site.run("audit", "verify", garbage, "--json")
    assert result.exit_code in {2, 4}
    json.loads(result.stdout)
    assert site.do("audit", "verify", "--key", site.file("key", "no key"), code=2)["code"]
    (site.data / "log.key").unlink()
    assert site.do("audit", "key", code=1)["code"] == "log-key-missing"


def test_an_export_that_fails_leaves_no_file(site: Site) -> None:
    """Where the place cannot be written nothing of the name is there."""
    assert site.do("audit", "export", "--out", "/nowhere/log", code=3)["code"] == "file-unusable"


# status


def test_status_says_what_to_do(site: Site) -> None:
    """Where nothing runs status says so part by part and exits 3."""
    result = site.run("status", "--json")
    assert result.exit_code == 3
    value = json.loads(result.stdout)
    assert value["well"] is False
    parts = {one["name"]: one for one in value["parts"]}
    assert parts["serve"]["trouble"]
    assert parts["authority"]["trouble"] == []
    text = site.say("status", code=3)
    assert "✗" in text
    assert "✓" in text
    assert "doorward up" in text


# settings


def test_broken_settings_stop_every_command(site: Site) -> None:
    """A settings file with faults is an error that names file and key; --data leads elsewhere."""
    (site.data / "doorward.toml").write_text('gateway_listen = "nonsense"\nnothing = 1\n')
    error = site.do("person", "list", code=2)
    assert {fault["key"] for fault in error["faults"]} == {"gateway_listen", "nothing"}
    assert str(site.data / "doorward.toml") in site.say("person", "list", code=2)
    other = site.do("person", "list", "--data", str(site.folder / "other"), code=3)
    assert other["code"] == "not-initialised"


def test_a_wrong_passphrase_is_refused(site: Site) -> None:
    """Commands that sign need the passphrase; those that do not work without it."""
    one = site.certificate("alice")
    (site.folder / "passphrase").write_text("quite another passphrase\n")
    assert site.do("cert", "revoke", one, code=1)["code"] == "passphrase-wrong"
    assert site.do("cert", "show", one)["state"] == "valid"
    (site.folder / "passphrase").chmod(0o644)
    assert site.do("cert", "revoke", one, code=1)["code"] == "passphrase-file-open"
    (site.folder / "passphrase").unlink()
    assert site.do("cert", "revoke", one, code=3)["code"] == "passphrase-unreadable"


# completion


def test_names_are_completed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tab key knows people by kind, groups and applications, of the installation that the line names."""
    site.do("person", "add", "alan")
    site.do("device", "add", "alarm")
    monkeypatch.delenv("DOORWARD_DATA", raising=False)

    def completed(*words: str) -> set[str]:
        words = (*words[:2], "--data", str(site.data), *words[2:])
        monkeypatch.setenv("COMP_WORDS", " ".join(("doorward", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        complete = BashComplete(main, {}, "doorward", "_DOORWARD_COMPLETE")
        return {one.split(",", 1)[1] for one in complete.complete().splitlines()}

    assert completed("person", "show", "al") == {"alice", "alan"}
    assert completed("device", "suspend", "al") == {"alarm"}
    assert completed("cert", "list", "--of", "al") == {"alice", "alan", "alarm"}
    assert completed("group", "add", "te") == {"tellers"}
    assert completed("group", "add", "tellers", "ala") == {"alan", "alarm"}
    assert completed("person", "add", "x", "--group", "t") == {"tellers"}
    assert completed("policy", "explain", "--app", "pay") == {"payments"}
