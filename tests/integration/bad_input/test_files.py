"""Garbage in files that Envoy and the gateway read: the old configuration stays in force."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from doorward.access.policies import export_revision
from doorward.audit.events import EventType
from doorward.authority.gateways import confirmations
from tests.integration.bad_input.conftest import RULES
from tests.support.doorway import Doorway, eventually, open_doorway
from tests.support.house import House, open_house

pytestmark = pytest.mark.xdist_group("bad-files")

# published files


def published(door: Doorway) -> dict[str, Path]:
    """The files that the running Envoy watches."""
    running = door.gateway.supervisor.running
    assert running is not None
    xds = running.folder / "xds"
    return {str(path.relative_to(xds)): path for path in xds.rglob("*.json")}


@pytest.mark.parametrize("garbage", [b"", b"garbage", b'{"version_info": "x"', b"\xff" * 1000], ids=len)
def test_garbage_in_each_published_file(door: Doorway, garbage: bytes) -> None:
    """Envoy keeps what it has when a file turns to garbage, and the next look puts every file back."""
    before = {name: path.read_bytes() for name, path in published(door).items()}
    assert {name.partition("/")[0] for name in before} == {"cds.json", "ecds", "lds.json", "rds", "sds"}
    with door.session(door.identities["alice"]) as session:
        for path in published(door).values():
            draft = path.with_suffix(".garbage")
            draft.write_bytes(garbage)
            draft.replace(path)  # Envoy watches for renames
        assert session.request("GET", "/reports/1").status == 200
        assert door.get(door.identities["alice"], "/reports/1").status == 200
        assert door.get(door.identities["alice"], "/other").status == 403
        door.gateway.publishing.requests.order_changed()
        assert eventually(lambda: {n: p.read_bytes() for n, p in published(door).items()} == before, 10)
        assert session.request("GET", "/reports/1").status == 200


def refusals(door: Doorway) -> int:
    """How often the running Envoy refused what a file said."""
    running = door.gateway.supervisor.running
    assert running is not None
    return sum(running.admin.statistics("update_rejected|update_failure").values())


UNKNOWN_FIELD = b'{"version_info": "x", "resources": [{"no_such_field": 1}]}'


@pytest.mark.parametrize("garbage", [b"garbage", UNKNOWN_FIELD], ids=["text", "unknown field"])
def test_garbage_in_one_published_file(door: Doorway, garbage: bytes) -> None:
    """File by file: Envoy refuses it and keeps what it has, and the next look puts this one back."""
    before = {name: path.read_bytes() for name, path in published(door).items()}
    with door.session(door.identities["alice"]) as session:
        for path in published(door).values():
            known = refusals(door)
            draft = path.with_suffix(".garbage")
            draft.write_bytes(garbage)
            draft.replace(path)
            assert eventually(lambda known=known: refusals(door) > known), path
            assert session.request("GET", "/reports/1").status == 200, path
            assert door.get(door.identities["alice"], "/reports/1").status == 200, path
            assert door.get(door.identities["alice"], "/other").status == 403, path
            door.gateway.publishing.requests.order_changed()
            assert eventually(
                lambda: {n: p.read_bytes() for n, p in published(door).items()} == before, 10
            ), path
        known = refusals(door)
        door.apply(RULES.replace("/reports/**", '/reports/**", "/more'))
        assert door.get(door.identities["alice"], "/more").status == 200
        assert session.request("GET", "/reports/1").status == 200
    door.apply(RULES)  # this one takes something away, and ends who had it
    assert door.get(door.identities["alice"], "/more").status == 403
    assert refusals(door) == known


def test_a_published_file_that_cannot_be_put_back(door: Doorway) -> None:
    """Status reports each file that cannot be written while connections go on, until it can be written again."""
    before = {name: path.read_bytes() for name, path in published(door).items()}
    with door.session(door.identities["alice"]) as session:
        for path in published(door).values():
            path.unlink()
            path.mkdir()  # nothing can be renamed to it, also by root
        door.gateway.publishing.requests.order_changed()
        assert eventually(lambda: door.command("status").exit_code == 3, 10)
        assert "could not be written" in door.command("status").stdout
        assert session.request("GET", "/reports/1").status == 200
        assert door.get(door.identities["alice"], "/reports/1").status == 200
        for path in published(door).values():
            path.rmdir()
        assert eventually(lambda: door.gateway.trouble() == [], 10)
        assert {name: path.read_bytes() for name, path in published(door).items()} == before
        assert session.request("GET", "/reports/1").status == 200


def test_garbage_in_each_file_of_a_running_gateway() -> None:
    """File by file, no connection is affected; an Envoy that dies after that is replaced, and all is in order again."""
    with open_doorway() as door:
        door.apply(RULES)
        alice = door.person("alice", "staff")
        supervisor, folder = door.gateway.supervisor, door.installation.settings.data / "gateway"
        others = {"assertion.pem", "access.next", "access.log"}  # below, and in test_log_watch.py
        own = [one for one in sorted(folder.rglob("*")) if one.is_file() and one.name not in others]
        own = [one for one in own if "xds" not in one.parts]
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
        assert eventually(lambda: supervisor.running is not None and supervisor.epoch > running.epoch, 20)
        assert eventually(lambda: door.lets_in(alice, "/reports/1"), 10)
        assert door.get(alice, "/more").status == 200
        assert eventually(lambda: door.gateway.trouble() == [], 10)
        assert (folder / "published").read_text().splitlines()[0] == "2"
        assert (folder / "envoy" / "epoch").read_text() == f"{supervisor.epoch}\n"


def test_deleted_published_files(door: Doorway) -> None:
    """Deleted files are put back too."""
    before = {name: path.read_bytes() for name, path in published(door).items()}
    for path in published(door).values():
        path.unlink()
    assert door.get(door.identities["alice"], "/reports/1").status == 200
    door.gateway.publishing.requests.order_changed()
    assert eventually(lambda: {n: p.read_bytes() for n, p in published(door).items()} == before, 10)


# a configuration that Envoy does not take


def test_a_policy_that_envoy_refuses() -> None:
    """The old configuration stays in force for live connections, is reported, tried again later, and put right."""
    broken: list[bool] = [False]

    def spoil(resources: Any) -> Any:
        if broken[0]:
            for table in resources.routes.values():
                table["no_such_field"] = 1
        return resources

    with open_doorway(wrap_resources=spoil) as door:
        door.apply(RULES)
        alice = door.person("alice", "staff")
        checks: list[int] = []
        validator = door.gateway.publishing._validator
        check = validator.check
        validator.check = lambda rendering: (checks.append(1), check(rendering))[1]  # type: ignore[method-assign]
        with door.session(alice) as session:
            assert session.request("GET", "/reports/1").status == 200
            before = {name: path.read_bytes() for name, path in published(door).items()}
            broken[0] = True
            text = export_revision(door.services)[0].replace("/reports/**", '/reports/**", "/more')
            result = _apply(door, text)
            assert result.exit_code == 3
            error = json.loads(result.stdout.splitlines()[-1])["error"]
            assert error["code"] == "gateways-behind"
            assert "stored" in error["detail"]
            assert {name: path.read_bytes() for name, path in published(door).items()} == before
            assert session.request("GET", "/reports/1").status == 200
            assert session.request("GET", "/more").status == 403
            assert any("no_such_field" in one for one in door.gateway.trouble())
            assert eventually(lambda: "no_such_field" in door.command("status", "--json").stdout)
            assert door.command("status").exit_code == 3
            assert len(checks) < 10, "what Envoy refuses was tried again and again without a pause"
            rolled_back = door.events(EventType.GATEWAY_ROLLED_BACK)
            assert len(rolled_back) == 1
            broken[0] = False
            with door.services.work.read() as stores:
                head = stores.changes.head()
            assert eventually(lambda: all(one.confirmed for one in confirmations(door.services, head)), 10)
            assert session.request("GET", "/reports/1").status == 200
        assert door.get(alice, "/more").status == 200
        assert door.gateway.trouble() == []


def _apply(door: Doorway, text: str) -> Result:
    path = door.folder / "policy.yaml"
    path.write_text(text)
    return door.command("apply", "-f", str(path), "--json")


# garbage in the gateway's own files, found at the next start


@pytest.mark.parametrize(
    "content", [b"", b"garbage\n" * 50, b"\xff\x00" * 500], ids=["empty", "text", "bytes"]
)
def test_garbage_in_what_a_gateway_left(content: bytes) -> None:
    """The journal, certificates and runs that an earlier start left may be garbage: the door opens all the same."""
    with open_house() as house:
        house.apply(RULES)
        alice = house.person("alice", "staff")
        assert house.get(alice, "/reports/1").status == 200
        assert house.stop() == 0
        spoilt = _spoil(house, content)
        assert {"connections.journal", "chain.pem", "epoch"} <= spoilt
        house.start()
        assert eventually(lambda: house.lets_in(alice, "/reports/1"), 15), house.words()
        assert house.stop() == 0


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
        assert eventually(lambda: "access.next holds no number" in house.gateway_status(), 10)
        house.stop()


def _owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid
