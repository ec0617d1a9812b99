"""The command line: what every command has in common."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import click
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.cli.groups import walk
from doorward.cli.table import COMMANDS
from tests.support.doorway import short_folder
from tests.support.path_ca import certify
from tests.unit.cli.conftest import DOCUMENT, Site

ALL = {" ".join(path): entry.load() for path, entry in walk(COMMANDS)}
ELSEWHERE = {"up", "serve", "gateway", "demo", "enroll"}
"""Commands that run for long or need a door; tested with one."""

NOTHING_RUNS = {"status", "audit verify"}
"""Commands that exit 3 where `serve` never ran: nothing answers, and nothing was sequenced or signed."""


def words_for(site: Site) -> dict[str, list[str]]:
    """Words with which each command succeeds on the site, in an order in which all do."""
    first, second, third = (site.certificate("alice") for _ in range(3))
    site.do("person", "add", "invited")
    invited = site.do("invite", "invited")["id"]
    for kind in ("person", "device", "service"):
        for number in (2, 3):
            site.do(kind, "add", f"{kind}-{number}")
    policy = site.file("again.yaml", DOCUMENT)
    key = site.file("root-passphrase", "several random words")
    os.chmod(key, 0o600)  # noqa: PTH101
    exported = str(site.folder / "root.pem")
    now = datetime.now(UTC).replace(microsecond=0)
    authority = certify("Clinic", not_before=now - timedelta(days=1), not_after=now + timedelta(days=200))
    clinic = authority.certificate.public_bytes(Encoding.PEM)
    table: dict[str, list[str]] = {
        "status": [],
        "apply": ["-f", policy],
        "diff": ["-f", policy],
        "export": [],
        "app add": ["wiki", "--host", "wiki.corp.example", "--upstream", "http://127.0.0.1:9001"],
        "app list": [],
        "app set": ["wiki", "--upstream", "http://127.0.0.1:9002"],
        "rule add": ["wiki", "--group", "tellers", "--name", "all"],
        "rule remove": ["wiki", "all"],
        "app remove": ["wiki"],
        "policy history": [],
        "policy show": ["1"],
        "policy rollback": ["1"],
        "policy check": ["-f", policy],
        "policy explain": ["--principal", "alice", "--app", "payments", "GET", "/accounts/7"],
        "group create": ["more"],
        "group add": ["more", "alice"],
        "group list": [],
        "group show": ["more"],
        "group remove": ["more", "alice"],
        "invite": ["alice"],
        "invitation list": [],
        "invitation revoke": [invited],
        "cert list": [],
        "cert show": [first],
        "cert revoke": [first, "--reason", "key-compromise"],
        "cert hold": [second],
        "cert release": [second],
        "cert renew": [third, "--csr", site.csr("alice")],
        "ca list": [],
        "ca import": ["clinic", site.file("clinic.pem", clinic), "--yes"],
        "ca show": ["clinic"],
        "ca remove": ["clinic"],
        "ca export": ["--root", "--passphrase-file", key, "--out", exported],
        "ca remove-root-key": ["--exported", exported, "--passphrase-file", key],
        "ca renew-root-list": ["--exported", exported, "--passphrase-file", key],
        "audit tail": [],
        "explain": [second],
        "audit verify": [],
        "audit export": ["--out", str(site.folder / "log.jsonl")],
        "audit key": [],
        "completion": ["bash"],
    }
    for kind in ("person", "device", "service"):
        name = f"{kind}-1"
        table |= {f"{kind} {verb}": [name] for verb in ("add", "show", "suspend", "resume", "remove")}
        table[f"{kind} list"] = []
        table[f"{kind} set"] = [f"{kind}-2", "--display-name", "X"]
        table[f"{kind} rename"] = [f"{kind}-3", f"{kind}-4"]
    return table


def test_every_command_prints_one_document(site: Site) -> None:
    """Each command succeeds with --json on standard output, and nothing else is there."""
    table = words_for(site)
    assert set(table) | ELSEWHERE | {"init"} == set(ALL)
    for command, words in table.items():
        result = site.run(*command.split(), *words, "--json")
        expected = 3 if command in NOTHING_RUNS else 0
        assert result.exit_code == expected, (command, result.output, result.exception)
        if command == "audit tail":
            assert all(isinstance(json.loads(line), dict) for line in result.stdout.splitlines())
            continue
        json.loads(result.stdout)
        assert result.stdout.count("\n") == 1, command


def test_every_command_speaks_to_people(site: Site) -> None:
    """Each command says something without --json, and no JSON."""
    for command, words in words_for(site).items():
        text = site.say(*command.split(), *words, code=3 if command in NOTHING_RUNS else 0)
        if command not in {"audit tail", "audit verify", "diff", "completion"}:
            assert text.strip(), command
        assert '"error"' not in text


def test_every_command_without_an_installation() -> None:
    """Where there is no installation each command says so in one document, exits 3, and makes nothing."""
    with short_folder() as folder:
        site = Site(folder)
        there = site.file("there", "x")
        for command in sorted(set(ALL) - ELSEWHERE - {"init", "completion"} | {"serve", "gateway"}):
            words = {
                "apply": ["-f", site.file("p.yaml", DOCUMENT)],
                "diff": ["-f", site.file("p.yaml", DOCUMENT)],
                "policy check": ["-f", site.file("p.yaml", DOCUMENT)],
                "policy explain": ["--principal", "a", "--app", "b", "GET", "/"],
                "app add": ["a", "--host", "a.corp.example", "--upstream", "http://127.0.0.1:1"],
                "app set": ["a", "--upstream", "http://127.0.0.1:1"],
                "ca import": ["clinic", there, "--yes"],
                "cert renew": ["crt_x", "--csr", there],
                "group add": ["g", "a"],
                "group remove": ["g", "a"],
                "rule add": ["a", "--group", "g"],
                "rule remove": ["a", "b"],
                "policy show": ["1"],
                "policy rollback": ["1"],
                **{f"{kind} rename": ["a", "b"] for kind in ("person", "device", "service")},
                **{f"{kind} set": ["a", "--display-name", "b"] for kind in ("person", "device", "service")},
                "ca remove-root-key": ["--exported", there, "--passphrase-file", there],
                "ca renew-root-list": ["--exported", there, "--passphrase-file", there],
            }.get(command)
            if words is None:
                takes = any(isinstance(one, click.Argument) and one.required for one in ALL[command].params)
                words = ["x"] if takes else []
            error = site.do(*command.split(), *words, code=3)
            assert error["code"] == "not-initialised", command
            assert "doorward init" in error["hint"]
        assert not site.data.exists()
