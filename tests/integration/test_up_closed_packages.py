"""Started by root, `doorward up` needs nothing of its packages once root is given up."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.ports import KeyKind
from doorward.stores.records import AuthorityKind
from tests.support.doorway import ACTOR, eventually, short_folder
from tests.support.house import House, open_house
from tests.support.late_files import LateFiles, closed_environment, may_enter

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="giving up root needs root; CI runs this as root"
)

KINDS = {kind: f"person-{number}" for number, kind in enumerate(KeyKind)}


def fetched(house: House, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of an answer of the status listener."""
    request = urllib.request.Request(
        f"http://{house.installation.settings.status_listen}{path}",
        body,
        {"Content-Type": "application/ocsp-request"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def is_open(house: House) -> bool:
    """Whether the status listener and the door answer."""
    try:
        return fetched(house, "/readyz")[0] == 200 and house.get(house.identities["bob"], "/").status == 200
    except OSError:
        return False


def serve_status(house: House) -> None:
    """Have every kind of answer of the status listener, the bad ones as well."""
    with house.services.work.read() as stores:
        issuing = stores.authorities.current(AuthorityKind.ISSUING)
    assert issuing is not None
    assert fetched(house, f"/crl/{issuing.id}.crl")[0] == 200
    assert fetched(house, f"/ca/{issuing.id}.cer") == (200, issuing.der)
    for path in ("/healthz", "/readyz", "/root.pem", "/jwks.json", "/ocsp/AAAA"):
        assert fetched(house, path)[0] == 200, path
    assert fetched(house, "/ocsp", b"no request")[0] == 200
    assert fetched(house, "/nowhere")[0] == 404
    host, _, port = house.installation.settings.status_listen.rpartition(":")
    with socket.create_connection((host, int(port)), 5) as peer:
        peer.sendall(b"\x00\xff\r\n\r\n")
        assert peer.recv(100).startswith(b"HTTP/1.1 400 ")


def enrol(house: House) -> None:
    """Enrol a person with each kind of key, and show the page of a link."""
    for kind, name in KINDS.items():
        house.person(name, "staff", key=kind)
        assert house.get(house.identities[name], "/").status == 200
    with house.session(None, app="enroll") as session:
        page, style = session.request("GET", "/join"), session.request("GET", "/static/look.css")
    assert (page.status, style.status) == (200, 200)


def withdraw(house: House) -> None:
    """End a live connection and refuse the next."""
    alice = house.person("alice", "staff")
    with house.session(alice) as session:
        assert session.request("GET", "/").status == 200
        reason = RevocationReason.KEY_COMPROMISE
        house.settle(revoke(house.services, house.certificate_of("alice"), reason, actor=ACTOR))
        with pytest.raises(OSError):
            assert session.request("GET", "/").status != 200
    with pytest.raises(OSError):
        house.get(None, "/")


def kill(house: House, part: str) -> None:
    """Kill a part, and wait until it was started again and works."""
    before = house.wait_for_pid(part)
    os.kill(before, signal.SIGKILL)
    house.wait_for_pid(part, other_than=before)
    assert eventually(lambda: is_open(house)), house.words()


def live(house: House) -> None:
    """Let the roles do all that they do in their life, and end in order."""
    house.apply("- {allow: {groups: [staff]}}")
    house.person("bob", "staff")
    serve_status(house)
    enrol(house)
    withdraw(house)
    for part in ("serve", "gateway", "envoy"):
        kill(house, part)
    house.apply("- {allow: {groups: [staff]}, to: {methods: [GET]}}")
    assert is_open(house)
    assert house.stop() == 0


def test_packages_that_the_ordinary_user_cannot_reach() -> None:
    """The door opens, serves, enrols, cuts, and comes back when it is killed, all from a folder of root's alone."""
    with short_folder() as folder:
        interpreter, environment = closed_environment(folder)
        uid = pwd.getpwnam("nobody").pw_uid
        assert may_enter(interpreter, 0)
        assert not may_enter(interpreter, uid)
        with open_house(interpreter=interpreter, environment=environment) as house:
            for part in ("serve", "gateway"):
                words = house.processes()[house.pid(part)]
                assert words[0] == interpreter
                status = Path(f"/proc/{house.pid(part)}/status").read_text(encoding="ascii")
                assert f"\nUid:\t{uid}\t" in status
            live(house)


def test_nothing_is_read_late(database_address: str) -> None:
    """Once root is given up no file of interpreter, packages or source is opened any more."""
    with short_folder() as folder:
        watch = LateFiles(folder)
        with open_house(environment=watch.environment, settings={"database": database_address}) as house:
            live(house)
        assert watch.seen() == set()
