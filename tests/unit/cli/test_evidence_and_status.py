"""The command line: invitations, the authority, the evidence, status, settings and completion."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import sys
from contextlib import closing

import pytest
from click.shell_completion import BashComplete
from cryptography import x509

from doorward.audit.leaf import render_canonical
from doorward.cli.__main__ import main
from doorward.runtime import condition
from doorward.runtime.compose import Installation
from doorward.runtime.condition_part import Part
from doorward.runtime.layout import Layout
from doorward.runtime.serve import Serve
from doorward.runtime.settings import load_settings
from doorward.storage import keystore
from tests.support.commands import run_program
from tests.support.doorway import is_root
from tests.unit.cli.conftest import Site, open_below

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


def test_an_invitation_is_listed_and_withdrawn(site: Site) -> None:
    """A second link withdraws the first and says so; one is revoked by its id, once; the list never shows a token."""
    first = site.do("invite", "alice")
    second = site.do("invite", "alice")
    assert (first["notes"], second["notes"]) == ([], ["1 open link was withdrawn"])
    (row,) = site.do("invitation", "list")
    assert (row["id"], row["name"], row["expires_at"]) == (second["id"], "alice", second["expires_at"])
    assert second["id"] in site.say("invitation", "list", "--of", "alice")
    assert site.do("invitation", "revoke", first["id"])["id"] == first["id"]
    assert site.do("invitation", "revoke", second["id"])["id"] == second["id"]
    assert site.do("invitation", "list") == []
    assert site.do("invitation", "revoke", "inv_nobody", code=1)["code"] == "invitation-unknown"
    assert "no open invitations" in site.say("invitation", "list", "--of", "alice")
    third = site.do("invite", "alice")
    assert site.do("person", "suspend", "alice")["notes"] == ["1 open link was withdrawn"]
    assert site.do("invitation", "revoke", third["id"])["id"] == third["id"]


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
    """Certificates go to standard output or into a new file that only its owner can read; an old one is not touched."""
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
    renew = ["ca", "renew-root-list", "--exported", str(out), "--passphrase-file"]
    assert site.do(*renew, other, code=1)["code"] == "export-unreadable"
    assert site.do(*renew, secret)["number"] == 2
    assert "list 3 of the root is published and good until" in site.say(*renew, secret)
    assert site.do("cert", "show", site.certificate("alice"))["state"] == "valid"


@pytest.mark.parametrize(("length", "code"), [(14, 1), (15, 0)])
def test_an_exported_root_needs_what_the_pages_say(site: Site, length: int, code: int) -> None:
    """One rule for every passphrase, with one code: fifteen bytes."""
    words = site.file("words", "x" * length)
    os.chmod(words, 0o600)  # noqa: PTH101
    value = site.do("ca", "export", "--root", "--passphrase-file", words, code=code)
    assert value.get("code", "") == ("passphrase-short" if code else "")


# the evidence


def test_the_record_is_read_verified_and_exported(site: Site) -> None:
    """Events are printed as lines, the log verifies, an export verifies alone, and tampering exits 4."""
    installation = site.opened()
    serve = Serve(installation)
    serve.stop()
    installation.close()
    lines = [json.loads(line) for line in site.run("audit", "tail", "-n", "3", "--json").stdout.splitlines()]
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
    unsigned = site.say("audit", "verify", str(export))
    assert "no signature was checked" in unsigned
    assert "consistent with itself" in unsigned
    assert "verified" not in unsigned
    value = site.do("audit", "verify", str(export))
    assert (value["verified"], value["consistent"]) == (False, True)
    export.write_bytes(export.read_bytes().replace(b"principal:created", b"principal:removed", 1))
    broken = site.run(*alone, "--json")
    assert broken.exit_code == 4
    assert json.loads(broken.stdout)["faults"]
    text = site.say(*alone, code=4)
    assert "✗" in text
    assert "principal:removed" in text or "leaf" in text


def test_a_record_without_its_signature_does_not_verify(site: Site) -> None:
    """An export with an emptied checkpoint, and a database without its checkpoints, exit 4."""
    sign(site)
    export, key = site.folder / "log.jsonl", site.folder / "log.key"
    site.do("audit", "export", "--out", str(export))
    key.write_text(site.do("audit", "key")["key"] + "\n")
    header, rest = export.read_text().split("\n", 1)
    export.write_text(render_canonical(json.loads(header) | {"checkpoint": ""}).decode() + "\n" + rest)
    alone = site.run("audit", "verify", str(export), "--key", str(key), "--json")
    with sqlite3.connect(Layout(site.data).database) as connection:
        connection.execute("DELETE FROM log_checkpoints")
    connection.close()
    for judged in (alone, site.run("audit", "verify", "--json")):
        value = json.loads(judged.stdout)
        assert (judged.exit_code, value["verified"], value["anchored_size"]) == (4, False, 0)
        assert [fault["code"] for fault in value["faults"]] == ["checkpoint-missing"]
    assert "checkpoint-missing" in site.say("audit", "verify", code=4)


def test_an_empty_key_is_no_key(site: Site) -> None:
    """A key file without a key is refused, and does not mean that none was given."""
    sign(site)
    export = site.folder / "log.jsonl"
    site.do("audit", "export", "--out", str(export))
    error = site.do("audit", "verify", str(export), "--key", site.file("key", "\n"), code=2)
    assert error["code"] == "key-malformed"
    assert site.do("audit", "verify", "--key", site.file("key", ""), code=2)["code"] == "key-malformed"


def test_a_log_without_a_signed_checkpoint(site: Site) -> None:
    """Before `serve` first ran there is nothing to verify: exit code 3, with what to do; no success."""
    for words in (("audit", "verify"), _young_export(site)):
        error = site.do(*words, code=3)
        assert error["code"] == "checkpoint-missing"
        assert "doorward serve" in error["hint"]


def _young_export(site: Site) -> tuple[str, ...]:
    export, key = site.folder / "young.jsonl", site.folder / "log.key"
    site.do("audit", "export", "--out", str(export))
    key.write_text(site.do("audit", "key")["key"])
    return ("audit", "verify", str(export), "--key", str(key))


def test_the_first_events_are_signed_as_they_are_sequenced(site: Site) -> None:
    """There is no moment in which an honest log has events and no checkpoint; later ones wait, and are counted."""
    installation = site.opened()
    serve = Serve(installation)
    while serve._sequence():
        pass
    first = site.do("audit", "verify")
    site.do("person", "add", "bob")
    serve._sequence()
    text = site.say("audit", "verify")
    serve.stop()
    installation.close()
    assert first["verified"] is True
    assert first["size"] == first["anchored_size"] > 0
    assert "the newest 1 of them are not under a signed checkpoint" in text


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


def sign(site: Site) -> None:
    """Sequence the events and sign a checkpoint, as `serve` does."""
    installation = site.opened()
    Serve(installation).stop()
    installation.close()


def test_a_checkpoint_is_kept_with_every_export(site: Site) -> None:
    """To standard output or into a file, the checkpoint is written into a new file, and never over an older one."""
    assert site.do("audit", "export", "--checkpoint-out", str(site.folder / "early"), code=3)["code"] == (
        "checkpoint-missing"
    )
    assert not (site.folder / "early").exists()
    sign(site)
    first, second, log = (site.folder / name for name in ("first", "second", "log.jsonl"))
    exported = site.run("audit", "export", "--checkpoint-out", str(first))
    note = json.loads(exported.stdout.splitlines()[0])["checkpoint"]
    assert note
    assert first.read_text() == note
    site.do("person", "add", "bob")
    sign(site)
    assert site.do("audit", "export", "--out", str(log), "--checkpoint-out", str(first), code=1)["code"] == (
        "file-exists"
    )
    assert not log.exists()
    refused = site.run("audit", "export", "--checkpoint-out", str(first))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "--checkpoint-out" in refused.stderr
    assert first.read_text() == note
    value = site.do("audit", "export", "--out", str(log), "--checkpoint-out", str(second))
    assert second.read_text() == value["checkpoint"] != note


def test_an_export_is_its_owners(site: Site) -> None:
    """Names and addresses of people are in files that only the owner may read, with any umask."""
    sign(site)
    log, note = site.folder / "log.jsonl", site.folder / "note"
    log.write_text("an older export")
    log.chmod(0o644)
    before = os.umask(0)
    try:
        site.do("audit", "export", "--personal", "--force", "--out", str(log), "--checkpoint-out", str(note))
    finally:
        os.umask(before)
    assert "Alice" in log.read_text()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (log, note)] == [0o600, 0o600]


def test_an_export_that_fails_leaves_no_file(site: Site) -> None:
    """Where the place cannot be written nothing of the name is there."""
    assert site.do("audit", "export", "--out", "/nowhere/log", code=3)["code"] == "file-unusable"


# status


def test_trouble_of_now_is_shown_not_the_last_report(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that was killed has reported that all is well."""
    down = Part(
        name="gateway", text="g", trouble=("its process has ended",), facts={"trouble": [], "busy": 1}
    )
    monkeypatch.setattr(condition, "examine", lambda *_: [down])
    (found,) = json.loads(site.run("status", "--json").stdout)["parts"]
    assert (found["trouble"], found["busy"]) == (["its process has ended"], 1)


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


