"""The command line: what every command has in common, and what each says of a success and of an error."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority.founding import load_root_key
from doorward.authority.issuing import certify_issuing
from doorward.authority.rollover import ceremony
from doorward.authority.status.publication import publication_addresses
from doorward.cli.groups import walk
from doorward.cli.table import COMMANDS
from doorward.core.entities import TENANT
from doorward.core.factor_kinds import FactorKind
from doorward.directory.fleets import admission, manufacturers, tags
from doorward.pki.csr import parse_csr
from doorward.runtime.compose import Installation
from doorward.runtime.serve import Serve
from doorward.stores.fleet_records import ApprovalMode
from doorward.stores.notice_protocols import Notice, NoticeChannel, NoticeKind
from doorward.stores.records import AuthorityKind
from doorward.stores.services import Services
from tests.support.certificates.issuing import around_now, certify
from tests.support.doorway import short_folder
from tests.support.factor_records import factor, session
from tests.support.factory import request_for
from tests.unit.cli.cases import FAILURES, SUCCESSES
from tests.unit.cli.conftest import DOCUMENT, Site

ALL = {" ".join(path): entry.load() for path, entry in walk(COMMANDS)}
RUNNING = {
    "up",
    "serve",
    "gateway",
    "demo",
    "enroll",
    "agent run",
    "agent install",
    "agent renew",
    "agent status",
    "notices test",
}
"""Commands that run for long, need a door, or work on another machine; what they say is tested in `test_running_commands`
and `test_agent`, and of `notices test` in `tests/integration/test_notices_by_mail.py`."""


def things(site: Site) -> dict[str, str]:
    """Make what the words of the cases name; return it."""
    first, second, third = (site.certificate("alice") for _ in range(3))
    site.do("person", "add", "invited")
    authority = certify("Clinic", **around_now(200))
    made = {
        "first": first,
        "second": second,
        "third": third,
        "invited": site.do("invite", "invited")["id"],
        "csr": site.csr("alice"),
        "document": site.file("again.yaml", DOCUMENT),
        "wrong": site.file("wrong.yaml", "trust_domain: corp.example\nnonsense: 1\n"),
        "clinic": site.file("clinic.pem", authority.certificate.public_bytes(Encoding.PEM)),
        "secret": site.file("root-passphrase", "several random words"),
        "empty": site.file("empty-passphrase", ""),
        "exported": str(site.folder / "root.pem"),
        "log": str(site.folder / "log.jsonl"),
        "fresh": str(site.folder / "fresh"),
        "nothing": str(site.folder / "nothing"),
        "folder": str(site.folder),
    }
    for name in ("secret", "empty"):
        os.chmod(made[name], 0o600)  # noqa: PTH101
    installation = site.opened()
    made["session"] = furnish_with_factors(installation, "alice")
    made |= furnish_with_devices(installation, site)
    furnish_with_a_notice(installation)
    made["issued"] = site.file("issued.pem", sign_request(installation.services))
    Serve(installation).stop()  # places the events of all this in the log
    installation.close()
    return made


def sign_request(services: Services) -> bytes:
    """Request a certificate for the next issuing authority; return what the root makes of it, in PEM."""
    made = ceremony.request_certificate(services, actor="os:1000").value
    with services.work.read() as stores:
        root, tenant = stores.authorities.current(AuthorityKind.ROOT), stores.tenants.get()
    assert root is not None
    assert tenant is not None
    signed = certify_issuing(
        services,
        common_name="corp.example Issuing 2",
        public_key=parse_csr(made.request).public_key,
        root=x509.load_der_x509_certificate(root.der),
        root_key=load_root_key(services, root),
        addresses=publication_addresses(tenant.status_url, root.id),
        now=services.clock.now(),
    )
    return signed.certificate.public_bytes(Encoding.PEM)


def furnish_with_devices(installation: Installation, site: Site) -> dict[str, str]:
    """Import a manufacturer, three devices of which wait; return their ids, and a file of another authority."""
    root, other = certify("Maker", **around_now(200)), certify("Acme", **around_now(200))
    manufacturers.import_manufacturer(installation.services, "maker", anchors=[root.der], actor="os:1000")
    tags.add_tag(installation.services, "spare", approval=ApprovalMode.OPERATOR, actor="os:1000")
    made = {"acme": site.file("acme.pem", other.pem), "serials": site.file("serials.txt", "SN-1\nSN-2\n")}
    for number in ("one", "two", "three"):
        device = certify(f"device {number}", root, ca=False, **around_now(100))
        try:
            admission.admit(installation.services, [device.der], request_for(), source="192.0.2.7")
        except admission.EnrolmentPending as waits:
            made[f"den_{number}"] = waits.enrolment_id
    return made


def furnish_with_factors(installation: Installation, name: str) -> str:
    """Give somebody a passkey, two recovery codes and a session at an application; return the session's id."""
    now = datetime.now(UTC).replace(microsecond=0)
    with installation.services.work.change() as stores:
        principal = stores.directory.by_name(name)
        assert principal is not None
        of = {"principal_id": principal.id, "created_at": now}
        stores.factors.add(factor("blue key", **of))
        for number in range(2):
            stores.factors.add(factor(f"code {number}", FactorKind.RECOVERY, **of))
        (application,) = stores.applications.list()
        shown = {FactorKind.PASSWORD: now, FactorKind.WEBAUTHN: now}
        opened = session(
            "bank", ends_at=now + timedelta(hours=1), application_id=application.id, factors=shown, **of
        )
        stores.sessions.add(opened)
    return opened.id


