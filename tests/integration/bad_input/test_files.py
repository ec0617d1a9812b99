"""Garbage in files that the gateway reads, and a configuration that cannot be told to Envoy."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from doorward.access.policies import export_revision
from doorward.audit.events import EventType
from tests.integration.bad_input.conftest import RULES
from tests.support.doorway import DOMAIN, Doorway, eventually, open_doorway, render_document
from tests.support.house import House, open_house

pytestmark = pytest.mark.xdist_group("bad-files")

# files of a running gateway


def test_garbage_in_each_file_of_a_running_gateway() -> None:
    """File by file, no connection is affected; an Envoy that dies after that is replaced, and all is in order again."""
    with open_doorway() as door:
        door.apply(RULES)
        alice = door.person("alice", "staff")
        supervisor, folder = door.gateway.supervisor, door.installation.settings.data / "gateway"
        others = {"assertion.pem", "access.next", "access.log"}  # below, and in test_log_watch.py
        own = [one for one in sorted(folder.rglob("*")) if one.is_file() and one.name not in others]
        expected = {"bootstrap.json", "run.json", "epoch", "published", "connections.journal", "key.pem"}
        assert {path.name for path in own} >= expected
        with door.session(alice) as session:
            for path in own:
                path.write_bytes(b"garbage")
                assert session.request("GET", "/reports/1").status == 200, path
                assert door.get(alice, "/reports/1").status == 200, path
            door.apply(RULES.replace("/reports/**", '/reports/**", "/more'))
            assert session.request("GET", "/reports/1").status == 200
        running = supervisor.running
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        assert eventually(lambda: supervisor.running is not None and supervisor.epoch > running.epoch)
        assert eventually(lambda: door.lets_in(alice, "/reports/1"))
        assert door.get(alice, "/more").status == 200
        assert eventually(lambda: door.gateway.trouble() == [])
        assert (folder / "published").read_text().splitlines()[0] == "2"
        assert (folder / "envoy" / "epoch").read_text() == f"{supervisor.epoch}\n"


# a configuration that Envoy does not take


def test_a_policy_that_cannot_be_told_to_envoy() -> None:
    """The application is closed, which is reported; the others go on, and it opens again without another change."""
    broken: list[bool] = [False]

    def spoil(resource: dict[str, Any]) -> dict[str, Any]:
        if broken[0] and f"app.{DOMAIN}" in str(resource.get("virtual_hosts")):
            resource["no_such_field"] = 1
        return resource

    with open_doorway(alter=spoil) as door:
        door.apply_document(render_document(door.app(rules=RULES), door.app("other", RULES)))
        alice = door.person("alice", "staff")
        with door.session(alice) as session, door.session(alice, app="other") as other:
            assert session.request("GET", "/reports/1").status == 200
            assert other.request("GET", "/reports/1").status == 200
            broken[0] = True
            text = export_revision(door.services)[0]
            _apply(door, text.replace("/reports/**", '/reports/**", "/more', 1))
            assert session.request("GET", "/more").status == 503
            assert session.request("GET", "/reports/1").status == 503  # never by superseded rules
            assert other.request("GET", "/reports/1").status == 200
            assert any("no_such_field" in one and "closed" in one for one in door.gateway.trouble())
            assert eventually(lambda: "no_such_field" in door.command("status", "--json").stdout)
            assert door.command("status").exit_code == 3
            assert len(door.events(EventType.GATEWAY_ROLLED_BACK)) == 1
            assert eventually(lambda: bool(refused_requests(door)))
            (closed, *_) = refused_requests(door)
            assert closed["data"]["reason"] == "application-closed"
            explained = " ".join(door.command("explain", closed["id"]).output.split())
            assert "doorward status has Envoy's words" in explained
            broken[0] = False
            door.gateway.publishing.requests.order_changed()
            assert eventually(lambda: door.gateway.trouble() == [])
            assert session.request("GET", "/more").status == 200
        assert door.get(alice, "/more").status == 200


def refused_requests(door: Doorway) -> list[dict[str, Any]]:
    """The events of requests that the door refused, oldest first."""
    return [one for one in door.events(EventType.REQUEST_ANSWERED) if "reason" in one["data"]]


def _apply(door: Doorway, text: str) -> Result:
    path = door.folder / "policy.yaml"
    path.write_text(text)
    return door.command("apply", "-f", str(path), "--json")


# garbage in the gateway's own files, found at the next start


def test_garbage_in_what_a_gateway_left() -> None:
    """The journal, certificates and runs that an earlier start left may be garbage: the door opens all the same."""
    with open_house() as house:
        house.apply(RULES)
        alice = house.person("alice", "staff")
        assert house.get(alice, "/reports/1").status == 200
        for content in (b"", b"garbage\n" * 50, b"\xff\x00" * 500):
            assert house.stop() == 0
            spoilt = _spoil(house, content)
            assert {"connections.journal", "chain.pem", "epoch"} <= spoilt
            house.start()
            assert eventually(lambda: house.lets_in(alice, "/reports/1"), 60), (content[:9], house.words())


def _spoil(house: House, content: bytes) -> set[str]:
    spoilt = set()
    for path in sorted((house.data / "gateway").rglob("*")):
        if path.is_file() and path.name not in {"assertion.pem", "access.next"}:
            path.write_bytes(content)
            spoilt.add(path.name)
    return spoilt


def test_garbage_in_what_must_not_be_guessed() -> None:
    """A damaged assertion key stops the start with a hint; a damaged log counter is said by status."""
    with open_house(started=False) as house:
        key = house.data / "gateway" / "keys" / "assertion.pem"
        key.write_bytes(b"garbage")
        with pytest.raises(AssertionError):
            house.start()
        house.clear()
        assert "assertion-key-damaged" in house.words()
        assert "→" in house.words()
        key.unlink()
        folder = house.data / "gateway" / "log"
        folder.mkdir(exist_ok=True)
        (folder / "access.next").write_bytes(b"garbage")
        for path in (folder, folder / "access.next"):
            os.chown(path, *_owner(house.data / "gateway"))
        house.start()
        assert eventually(lambda: "access.next holds no number" in house.gateway_status())
        house.stop()


def _owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid
