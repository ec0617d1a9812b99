"""The condition of an installation: what is wrong, in words, with what to do about it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from doorward.authority.gateways import confirm, register_gateway
from doorward.authority.issuing import OperatorClaim, issue
from doorward.authority.rollover import leaving, moving, preparing
from doorward.authority.status.crls import publish_crls
from doorward.core.entities import PrincipalKind
from doorward.core.errors import Unavailable
from doorward.core.ports import KeyKind
from doorward.demo.ports import free_port
from doorward.directory.principals import add_principal
from doorward.pki.csr import build_csr
from doorward.runtime import condition
from doorward.runtime.compose import Installation
from doorward.runtime.condition import examine
from doorward.runtime.condition_part import Part
from doorward.runtime.layout import find_lost, only_one
from doorward.runtime.serve import Serve
from doorward.runtime.settings import Settings
from doorward.runtime.world import SoftwareKeys
from tests.support.doorway import ACTOR, open_doorway, short_folder
from tests.support.factor_records import factor

pytestmark = pytest.mark.usefixtures("quick_keys")

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024  as the standard library has it


def part(installation: Installation, name: str, *, after: timedelta = timedelta()) -> Part:
    """One part of the condition, as it will be after some time."""
    return next(one for one in examine(installation, datetime.now(UTC) + after) if one.name == name)


def test_a_running_door_is_well() -> None:
    """If everything runs, no part is in trouble, and each says what it is."""
    with open_doorway() as door:
        door.apply("- {allow: {groups: [staff]}}")
        door.person("alice", "staff")
        parts = examine(door.installation, datetime.now(UTC))
        assert [one.name for one in parts] == [
            "authority", "inventory", "lifetimes", "evidence", "serve", "gateway", "disk"
        ]  # fmt: skip
        assert [one.trouble for one in parts] == [()] * len(parts)
        assert all(one.text for one in parts)
        gateway = parts[5]
        assert gateway.facts["gateway"] == "gateway-1"
        assert str(door.port) in gateway.text


def test_nothing_runs_yet(installation: Installation) -> None:
    """A part that does not run is named, with the command that starts it."""
    for name in ("serve", "gateway"):
        found = part(installation, name)
        assert found.trouble
        assert "doorward up" in found.hints[0]
    assert part(installation, "inventory").text == "no certificates yet"
    assert part(installation, "authority").trouble == ()


def test_no_installation() -> None:
    """If there is none, that is the only answer."""
    with short_folder() as folder, pytest.raises(Unavailable) as caught:
        examine(Installation(Settings(data=folder)), datetime.now(UTC))
    assert caught.value.code == "not-initialised"


def test_an_authority_that_ends_soon(installation: Installation) -> None:
    """The end of the issuing authority is news sixty days before; the responder's only when it is past."""
    assert part(installation, "authority", after=timedelta(days=29)).trouble == ()
    ended = part(installation, "authority", after=timedelta(days=31))
    assert ended.trouble == ("the ocsp-responder certificate has expired: no OCSP answer is signed",)
    assert "serve" in ended.hints[0]
    ends = part(installation, "authority", after=timedelta(days=5 * 365 - 30)).trouble
    assert any(text.startswith("the issuing certificate ends") for text in ends)
    assert part(installation, "authority", after=timedelta(days=5 * 365 - 30)).hints


def test_a_list_that_is_not_renewed(installation: Installation) -> None:
    """An expired revocation list is reported, with a hint; one that is not valid yet is not."""
    assert part(installation, "authority").trouble == ()
    publish_crls(installation.services)
    assert part(installation, "authority", after=timedelta(hours=23)).trouble == ()
    over = part(installation, "authority", after=timedelta(hours=25))
    assert "the revocation list is out of date" in over.trouble[0]
    assert "serve" in over.hints[0]


def test_a_list_that_is_not_stored_as_it_was_signed(installation: Installation) -> None:
    """Relying parties get no list, so `status` says so, with what to do."""
    assert part(installation, "authority").trouble == ()
    with installation.database.write() as connection:
        connection.exec_driver_sql("UPDATE crl_pieces SET content = X'00'")
    damaged = part(installation, "authority")
    assert "(crl-damaged)" in damaged.trouble[0]
    assert "restore the last backup" in damaged.hints[0]


def test_a_root_list_that_is_not_renewed(installation: Installation) -> None:
    """The end of the root's list is news sixty days before, with the command that makes the next one."""
    root_list = "root's revocation list"
    assert not any(
        root_list in one for one in part(installation, "authority", after=timedelta(days=304)).trouble
    )
    for days, words in ((306, "ends 20"), (366, "is out of date")):
        found = part(installation, "authority", after=timedelta(days=days))
        assert any(f"{root_list} {words}" in one for one in found.trouble)
        assert any("doorward ca renew-root-list --exported root-key.pem" in one for one in found.hints)


