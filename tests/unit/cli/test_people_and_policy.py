"""The command line: the first start, the directory, certificates and the policy."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import pkcs12

from doorward.authority.gateways import register_gateway
from doorward.cli import confirming
from doorward.pki.csr import build_csr
from doorward.pki.der import encode_oid
from doorward.runtime.settings import load_settings
from tests.support.certificates.issuing import key_pem_of
from tests.support.doorway import short_folder
from tests.unit.cli.conftest import DOCUMENT, Site

# the first start


def test_init_says_what_it_made(site: Site) -> None:
    """The first start names the data, the domain and the passphrase file; what is missing or wrong is said."""
    with short_folder() as folder:
        fresh = Site(folder)
        value = fresh.do("init", "--trust-domain", "other.example", "--listen", "127.0.0.1:9443")
        assert value == {
            "data": str(fresh.data),
            "trust_domain": "other.example",
            "passphrase_file": str(folder / "passphrase"),
        }
        assert load_settings(environ={}, data=fresh.data).gateway_listen == "127.0.0.1:9443"
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
    assert site.do("group", "list") == [{"group": "tellers", "members": 1, "groups": [], "inherited": 0}]
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
    created = "the group {} did not exist and was created"
    assert site.do("person", "add", "carol", "--group", "tllers")["notes"] == [created.format("tllers")]
    assert site.do("group", "add", "tlers", "carol")["notes"] == [created.format("tlers")]
    assert site.do("group", "add", "tlers", "carol")["notes"] == ["carol was in tlers already"]
    assert site.do("person", "add", "dave")["notes"] == []


def test_groups_lie_in_groups(site: Site) -> None:
    """A group is put into a group, shown with all that it brings, and taken out; circles are refused."""
    for name in ("zoe", "tellers"):
        site.do("person", "add", name, "--group", "tellers")
    assert site.do("group", "add", "staff", "tellers", code=1)["code"] == "member-ambiguous"
    nested = site.do("group", "add", "staff", "tellers", "--kind", "group")
    assert (nested["name"], nested["kind"], nested["group"]) == ("tellers", "group", "staff")
    assert nested["notes"] == ["the group staff did not exist and was created"]
    assert site.do("group", "add", "tellers", "staff", code=1)["code"] == "group-cycle"
    assert site.do("group", "add", "clerks", "tellers", "--kind", "person")["kind"] == "person"
    assert site.do("group", "list")[1:] == [
        {"group": "staff", "members": 0, "groups": ["tellers"], "inherited": 3},
        {"group": "tellers", "members": 3, "groups": [], "inherited": 0},
    ]
    zoe = site.do("person", "show", "zoe")
    assert (zoe["groups"], zoe["inherited"]) == (["staff", "tellers"], ["staff"])
    assert "staff (through tellers)" in site.say("person", "show", "zoe")
    rows = site.do("group", "show", "staff")
    assert [(row["name"], row["kind"], row["through"]) for row in rows] == [
        ("tellers", "group", []),
        ("alice", "person", ["tellers"]),
        ("tellers", "person", ["tellers"]),
        ("zoe", "person", ["tellers"]),
    ]
    assert site.do("group", "remove", "staff", code=1)["code"] == "not-confirmed"
    assert site.do("group", "remove", "staff", "tellers", "--kind", "group")["kind"] == "group"
    assert site.do("group", "show", "staff") == []


def test_what_a_change_of_state_has_to_say_is_said(site: Site) -> None:
    """A repeat that changed nothing, and the certificates that went with a person, are said to both."""
    site.certificate("alice")
    assert site.do("person", "suspend", "alice")["notes"] == []
    assert site.do("person", "suspend", "alice")["notes"] == ["alice was suspended already"]
    assert "alice was suspended already" in site.run("person", "suspend", "alice").stderr
    assert site.do("person", "remove", "alice")["notes"] == ["1 certificate was revoked"]


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
    held = site.do("cert", "hold", one)
    assert (held["id"], held["state"], held["reason"]) == (one, "on-hold", "certificate-hold")
    (row,) = site.do("cert", "list")
    assert {name: held[name] for name in row} == row
    assert set(held) - set(row) == {"seq", "confirmed_by", "away", "milliseconds", "notes"}
    assert site.do("cert", "hold", one)["notes"] == ["it was on-hold already: certificate-hold"]
    assert site.do("cert", "release", one)["state"] == "valid"
    assert site.do("cert", "release", one)["notes"] == ["it was valid already"]
    out = site.folder / "chain.pem"
    renewed = site.do("cert", "renew", one, "--csr", site.csr("alice"), "--out", str(out))
    assert (renewed["replaces"], renewed["principal"]) == (one, shown["principal"])
    assert out.read_text() == renewed["pem"]
    again = ("cert", "renew", one, "--csr", site.csr("alice"), "--out", str(out), "--force")
    assert "renewed" in site.say(*again)
    assert "BEGIN CERTIFICATE" in site.say("cert", "renew", one, "--csr", site.csr("alice"))
    revoked = site.do("cert", "revoke", one, "--reason", "key-compromise")
    assert (revoked["state"], revoked["confirmed_by"], revoked["away"]) == ("revoked", [], [])
    assert site.do("cert", "revoke", one)["notes"] == ["it was revoked already: key-compromise"]
    assert site.do("cert", "release", one, code=1)["code"] == "transition-refused"
    assert site.do("cert", "show", one)["reason"] == "key-compromise"
    assert site.do("cert", "show", "crt_nothing", code=1)["code"] == "certificate-unknown"


def with_key(site: Site) -> tuple[str, str, EllipticCurvePrivateKey]:
    """A request and its private key, each in a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key_pem_of(key)
    return site.file("next.csr", build_csr(key, "alice")), site.file("next-key.pem", pem), key