def furnish_with_a_notice(installation: Installation) -> None:
    """Plan a notice that could not be sent."""
    now = datetime.now(UTC).replace(microsecond=0)
    with installation.services.work.change() as stores:
        stores.notices.add(
            Notice(
                id="ntc_a",
                tenant=TENANT,
                kind=NoticeKind.CERTIFICATE_ENDS,
                channel=NoticeChannel.MAIL,
                mark="mail:crt_a:14",
                certificate_id="crt_a",
                days=14,
                created_at=now,
                try_at=now,
                failures=1,
                problem="the mail server [b] answers 451",
            )
        )


def words_of(command: str, words: str, made: dict[str, str]) -> list[str]:
    """The words of a line."""
    return [*command.split(), *shlex.split(words.format(**made))]


@pytest.fixture(scope="module")
def furnished(founded: Site) -> Iterator[tuple[Site, dict[str, str]]]:
    """A site on which nothing changes, and what is there."""
    with founded.copied() as site:
        yield site, things(site)


def run_all(founded: Site, *form: str) -> dict[str, tuple[Result, dict[str, str]]]:
    """Run every success in its order on one site."""
    with founded.copied() as site:
        made = things(site)
        return {
            command: (site.run(*words_of(command, case.words, made), *form), made)
            for command, case in SUCCESSES.items()
        }


@pytest.fixture(scope="module")
def for_people(founded: Site) -> dict[str, tuple[Result, dict[str, str]]]:
    """What every command says to people."""
    return run_all(founded)


@pytest.fixture(scope="module")
def for_scripts(founded: Site) -> dict[str, tuple[Result, dict[str, str]]]:
    """What every command says to scripts."""
    return run_all(founded, "--json")


def test_each_command_has_a_success_and_an_error() -> None:
    """A command that is added to the table is added here; the missing ones are named."""
    assert set(ALL) - RUNNING - set(SUCCESSES) == set()
    assert set(ALL) - set(FAILURES) == set()
    assert (set(SUCCESSES) | set(FAILURES)) - set(ALL) == set()


@pytest.mark.parametrize("command", SUCCESSES)
def test_what_it_says_to_people(command: str, for_people: dict[str, tuple[Result, dict[str, str]]]) -> None:
    """The lines of a success, in their order; no JSON."""
    case, (result, made) = SUCCESSES[command], for_people[command]
    assert result.exit_code == case.code, (result.output, result.exception)
    position = 0
    for part in case.says:
        found = result.stdout.find(part.format(**made), position)
        assert found >= 0, (part.format(**made), result.stdout)
        position = found + 1
    assert not result.stdout.startswith(("{", "["))


