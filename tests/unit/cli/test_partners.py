"""The command line: trusting a partner's authorities, its people in the directory, its certificates in the inventory."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.access.deciding import AccessDecider
from doorward.access.decision import ConnectionContext
from doorward.authority.status.crls import publish_crls
from doorward.cli.completing import complete_issuer, complete_partner
from doorward.core.entities import Outcome
from doorward.verification.revocation.crl import parse_crl
from tests.support.certificates.issuing import CertifiedKey, around_now, certify, crl_at
from tests.unit.cli.conftest import DOCUMENT, Site

NOW = datetime.now(UTC).replace(microsecond=0)
DATES = around_now(200)
ROOT = certify("Clinic [b]West[/b] Root", **DATES)
ISSUING = certify("Clinic Issuing", ROOT, extra=[crl_at("http://pki.clinic.example/root.crl")], **DATES)
BOB = certify(
    "bob [/i]", ISSUING, ca=False, names=[x509.RFC822Name("bob@clinic.example")], serial=0xB0B, **DATES
)
NAME = "clinic/bob@clinic.example"


def pem(*nodes: CertifiedKey) -> bytes:
    """Certificates as they are handed over."""
    return b"".join(one.certificate.public_bytes(Encoding.PEM) for one in nodes)


@pytest.fixture
def clinic(site: Site) -> Site:
    """The clinic is trusted without a check of revocation, and `payments` trusts it."""
    files = (site.file("root.pem", pem(ROOT)), "-i", site.file("issuing.pem", pem(ISSUING)))
    site.do("ca", "import", "clinic", *files, "--revocation", "off", "--yes", "-g", "tellers")
    heard = DOCUMENT.replace("    rules:", "    trust: [own, clinic]\n    rules:")
    site.do("apply", "-f", site.file("heard.yaml", heard))
    return site


def visit(site: Site) -> Outcome:
    """Bob comes to the door, as a gateway would ask."""
    installation = site.opened()
    services = installation.services
    with services.work.read() as stores:
        (app,) = stores.applications.list()
    context = ConnectionContext(
        application_id=app.id,
        source_address="192.0.2.7",
        opened_at=services.clock.now(),
        connection_id="1",
    )
    hour = timedelta(hours=1)
    decider = AccessDecider(services, gateway_id="gtw_" + "a" * 20, lifetime=hour, anonymous_lifetime=hour)
    outcome = decider.decide(context, BOB.der).verdict.outcome
    installation.close()
    return outcome


# importing


def test_the_report_comes_before_the_trust(site: Site) -> None:
    """`--check` shows each certificate with its whole digest and what is found about it, and changes nothing."""
    files = (site.file("root.pem", pem(ROOT)), "-i", site.file("issuing.pem", pem(ISSUING)))
    said = site.say("ca", "import", "clinic", *files, "--check")
    for one in (ROOT, ISSUING):
        assert one.parsed.sha256 in said
    assert "CN=Clinic [b]West[/b] Root" in said
    assert "it can certify any name" in said
    assert "nothing was changed" in said
    value = site.do("ca", "import", "clinic", *files, "--check")
    assert {"severity", "code", "certificate", "text", "mend"} == set(value["findings"][0])
    assert site.do("ca", "show", "clinic", code=1)["code"] == "partner-unknown"


def test_nobody_is_trusted_without_a_yes(site: Site) -> None:
    """Without a terminal, and with --json, `--yes` is asked for; the report is shown all the same."""
    root = site.file("root.pem", pem(ROOT))
    said = site.say("ca", "import", "clinic", root, code=1)
    assert "not trusted without a confirmation" in said
    assert ROOT.parsed.sha256 in said
    assert site.do("ca", "import", "clinic", root, code=1)["code"] == "not-confirmed"
    assert site.do("ca", "show", "clinic", code=1)["code"] == "partner-unknown"


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1)])
def test_at_a_terminal_it_is_asked(site: Site, answer: str, code: int) -> None:
    """Below the report it asks; only a yes is one."""
    root = site.file("root.pem", pem(ROOT))
    asked = site.ask("ca", "import", "clinic", root, answer=f"{answer}\n")
    assert asked.exit_code == code, asked.output
    assert ROOT.parsed.sha256 in asked.output
    assert "trust these certificates to name the principals of clinic?" in asked.output
    assert ("trusting clinic" in asked.output) is (code == 0)


def test_an_import_says_what_comes_next(site: Site) -> None:
    """Who hears it and who may come are the next steps; if everybody may come, there is one step less."""
    files = (site.file("root.der", ROOT.der), "-i", site.file("issuing.pem", pem(ISSUING)))
    said = site.say("ca", "import", "clinic", *files, "--yes")
    assert "trusting clinic: 1 anchor, 1 intermediate" in said
    assert "trust: [own, clinic]" in said
    assert "doorward person add clinic/IDENTITY" in said
    said = site.say("ca", "import", "clinic", *files, "--yes", "--replace", "--everyone")
    assert "trust: [own, clinic]" in said
    assert "add those" not in said


def test_the_document_of_an_import(site: Site) -> None:
    """Terms, findings, change number and confirmation are members of the one document."""
    words = (
        "--domain",
        "clinic.example",
        "-g",
        "b",
        "-g",
        "a",
        "-g",
        "b",
        "--kind",
        "person",
        "--refresh",
        "30m",
    )
    value = site.do(
        "ca",
        "import",
        "clinic",
        site.file("root.pem", pem(ROOT)),
        *words,
        "--yes",
        "--allow-private",
        "127.0.0.0/8,::1",
    )
    assert (value["name"], value["domain"], value["groups"]) == ("clinic", "clinic.example", ["a", "b"])
    assert (value["refresh_seconds"], value["max_staleness_seconds"]) == (1800, 0)
    assert (value["revocation"], value["everyone"], value["allow_private"]) == (
        "require",
        False,
        ["127.0.0.0/8", "::1/128"],
    )
    assert value["notes"] == []
    assert value["seq"] > 0
    assert value["confirmed_by"] == []


def test_errors_are_refused_one_by_one(site: Site) -> None:
    """Each is named with the subject of its certificate and what to do; nothing is changed, with any answer."""
    stray = certify("Stray [i]", certify("Elsewhere", **DATES), **DATES)
    files = (site.file("root.pem", pem(ROOT)), "-i", site.file("rest.pem", pem(ISSUING, stray, BOB)))
    said = site.say("ca", "import", "clinic", *files, "--yes", code=2)
    assert "CN=Stray [i]" in said
    assert "no-path-to-an-anchor" in said
    assert "CN=bob [/i]" in said
    assert "not-a-ca" in said
    assert said.count("no-path-to-an-anchor") == 1
    faults = site.do("ca", "import", "clinic", *files, "--yes", code=2)["faults"]
    assert {"no-path-to-an-anchor", "not-a-ca"} <= {one["code"] for one in faults}
    assert all(one["hint"] for one in faults)
    said = site.say("ca", "import", "clinic", *files, "--check")
    assert "error" in said
    assert site.do("ca", "show", "clinic", code=1)["code"] == "partner-unknown"


def test_several_in_one_file_and_both_forms(site: Site) -> None:
    """A PEM file may hold any number of certificates, a DER file one; other lines in PEM are let through."""
    bundle = (
        b"# of the clinic\n" + pem(ISSUING) + b"\nsubject=/CN=x\n" + pem(certify("Second", ROOT, **DATES))
    )
    files = (site.file("root.der", ROOT.der), "-i", site.file("bundle.pem", bundle))
    site.do("ca", "import", "clinic", *files, "--yes")
    shown = site.do("ca", "show", "clinic")
    assert [one["kind"] for one in shown["authorities"]] == ["anchor", "intermediate", "intermediate"]


@pytest.mark.parametrize(
    "content",
    [b"", b"no certificate", pem(ROOT)[:200], ROOT.der[:100], ROOT.der + b"x"],
    ids=["empty", "text", "short-pem", "short-der", "long-der"],
)
def test_a_wrong_file_is_named(site: Site, content: bytes) -> None:
    """The file that holds no certificate is named, with what it should hold."""
    good, bad = site.file("root.pem", pem(ROOT)), site.file("bad.pem", content)
    error = site.do("ca", "import", "clinic", good, "-i", bad, "--yes", code=2)
    assert bad in error["detail"]
    assert error["hint"]


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        (("own", "ROOT"), 1, "name-taken"),
        (("No Name", "ROOT"), 2, "name-malformed"),
        (("clinic", "ROOT", "--replace"), 1, "partner-unknown"),
        (("clinic", "ROOT", "--refresh", "10s"), 2, "refresh-malformed"),
        (("clinic", "ROOT", "--max-staleness", "31d"), 2, "staleness-malformed"),
        (("clinic", "ROOT", "--short-lived", "8d"), 2, "short-life-malformed"),
        (("clinic", "ROOT", "--permit", "clinic.example"), 2, "subtree-malformed"),
        (("clinic", "ROOT", "--group", "No Group"), 2, "name-malformed"),
        (("clinic", "ROOT", "--domain", "No Domain"), 2, "identity-domain-malformed"),
        (("clinic", "ROOT", "--refresh", "soon"), 2, "usage-error"),
        (("clinic",), 2, "usage-error"),
        (("clinic", "/nowhere/ca.pem"), 2, "usage-error"),
    ],
)
def test_what_cannot_be_is_said(site: Site, words: tuple[str, ...], code: int, found: str) -> None:
    """Each wrong word has its error and exit code."""
    root = site.file("root.pem", pem(ROOT))
    given = [root if one == "ROOT" else one for one in words]
    assert site.do("ca", "import", *given, "--yes", code=code)["code"] == found


# looking


def test_a_partner_is_shown(clinic: Site) -> None:
    """Terms, authorities, the applications that trust it; the partner's authorities stand in the list beside our own."""
    shown = clinic.do("ca", "show", "clinic")
    assert (shown["name"], shown["heard_by"], shown["evidence"]) == ("clinic", ["payments"], [])
    said = clinic.say("ca", "show", "clinic")
    assert "CN=Clinic [b]West[/b] Root" in said
    assert "trusted by   payments" in said
    assert "revocation is not checked" in said
    rows = [one for one in clinic.do("ca", "list") if one["partner"]]
    assert [(one["kind"], one["partner"]) for one in rows] == [
        ("anchor", "clinic"),
        ("intermediate", "clinic"),
    ]
    assert "CN=Clinic [b]West[/b] Root" in clinic.say("ca", "list")
    assert clinic.do("ca", "show", "nobody", code=1)["code"] == "partner-unknown"