@pytest.mark.parametrize(
    ("target", "algorithm"),
    [("linux", "2.16.840.1.101.3.4.1.42"), ("ios", "1.2.840.113549.1.12.1.3")],  # AES-256-CBC, 3DES
)
def test_renewal_makes_the_p12_too(site: Site, target: str, algorithm: str) -> None:
    """If the key is at hand, key and chain come as a PKCS#12 file in the form of its target (RFC 7292)."""
    one, out = site.certificate("alice"), site.folder / "chain.pem"
    request, file, key = with_key(site)
    done = site.do("cert", "renew", one, "--csr", request, "--key", file, "--out", str(out), "--for", target)
    p12 = out.with_suffix(".p12")
    assert (done["p12"], done["notes"], p12.stat().st_mode & 0o777) == (str(p12), [], 0o600)
    held = pkcs12.load_pkcs12(p12.read_bytes(), done["p12_password"].encode())
    assert held.cert is not None
    assert held.key is not None
    assert held.key.public_key() == key.public_key()
    chain = [held.cert.certificate, *(other.certificate for other in held.additional_certs)]
    assert chain == x509.load_pem_x509_certificates(out.read_bytes())
    assert encode_oid(algorithm) in p12.read_bytes()
    again = ("cert", "renew", one, "--csr", request, "--key", file)
    assert site.do(*again, "--out", str(out), code=1)["code"] == "file-exists"
    assert site.do(*again, code=2)["code"] == "usage-error"
    assert site.do(*again, "--out", str(p12), code=2)["code"] == "usage-error"
    said = site.say(*again, "--out", str(site.folder / "other.pem"))
    assert f"import {site.folder / 'other.p12'}" in said
    assert "the same certificate" in said
    assert len(site.do("cert", "list")) == 2  # what was refused issued nothing


def test_renewal_without_the_key_says_how_to_make_the_p12(site: Site) -> None:
    """A person with only the request gets the command; another key, or none that can be read, issues nothing."""
    one, out = site.certificate("alice"), site.folder / "chain.pem"
    request, file, _ = with_key(site)
    other = site.csr("alice")
    with_out = ("--out", str(out))
    error = site.do("cert", "renew", one, "--csr", other, "--key", file, *with_out, code=1)
    assert error["code"] == "key-of-another-request"
    error = site.do("cert", "renew", one, "--csr", request, "--key", request, *with_out, code=2)
    assert error["code"] == "key-unreadable"
    assert len(site.do("cert", "list")) == 1
    (note,) = site.do("cert", "renew", one, "--csr", request, *with_out, "--for", "linux")["notes"]
    assert note.endswith(f"openssl pkcs12 -export -inkey KEY.pem -in {out} -out NEW.p12")
    again, note = site.do("cert", "renew", one, "--csr", request, "--for", "macos")["notes"]
    assert "the same certificate" in again
    assert note.endswith("-certpbe PBE-SHA1-3DES -macalg sha1")