def test_the_advice_of_status_is_about_this_installation(site: Site) -> None:
    """Each command in the advice repeats `--data`; without it, it would start another installation."""
    option = f"--data {site.data}"
    value = json.loads(site.run("status", "--json", "--data", str(site.data)).stdout)
    hints = {one["name"]: one["hints"] for one in value["parts"]}
    assert hints["serve"] == hints["gateway"] == [f"start it: doorward up {option}"]
    assert option not in site.run("status", "--json").stdout


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
    one, request = site.certificate("alice"), site.csr("alice")
    renew = ("cert", "renew", one, "--csr", request)
    (site.folder / "passphrase").write_text("quite another passphrase\n")
    assert site.do(*renew, code=1)["code"] == "passphrase-wrong"
    assert [row["id"] for row in site.do("cert", "list")] == [one]
    (site.folder / "passphrase").chmod(0o644)
    assert site.do(*renew, code=1)["code"] == "passphrase-file-open"
    (site.folder / "passphrase").unlink()
    assert site.do(*renew, code=3)["code"] == "passphrase-unreadable"


def spoil(site: Site, hindered: str) -> None:
    """Make the key store one that cannot be opened."""
    passphrase = site.folder / "passphrase"
    match hindered:
        case "passphrase-wrong":
            passphrase.write_text("quite another passphrase\n")
        case "passphrase-file-open":
            passphrase.chmod(0o644)
        case "passphrase-unreadable":
            passphrase.unlink()
        case "keystore-missing":
            (site.data / "keys").rename(site.folder / "keys elsewhere")
        case _:
            (site.data / "keys" / keystore.HEADER).write_text("no header")