def test_a_gateway_that_was_not_heard_of(installation: Installation) -> None:
    """A gateway that went silent is in trouble, one that lags says how far."""
    services = installation.services
    gateway = register_gateway(services, name="gw", assertion_jwk="{}")
    add_principal(services, PrincipalKind.PERSON, "alice", actor=ACTOR)
    behind = part(installation, "gateway")
    assert "enforces change 0 of" in behind.trouble[0]
    with services.work.read() as stores:
        head = stores.changes.head()
    confirm(services, gateway.id, head, '{"trouble": ["the disk is full"], "connections": 3}')
    troubled = part(installation, "gateway")
    assert troubled.trouble == ("the disk is full",)
    assert "3 connections" in troubled.text
    for odd in ("no json", "[]", ""):
        confirm(services, gateway.id, head, odd)
        assert part(installation, "gateway").trouble == ()


@pytest.mark.parametrize("chosen", [True, False], ids=["chosen", "default"])
def test_a_door_with_few_open_files(installation: Installation, *, chosen: bool) -> None:
    """If a limit that somebody set is not in force, or is low, `status` says what is, and how many files Envoy needs."""
    if chosen:
        kept = installation.settings.model_dump(exclude_unset=True)
        installation.settings = Settings(**{**kept, "max_connections": 50_000})
    gateway = register_gateway(installation.services, name="gw", assertion_jwk="{}")
    with installation.services.work.read() as stores:
        head = stores.changes.head()
    for accepts, few in ((50_000, False), (1_000, True), (10_000, False)):
        confirm(
            installation.services, gateway.id, head, f'{{"accepts": {accepts}, "max_connections": 50000}}'
        )
        found = part(installation, "gateway")
        assert found.trouble == ()
        assert f"accepts {accepts}" in found.text
        assert bool(found.warnings) is bool(found.hints) is (few or (chosen and accepts < 50_000))
    if chosen:
        assert "accepts 10000 connections and not 50000" in found.warnings[0]
        assert "100000 files" in found.hints[0]