def test_missing_evidence_is_said(site: Site) -> None:
    """If evidence is required and none was fetched yet, `ca show` says what that means."""
    words = ("--max-staleness", "90s", "--refresh", "36h", "--permit", "email:clinic.example", "--everyone")
    site.do("ca", "import", "clinic", site.file("root.pem", pem(ROOT)), *words, "--yes")
    said = site.say("ca", "show", "clinic")
    assert "no evidence of revocation was fetched yet" in said
    assert "fetched every 36h, used 90s longer than it says" in said
    assert "permitted    email:clinic.example" in said
    assert "all that it certifies" in said
    assert "trusted by   -" in said


def test_names_of_partners_are_completed(clinic: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell is told the partners that there are."""
    monkeypatch.setenv("DOORWARD_DATA", str(clinic.data))
    command = click.Command("x")
    found = complete_partner(click.Context(command), click.Argument(["name"]), "cl")
    assert [one if isinstance(one, str) else one.value for one in found] == ["clinic"]
    theirs = {one["id"] for one in clinic.do("ca", "show", "clinic")["authorities"]}
    assert theirs < set(complete_issuer(click.Context(command), click.Argument(["name"]), "aut_"))


def test_an_authority_that_cannot_be_read_is_named(clinic: Site) -> None:
    """It vouches no more, and `ca show` and `status` say which one; the others of the partner vouch as ever."""
    services = clinic.opened().services
    with services.work.change() as stores:
        partner = stores.partners.by_name("clinic")
        assert partner is not None
        kept = stores.partners.authorities(partner.id)
        broken = dataclasses.replace(kept[0], der=b"no certificate", sha256="0" * 64, id="aut_broken")
        stores.partners.set_authorities(partner.id, [*kept, broken])
    shown = clinic.do("ca", "show", "clinic")["authorities"]
    assert [one["sha256"] for one in shown if not one["readable"]] == ["0" * 64]
    assert "cannot be read: no path leads through it" in " ".join(clinic.say("ca", "show", "clinic").split())
    parts = [
        one for one in json.loads(clinic.run("status", "--json").stdout)["parts"] if one["name"] == "partner"
    ]
    assert [one["unread"] for one in parts if "unread" in one] == [["0" * 64]]
    clinic.do("person", "add", NAME)
    assert visit(clinic) is Outcome.GOOD


# people and certificates


def test_its_people_are_added_by_their_names(clinic: Site) -> None:
    """A partner's person is added as `<partner>/<identity>`, needs no link, and gets none."""
    said = clinic.say("person", "add", NAME)
    assert "it connects with its partner's certificate" in said
    assert clinic.do("person", "show", NAME)["name"] == NAME
    assert clinic.do("invite", NAME, code=1)["code"] == "principal-of-a-partner"
    assert clinic.do("person", "add", "nobody/bob@clinic.example", code=1)["code"] == "partner-unknown"
    assert clinic.do("device", "add", "clinic/x", code=1)["code"] == "principal-kind"
    assert clinic.do("person", "add", "clinic/", code=2)["code"] == "identity-never-matches"
    files = (clinic.file("links.pem", pem(ROOT)), "-i", clinic.file("below.pem", pem(ISSUING)))
    clinic.do("ca", "import", "links", *files, "--identity", "uri", "--revocation", "off", "--yes")
    for odd in ("links/urn:[b]", "links/urn:[/b]x"):
        assert odd in clinic.say("person", "add", odd)
        assert odd in clinic.say("person", "show", odd)
        assert odd in clinic.say("group", "add", "tellers", odd)
        assert odd in clinic.say("person", "suspend", odd)
        assert odd in clinic.say("person", "list")


def test_its_certificates_are_in_the_inventory(clinic: Site) -> None:
    """What came to the door is listed as of a partner, shown with its subject as it is, and by its holder's name."""
    clinic.do("person", "add", NAME)
    assert visit(clinic) is Outcome.GOOD
    (row,) = [one for one in clinic.do("cert", "list") if one["profile"] == "partner"]
    assert (row["state"], row["serial"], row["subject"]) == ("valid", "b0b", "CN=bob [/i]")
    assert [one["id"] for one in clinic.do("cert", "list", "--of", NAME)] == [row["id"]]
    assert "partner" in clinic.say("cert", "list")
    said = clinic.say("cert", "show", row["id"])
    assert "CN=bob [/i]" in said
    shown = clinic.do("cert", "show", BOB.parsed.sha256)
    assert shown["pem"].count("BEGIN") == 1
    assert row["id"] in clinic.say("person", "show", NAME)


def test_none_of_ours_succeeds_a_partners(clinic: Site) -> None:
    """A partner's certificate is not renewed here: its holder would have two identities."""
    clinic.do("person", "add", NAME)
    visit(clinic)
    error = clinic.do("cert", "renew", BOB.parsed.sha256, "--csr", clinic.csr("bob"), code=1)
    assert error["code"] == "certificate-not-renewable"
    assert "a partner's authority issued it" in error["detail"]
    assert len(clinic.do("cert", "list")) == 1


def test_it_is_revoked_here_and_in_none_of_our_lists(clinic: Site) -> None:
    """Revoking a partner's certificate shuts our doors to it; our CRL and OCSP speak of our own only."""
    clinic.do("person", "add", NAME)
    visit(clinic)
    assert "CN=bob [/i]" in clinic.say("cert", "hold", BOB.parsed.sha256)
    assert visit(clinic) is Outcome.BAD
    clinic.do("cert", "release", BOB.parsed.sha256)
    assert visit(clinic) is Outcome.GOOD
    revoked = clinic.do("cert", "revoke", BOB.parsed.sha256, "--reason", "key-compromise")
    assert (revoked["state"], revoked["reason"]) == ("revoked", "key-compromise")
    assert visit(clinic) is Outcome.BAD
    installation = clinic.opened()
    (crl,) = publish_crls(installation.services).values()
    assert dict(parse_crl(crl.der).entries) == {}
    with installation.services.work.read() as stores:
        assert stores.status.ocsp(revoked["id"], "sha256") is None
        assert revoked["id"] not in stores.status.due_ocsp(NOW + timedelta(days=900), 10)
    installation.close()


# ending it


def test_removing_asks_at_a_terminal(clinic: Site) -> None:
    """A no leaves the partner trusted; a yes removes it."""
    assert clinic.ask("ca", "remove", "clinic", answer="n\n").exit_code == 1
    assert clinic.do("ca", "show", "clinic")["name"] == "clinic"
    assert clinic.ask("ca", "remove", "clinic", answer="y\n").exit_code == 0
    clinic.do("ca", "show", "clinic", code=1)


def test_a_removed_partner(clinic: Site) -> None:
    """Its people go with it, who still names it is said, and a second removal changes nothing."""
    clinic.do("person", "add", NAME)
    result = clinic.run("ca", "remove", "clinic")
    assert "removed partner clinic" in result.stdout
    assert "1 of its principals was removed with it" in result.stderr
    assert "`trust` of payments still names clinic" in result.stderr
    assert clinic.do("person", "show", NAME, code=1)["code"] == "principal-unknown"
    assert clinic.do("ca", "remove", "clinic")["notes"] == ["partner clinic was removed already"]
    assert clinic.do("ca", "remove", "clinc", code=1)["code"] == "partner-unknown"
    assert visit(clinic) is Outcome.BAD
    again = clinic.do("ca", "import", "clinic", clinic.file("root.pem", pem(ROOT)), "--yes")
    assert again["notes"] == ["trusted at once: `trust` of payments names clinic already"]


def test_a_principal_in_another_spelling_is_the_one_that_exists(clinic: Site) -> None:
    """The host is lower-cased; the second time the line says that the principal was kept."""
    words = ("person", "add", "clinic/bob@Clinic.example")
    assert "added person clinic/bob@clinic.example" in clinic.say(*words)
    assert "kept person clinic/bob@clinic.example" in clinic.say(*words)