@pytest.mark.parametrize("reason", ["ca-compromise", "aa-compromise", "certificate-hold"])
def test_a_reason_that_is_always_refused_is_not_offered(site: Site, reason: str) -> None:
    """What no certificate of the inventory can be revoked for is a usage error, which lists the others."""
    error = site.do("cert", "revoke", "x", "--reason", reason, code=2)
    assert error["code"] == "usage-error"
    assert "key-compromise" in error["detail"]
    assert reason not in error["detail"].partition("is not one of")[2]


def test_gateways_that_do_not_confirm(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that lives and does not confirm is an error that says the change is stored; one away is named."""
    monkeypatch.setattr(confirming, "PATIENCE_SECONDS", 0.0)
    one, two = site.certificate("alice"), site.certificate("alice")
    installation = site.opened()
    register_gateway(installation.services, name="gw-1", assertion_jwk="{}")
    installation.close()
    error = site.do("cert", "revoke", one, code=3)
    assert error["code"] == "gateways-behind"
    assert "notes" not in error
    assert "gw-1" in error["detail"]
    assert error["seq"] > 0
    assert site.do("cert", "show", one)["state"] == "revoked"
    monkeypatch.setattr("doorward.authority.gateways.FRESH_WITHIN", timedelta(days=-1))
    value = site.do("cert", "revoke", two)
    assert (value["confirmed_by"], value["away"]) == ([], ["gw-1"])
    assert "away: gw-1" in site.say("person", "suspend", "alice")


def test_an_error_about_gateways_says_what_was_done(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change is stored: what it did besides is in the error's document, and before the error for people."""
    monkeypatch.setattr(confirming, "PATIENCE_SECONDS", 0.0)
    site.certificate("alice")
    installation = site.opened()
    register_gateway(installation.services, name="gw-1", assertion_jwk="{}")
    installation.close()
    site.do("person", "add", "bob")
    assert site.do("group", "add", "new", "bob", code=3)["notes"] == [
        "the group new did not exist and was created"
    ]
    error = site.do("person", "remove", "alice", code=3)
    assert (error["code"], error["notes"]) == ("gateways-behind", ["1 certificate was revoked"])
    assert "bob was in new already" in site.say("group", "add", "new", "bob", code=3)


def test_a_list_that_goes_on_says_so(site: Site) -> None:
    """Where there are more, both forms say so on standard error; the document stays a list. The last page is quiet."""
    made = [site.certificate("alice") for _ in range(3)]
    for words in ((), ("--json",)):
        page = site.run("cert", "list", "--limit", "2", *words)
        assert f"--after {made[1]}" in page.stderr
        last = site.run("cert", "list", "--limit", "2", "--after", made[0], *words)
        assert (last.exit_code, last.stderr) == (0, "")
    assert [row["id"] for row in site.do("cert", "list", "--limit", "2")] == made[:2]


def test_init_does_not_ignore_an_option(site: Site) -> None:
    """On an installation that was founded, an option that would change nothing is refused, and the hint says where."""
    error = site.do("init", "--listen", "127.0.0.1:9", code=1)
    assert error["code"] == "already-initialised"
    assert "gateway_listen" in error["detail"]
    assert "doorward.toml" in error["hint"]


def test_a_setting_that_was_forgotten_is_named_as_a_setting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No option gives the portal's key, so none is named."""
    monkeypatch.setenv("DOORWARD_PORTAL_CERTIFICATE", "/etc/doorward/portal.pem")
    said = site.say("status", code=2)
    assert "error only one of portal_certificate and portal_key is set: set both, or neither" in said
    assert "--portal-key" not in said


def test_a_setting_that_an_option_gave_is_named_by_it() -> None:
    """The option is named, not the arguments in general; what a password is part of is not shown."""
    words = [
        "--trust-domain",
        "corp.example",
        "--database",
        "postgresql://u:secret@h/x",
        "--listen",
        "nonsense",
    ]
    with short_folder() as folder:
        said = Site(folder).say("init", *words, code=2)
    assert "--database: it contains a password" in said
    assert "--listen: " in said
    assert "secret" not in said


# the policy


def test_a_sentence_names_only_some_of_many_applications(site: Site) -> None:
    """A document that removes hundreds of applications is told in a sentence that a person can read."""
    many = "".join(
        f"  a{n:02}: {{hosts: [a{n:02}.corp.example], upstream: 'http://[::1]'}}\n" for n in range(25)
    )
    site.do("apply", "-f", "-", stdin=f"trust_domain: corp.example\napps:\n{many}")
    (ends,) = site.do("diff", "-f", "-", stdin="trust_domain: corp.example\napps: {}\n", code=1)["ending"]
    assert "a00, a01" in ends
    assert "a19 and 5 more end at once" in ends


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
    assert site.do("diff", "-f", path, code=1)["ending"] == []
    open_to_all = DOCUMENT.replace("    rules", '    public: ["/share/**"]\n    rules')
    (ends,) = site.do("diff", "-f", "-", stdin=open_to_all, code=1)["ending"]
    assert "all connections to payments end within 30 seconds" in ends
    empty = "trust_domain: corp.example\napps: {}\n"
    assert "payments end at once" in site.say("diff", "-f", site.file("empty.yaml", empty), code=1)
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


def test_an_application_of_tcp(site: Site) -> None:
    """It is added with a word about what cannot work; a connection is explained without a request."""
    words = ["app", "add", "db", "--host", "db.corp.example", "--upstream"]
    said = site.say(*words, "tcp://127.0.0.1:5432")
    assert "server speaks first" in said
    assert "alpn: [postgresql]" in said
    assert site.do("app", "set", "db", "--alpn", "postgresql")["differences"] == [
        "+ apps.db.alpn: postgresql"
    ]
    assert site.do("app", "set", "db", "--alpn", "")["differences"] == ["- apps.db.alpn: postgresql"]
    site.do("rule", "add", "db", "--group", "tellers")
    value = site.do("policy", "explain", "--principal", "alice", "--app", "db")
    assert (value["allowed"], value["path"]) == (True, "")
    assert "allowed  a connection to db" in site.say(
        "policy", "explain", "--principal", "alice", "--app", "db"
    )
    for words, code in (
        (["--app", "db", "GET", "/"], "request-unwanted"),
        (["--app", "payments"], "request-missing"),
    ):
        assert site.do("policy", "explain", "--principal", "alice", *words, code=2)["code"] == code
    assert site.do("app", "list")[-1]["upstream"] == "tcp://127.0.0.1:5432"


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


def test_a_fault_of_a_shortcut_has_no_line(site: Site) -> None:
    """A person who wrote options is told of the value, and of no line of a document."""
    words = ["app", "add", "x1", "--host", "x1.corp.example", "--upstream", "tcp://127.0.0.1:0"]
    (fault,) = site.do(*words, code=2)["faults"]
    assert (fault["file"], fault["line"], fault["key"]) == ("", 0, "apps.x1.upstream")
    (fault,) = site.do("rule", "add", "payments", "--source", "10.1.2.3/8", code=2)["faults"]
    assert (fault["line"], fault["key"]) == (0, "allow.source")


def test_a_rule_about_places(site: Site) -> None:
    """`--source` names networks; the help says how to set a time window."""
    places = ["--source", "10.0.0.0/8", "--source", "2001:db8::/32"]
    (line,) = site.do("rule", "add", "payments", "--name", "inside", *places)["differences"]
    assert line == '+ apps.payments.rules.inside: allow: {source: ["10.0.0.0/8", "2001:db8::/32"]}'
    assert "10.0.0.0/8" in json.dumps(site.do("rule", "add", "payments", "--source", "10.1.2.3/8", code=2))
    assert "No option sets a time window" in site.say("rule", "add", "--help")


def test_where_and_when_are_explained(site: Site) -> None:
    """An address and a moment can be asked about; the fact that failed is named with its value."""
    word = '{groups: [tellers], source: [10.0.0.0/8], time: {days: [mon-fri], from: "08:00", to: "18:00", zone: UTC}}'
    site.do("apply", "-f", site.file("p.yaml", DOCUMENT.replace("{groups: [tellers]}", word)))
    words = ["policy", "explain", "--principal", "alice", "--app", "payments", "GET", "/accounts/7"]
    inside = [*words, "--source", "::ffff:10.1.2.3", "--at"]
    assert site.do(*inside, "2026-11-23T08:00Z")["allowed"] is True
    for more, why in (
        (
            ["--at", "2026-11-23T08:00"],
            "source: the peer's address is not known (give --source ADDRESS), the rule needs 10.0.0.0/8",
        ),
        (["--source", "192.0.2.7"], "source: 192.0.2.7 is not in 10.0.0.0/8"),
        (["--source", "10.0.0.1", "--at", "2026-11-22T12:00"], "time: it is sun 12:00 in UTC"),
    ):
        refused = site.do(*words, *more, code=1)
        assert why in refused["rules"][0]["why"]
    assert site.do(*words, "--source", "10.0.0.0/8", code=2)["code"] == "address-malformed"
    malformed = site.do(*words, "--at", "tomorrow", code=2)["detail"]
    assert "as in 2026-11-23T08:30Z" in malformed
    assert "%Y" not in malformed + site.say("policy", "explain", "--help")


def test_applications(site: Site) -> None:
    """An application is added to the document; a second one of its name is refused."""
    value = site.do("app", "add", "wiki", "--host", "wiki.corp.example", "--upstream", "http://127.0.0.1:1")
    assert value["changed"] is True
    assert [row["name"] for row in site.do("app", "list")] == ["payments", "wiki"]
    assert re.search(r"wiki +wiki\.corp\.example +http://\S+ ", site.say("app", "list"))
    again = ["app", "add", "wiki", "--host", "w.corp.example", "--upstream", "http://127.0.0.1:1"]
    assert site.do(*again, code=1)["code"] == "app-exists"
    assert site.do("app", "add", "x", "--host", "x.corp.example", "--upstream", "gopher://x", code=2)[
        "faults"
    ]


def test_a_rule_about_certificates(site: Site) -> None:
    """Options name what a certificate must have; without a valid certificate the explanation says so."""
    issuing = next(one["id"] for one in site.do("ca", "list") if one["kind"] == "issuing")
    wanted = ["--issuer", issuing, "--san-uri", "spiffe://corp.example/device/**", "--kind", "person"]
    added = site.do("rule", "add", "payments", "--name", "odd", *wanted)
    (line,) = added["differences"]
    certificate = f'{{issuer: [{issuing}], san-uri: ["spiffe://corp.example/device/**"]}}'
    assert line == f"+ apps.payments.rules.odd: allow: {{kind: [person], certificate: {certificate}}}"
    assert issuing in site.say("ca", "list")
    refused = site.run(
        "policy", "explain", "--principal", "alice", "--app", "payments", "GET", "/nowhere", "--json"
    )
    told = json.loads(refused.stdout)
    (why,) = [one["why"] for one in told["rules"] if one["rule"] == "odd"]
    assert why == f"certificate.issuer: cannot be determined, the rule needs {issuing}"
    assert told["notes"] == [
        "alice has no valid certificate, so rules about the certificate cannot be determined"
    ]
    assert told["certificate"] == ""
    bad = site.do("rule", "add", "payments", "--san-dns", "a*.corp.example", code=2)
    assert "pattern-malformed" in json.dumps(bad)


def test_the_address_of_an_explained_request_has_two_words(site: Site) -> None:
    """`--source`, and `--from` for scripts that have the old word: a wrong address is refused in the same way."""
    words = ("policy", "explain", "--principal", "alice", "--app", "payments", "GET", "/accounts/7")
    refusals = [site.do(*words, option, "nowhere", code=2) for option in ("--source", "--from")]
    assert refusals[0] == refusals[1]
    assert "--source" in site.say("policy", "explain", "--help")
    assert "--from" not in site.say("policy", "explain", "--help")