def test_a_silent_gateway(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that went silent is named with the time it was heard of last."""
    register_gateway(installation.services, name="gw", assertion_jwk="{}")
    monkeypatch.setattr("doorward.authority.gateways.FRESH_WITHIN", timedelta(seconds=-1))
    silent = part(installation, "gateway")
    assert "no sign of life since" in silent.trouble[0]
    assert silent.hints == ("start it: doorward up",)


def test_a_gateway_that_ended_or_starts(installation: Installation) -> None:
    """Its lock says at once that it ended; after that it is in trouble until the new process has opened the door."""
    services, layout = installation.services, installation.layout
    gateway = register_gateway(services, name=installation.settings.gateway_name, assertion_jwk="{}")
    with services.work.read() as stores:
        head = stores.changes.head()
    confirm(services, gateway.id, head, '{"connections": 3}')
    assert part(installation, "gateway").trouble == ()
    lock = layout.data / "gateway.lock"
    lock.write_text("4711\n")
    assert "its process 4711 has ended" in part(installation, "gateway").trouble[0]
    with only_one(layout, "gateway"):
        os.utime(lock, (time.time() + 60, time.time() + 60))  # it began after the last report
        assert "the door is not open yet" in part(installation, "gateway").trouble[0]
        os.utime(lock, (0, 0))
        assert part(installation, "gateway").trouble == ()
        register_gateway(services, name=gateway.name, assertion_jwk="{}")
        assert "the door is not open yet" in part(installation, "gateway").trouble[0]
        confirm(services, gateway.id, head, '{"connections": 3}')
        assert part(installation, "gateway").trouble == ()


def test_a_look_at_a_lock_refuses_no_start(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`status` holds a lock for a moment; a role that starts then waits for it."""
    path = installation.layout.data / "gateway.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        monkeypatch.setattr(time, "sleep", lambda _seconds: fcntl.flock(file, fcntl.LOCK_UN))
        with only_one(installation.layout, "gateway"):
            assert path.read_text() == f"{os.getpid()}\n"


def test_a_part_that_up_starts_again(installation: Installation) -> None:
    """While `up` runs, the advice about a part that is away is its log: a second `up` would be refused."""
    with only_one(installation.layout, "up"):
        for role in ("serve", "gateway"):
            assert f"its log says why `{role}` does not start" in part(installation, role).hints[0]
    for role in ("serve", "gateway"):
        assert part(installation, role).hints == ("start it: doorward up",)


def test_a_full_disk(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is nearly full is said before it is full."""
    assert part(installation, "disk").facts["free_bytes"] > 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(100, 90, 10))
    found = part(installation, "disk")
    assert found.trouble
    assert str(installation.settings.data) in found.hints[0]


def test_events_that_wait(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that are not sequenced are reported."""
    assert part(installation, "evidence").trouble == ()
    monkeypatch.setattr(condition, "MOST_WAITING", 0)
    found = part(installation, "evidence")
    assert "wait to be sequenced" in found.trouble[0]
    assert found.hints


def test_the_environments_proxy_is_not_asked(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment does not hide that this machine's listener answers."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    serve = Serve(installation)
    serve.start()
    try:
        assert part(installation, "serve").trouble == ()
    finally:
        serve.stop()


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"])
def test_something_else_on_the_port(installation: Installation, answer: bytes) -> None:
    """Another program on the status port is not taken for ours, with any answer."""
    with stranger(installation, answer):
        found = part(installation, "serve")
    assert found.trouble
    assert "another installation" not in found.text


@contextmanager
def stranger(installation: Installation, answer: bytes) -> Iterator[None]:
    """Another program on the status port, which gives one answer."""
    port = int(installation.settings.status_listen.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)) as listener:

        def speak() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(answer)

        thread = threading.Thread(target=speak)
        thread.start()
        yield
        thread.join(60)


def test_another_installation_on_the_port(installation: Installation) -> None:
    """A program that answers as Doorward with another root is not this installation."""
    body = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with stranger(installation, answer):
        found = part(installation, "serve")
    assert found.text.startswith("another installation answers")
    assert found.trouble


def test_a_passphrase_file_that_is_gone(installation: Installation) -> None:
    """A running part goes on, and the next start would fail: that is reported before."""
    names = [one.name for one in examine(installation, datetime.now(UTC))]
    assert "keys" not in names
    assert installation.settings.passphrase_file is not None
    installation.settings.passphrase_file.unlink()
    found = part(installation, "keys")
    assert "passphrase" in found.text
    assert found.trouble


def test_a_parent_that_was_killed(installation: Installation) -> None:
    """Its parts answer, and nothing starts them again; one that ended in order leaves nothing to say."""
    with only_one(installation.layout, "up"):
        assert find_lost(installation.layout, "up") == 0
    assert find_lost(installation.layout, "up") == 0
    (installation.layout.data / "up.lock").write_text("4711\n")
    assert find_lost(installation.layout, "up") == 4711
    installation.unlock()
    serve = Serve(installation)
    serve.start()
    try:
        found = part(installation, "serve")
    finally:
        serve.stop()
    assert "4711" in found.trouble[0]


def test_links_name_the_port_of_the_door_that_runs(installation: Installation) -> None:
    """`up --listen` may give it another port than the settings file; a public port that is set wins."""
    assert installation.enrolment_origin().endswith(":8443")
    gateway = register_gateway(installation.services, name="gateway-1", assertion_jwk="{}")
    for status, port in (
        ('{"listen": ["127.0.0.1:9443"]}', 9443),
        ('{"listen": 7}', 8443),
        ("no JSON", 8443),
    ):
        confirm(installation.services, gateway.id, 1, status)
        assert installation.enrolment_origin() == f"https://enroll.corp.example:{port}"
    confirm(installation.services, gateway.id, 1, '{"listen": ["[::1]:9443"]}')
    named = installation.settings.model_copy(update={"gateway_public_port": 444})
    assert Installation(named).enrolment_origin() == "https://enroll.corp.example:444"


def test_passkeys_of_another_portal_host_are_told(installation: Installation) -> None:
    """If the portal's host changed, its people's passkeys are lost; how many, and what to do."""
    assert "portal" not in {one.name for one in examine(installation, datetime.now(UTC))}
    with installation.services.work.change() as stores:
        stores.factors.add(factor("laptop", rp_id="old.corp.example"))
    told = part(installation, "portal")
    assert told.facts["lost_passkeys"] == 1
    assert "portal.corp.example" in told.trouble[0]


def test_a_rollover_that_goes_on(installation: Installation) -> None:
    """While a rollover goes on, its state and the next step are shown; what is late is a warning, what stands still a fault."""
    services = installation.services
    early = part(installation, "authority", after=timedelta(days=4 * 365 + 30))
    assert not any(one.startswith("the issuing certificate") for one in early.trouble)
    assert "would last longer end with it" in early.warnings[0]
    assert "begin: doorward ca rotate prepare" in early.hints
    assert not [one for one in examine(installation, datetime.now(UTC)) if one.name == "rollover"]
    preparing.prepare(services, actor=ACTOR)
    assert part(installation, "rollover").text == "prepared: both are trusted, the old one issues"
    assert "doorward ca rotate activate" in part(installation, "rollover").hints[0]
    alice = add_principal(services, PrincipalKind.PERSON, "rolled", actor=ACTOR).value
    claim = OperatorClaim(actor=ACTOR, holder=alice.id, name="rolled")
    issue(services, build_csr(SoftwareKeys().generate(KeyKind.P256), "rolled"), claim)
    moving.activate(services, actor=ACTOR, ignore_away=True)
    moving.drain(services, actor=ACTOR, window=timedelta(hours=1), ignore_away=True)
    found = part(installation, "rollover", after=timedelta(hours=1))
    assert found.text.endswith("0 of 1 replaced (0 %)")
    assert (found.trouble, found.warnings) == ((), ())
    late = part(installation, "rollover", after=timedelta(hours=2))
    assert late.warnings == ("1 certificates should be issued again by now, and are not",)
    leaving.retire(services, actor=ACTOR, abandon_missing=True, ignore_away=True)
    assert part(installation, "rollover").trouble == ()
    assert "not signed since" in part(installation, "rollover", after=timedelta(minutes=11)).trouble[0]
    leaving.finish_leaving(services, actor=ACTOR)
    assert not [one for one in examine(installation, datetime.now(UTC)) if one.name == "rollover"]