@pytest.mark.parametrize("command", SUCCESSES)
def test_what_it_says_to_scripts(command: str, for_scripts: dict[str, tuple[Result, dict[str, str]]]) -> None:
    """One document on one line of standard output, with exactly these members; `audit tail` has one a line."""
    case, (result, _) = SUCCESSES[command], for_scripts[command]
    assert result.exit_code == case.code, (result.output, result.exception)
    if command == "audit tail":
        assert all(isinstance(json.loads(line), dict) for line in result.stdout.splitlines())
        return
    value = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    documents = value if isinstance(value, list) else [value]
    assert {name for one in documents for name in one} == set(case.members.split())


@pytest.mark.parametrize("command", FAILURES)
def test_what_it_says_of_an_error(command: str, furnished: tuple[Site, dict[str, str]]) -> None:
    """With --json one document with code, detail and hint; for people the same, on standard error; no trace."""
    site, made = furnished
    case = FAILURES[command]
    words = words_of(command, case.words, made)
    result = site.run(*words, "--json")
    assert result.exit_code == case.code, (result.output, result.exception)
    error = json.loads(result.stdout)["error"]
    assert error["code"] == case.error, error
    assert error["detail"]
    assert {"code", "detail", "hint"} <= set(error)
    said = site.run(*words)
    assert said.exit_code == case.code
    assert said.stdout == ""
    assert case.error in said.stderr or error["detail"] in said.stderr
    assert "Traceback" not in said.stderr


def test_every_command_without_an_installation() -> None:
    """Where there is no installation each command says so in one document, exits 3, and makes nothing."""
    with short_folder() as folder:
        site = Site(folder)
        there = site.file("there", "x")
        for command in sorted(set(ALL) - RUNNING - {"init", "completion"} | {"serve", "gateway"}):
            words = {
                "apply": ["-f", site.file("p.yaml", DOCUMENT)],
                "diff": ["-f", site.file("p.yaml", DOCUMENT)],
                "policy check": ["-f", site.file("p.yaml", DOCUMENT)],
                "policy explain": ["--principal", "a", "--app", "b", "GET", "/"],
                "app add": ["a", "--host", "a.corp.example", "--upstream", "http://127.0.0.1:1"],
                "app set": ["a", "--upstream", "http://127.0.0.1:1"],
                "ca import": ["clinic", there, "--yes"],
                "manufacturer import": ["acme", "--from", there],
                "manufacturer set": ["acme", "--tag", "a"],
                "tag set": ["a", "--no-groups"],
                "manufacturer expect": ["acme", "SN-1"],
                "manufacturer bar": ["acme", "SN-1"],
                "device approve": ["den_x"],
                "device refuse": ["den_x"],
                "cert renew": ["crt_x", "--csr", there],
                "group add": ["g", "a"],
                "group remove": ["g", "a"],
                "rule add": ["a", "--group", "g"],
                "rule remove": ["a", "b"],
                "policy show": ["1"],
                "policy rollback": ["1"],
                **{f"{kind} add": ["a"] for kind in ("person", "device", "service")},
                **{f"{kind} rename": ["a", "b"] for kind in ("person", "device", "service")},
                **{f"{kind} set": ["a", "--display-name", "b"] for kind in ("person", "device", "service")},
                "session end": ["x"],
                "audit erase": ["--person", "x"],
                "ca remove-root-key": ["--exported", there, "--passphrase-file", there],
                "ca install": [there],
                "ca renew-root-list": ["--exported", there, "--passphrase-file", there],
            }.get(command)
            if words is None:
                takes = any(isinstance(one, click.Argument) and one.required for one in ALL[command].params)
                words = ["x"] if takes else []
            error = site.do(*command.split(), *words, code=3)
            assert error["code"] == "not-initialised", command
            assert "doorward init" in error["hint"]
        assert not site.data.exists()