@pytest.mark.parametrize(
    "hindered",
    [
        "passphrase-unreadable",
        "passphrase-wrong",
        "passphrase-file-open",
        "keystore-missing",
        "keystore-damaged",
    ],
)
def test_a_withdrawal_does_not_wait_for_the_keys(site: Site, hindered: str) -> None:
    """Who cannot open the key store can hold, revoke and remove all the same, and is told what that means."""
    first, second = site.certificate("alice"), site.certificate("alice")
    spoil(site, hindered)
    for words, state in (
        (("cert", "hold", first), "on-hold"),
        (("cert", "release", first), "valid"),
        (("cert", "revoke", first), "revoked"),
    ):
        value = site.do(*words)
        (note,) = value["notes"]
        assert value["state"] == state
        assert hindered in note
        assert "doorward serve" in note
        assert site.do("cert", "show", first)["state"] == state
    removed = site.do("person", "remove", "alice")
    assert removed["notes"][0] == "1 certificate was revoked"
    assert hindered in removed["notes"][1]
    assert site.do("cert", "show", second)["state"] == "revoked"


def test_a_withdrawal_with_the_keys_notes_nothing(site: Site) -> None:
    """With the keys the answers are signed at once; without, they are gone and never say what is past."""
    first, second = site.certificate("alice"), site.certificate("alice")
    assert site.do("cert", "revoke", first)["notes"] == []
    spoil(site, "passphrase-unreadable")
    said = site.run("cert", "revoke", second)
    assert "is revoked" in said.stdout
    assert "passphrase-unreadable" in said.stderr
    installation = Installation(load_settings(environ={}, data=site.data))
    with installation.services.work.read() as stores:
        answers = [stores.status.ocsp(one, "sha1") for one in (first, second)]
    installation.close()
    assert answers[0] is not None
    assert answers[1] is None


OPERATOR = """
import os, sys
from doorward.cli import command, confirming, parts, state
from doorward.cli.commands import cert
from doorward.cli.__main__ import main
from doorward.runtime.preloading import preload_all
preload_all()  # what an ordinary user may not read of this interpreter
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
main(sys.argv[1:])
"""


@pytest.mark.skipif(not is_root(), reason="only root can make an installation for another user")
def test_an_operator_without_root_revokes(site: Site) -> None:
    """The user of the running parts may neither list the data directory nor read the passphrase, and revokes."""
    one = site.certificate("alice")
    words = ["cert", "revoke", one, "--reason", "key-compromise", "--data", str(site.data), "--json"]
    environment = {**os.environ, "DOORWARD_PASSPHRASE_FILE": str(site.folder / "passphrase")}
    done = run_program([sys.executable, "-c", OPERATOR, *words], env=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "passphrase-unreadable" in json.loads(done.stdout)["notes"][0]
    assert site.do("cert", "show", one)["state"] == "revoked"


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
    assert (
        completed("group", "add", "staff", "t") == completed("group", "remove", "staff", "t") == {"tellers"}
    )
    issuing = {one["id"] for one in site.do("ca", "list") if one["kind"] == "issuing"}
    assert completed("rule", "add", "payments", "--issuer", "") == issuing
    assert completed("rule", "add", "payments", "--profile", "d") == {"device"}
    assert completed("rule", "add", "payments", "--key", "ec-p2") == {"ec-p256"}
    assert "rsa-3072+" in completed("rule", "add", "payments", "--key", "")
    assert completed("person", "add", "x", "--group", "t") == {"tellers"}
    assert completed("policy", "explain", "--app", "pay") == {"payments"}
    invited = site.do("invite", "alice")["id"]
    assert completed("invitation", "revoke", "inv_") == {invited}
    site.do("app", "add", "wiki", "--host", "wiki.corp.example", "--upstream", "http://127.0.0.1:9001")
    assert completed("policy", "show", "") == completed("policy", "rollback", "") == {"1", "2"}
    assert {"invitation", "invitation:created"} <= completed("audit", "tail", "--event", "inv")
    assert open_below(site.data) == []  # a shell asks at every tab


def test_a_planted_trigger_is_said_by_every_command(site: Site) -> None:
    """`status`, `audit verify` and every change stop with exit code 4 and name it; without it all go on."""
    path = site.opened().layout.database
    swallow = "CREATE TRIGGER swallow BEFORE INSERT ON log_outbox BEGIN SELECT RAISE(IGNORE); END"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(swallow)
    for words in (
        ["status"],
        ["audit", "verify"],
        ["person", "add", "carol"],
        ["person", "suspend", "alice"],
    ):
        error = site.do(*words, code=4)
        assert error["code"] == "schema-altered"
        assert "trigger 'swallow'" in error["detail"]
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DROP TRIGGER swallow")
    site.do("person", "add", "carol")
