"""A plan as bytes: one door after the other, each only if it changed, and no key where it might be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doorward.core.errors import ConfigurationError, Fault
from doorward.enforcement.plan import GatewayPlan, SocketAddress
from doorward.enforcement.trust import DoorTrust
from doorward.gateway.publishing.discovery.api import load_api
from doorward.gateway.publishing.discovery.messages import CLUSTER, EXTENSION, ROUTES, SECRET
from doorward.gateway.publishing.door_packing import DoorPacker, PackedConfiguration, PackedDoor
from tests.support.altering import AlteringApi
from tests.support.discovery import message_of, shown
from tests.support.fake_envoy import chains_of, named_in
from tests.unit.enforcement.plans import PASSKEY, SESSIONS, door, door_rule, tcp_door
from tests.unit.gateway.publishing.streaming import PAY, WEB, files_plan, http_door, pair_of

EDITED = http_door("pay", "gedited")
ASKING = door(door_rule("gasked", require=(PASSKEY,)), id_="app_ask", name="ask")
TRUSTING = replace(PAY, trust=DoorTrust(authorities=("A",)))


class Site:
    """A packer that remembers what it packed, and can be told what cannot be packed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packed: list[str] = []
        self.unfit: set[str] = set()
        self.packer = DoorPacker(AlteringApi(load_api(), self._note))

    def _note(self, resource: dict[str, Any]) -> dict[str, Any]:
        self.packed.append(resource["name"])
        if resource["name"] in self.unfit:
            raise ConfigurationError([Fault(code="envoy-refused-configuration", message="an unfit field")])
        return resource

    def plan(self, *doors: Any, **more: Any) -> GatewayPlan:
        """These doors and the enrolment door."""
        return files_plan(self.folder, *doors, **more)

    def pack(self, *doors: Any, **more: Any) -> PackedConfiguration:
        """The plan of these doors, packed; `packed` has what was packed for it."""
        self.packed.clear()
        return self.packer.pack(self.plan(*doors, **more))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A packer that has packed nothing yet."""
    return Site(tmp_path)


# what is packed again


def test_a_door_that_did_not_change_is_not_packed_again(site: Site) -> None:
    """An edit costs what one door costs, and nothing costs nothing."""
    first = site.pack(PAY, WEB)
    assert {"app_pay", "app_web", "doorward_enrol", "trust"} <= set(site.packed)
    again = site.pack(PAY, WEB)
    assert site.packed == []
    assert again.doors["app_pay"] is first.doors["app_pay"]
    edited = site.pack(EDITED, WEB)
    assert set(site.packed) == {"app_pay", "app_pay-cert"}
    assert edited.doors["app_web"] is first.doors["app_web"]
    assert edited.doors["app_pay"].version != first.doors["app_pay"].version
    assert edited.doors["app_pay"].chain == first.doors["app_pay"].chain


def test_a_door_that_was_gone_is_packed_again(site: Site) -> None:
    """Nothing of a removed door is kept: its key least of all."""
    site.pack(PAY, WEB)
    assert set(site.pack(PAY).doors) == {"app_pay", "doorward_enrol"}
    assert "app_web" not in repr(site.pack(PAY))
    site.pack(PAY, WEB)
    assert set(site.packed) == {"app_web", "app_web-cert"}


def test_what_all_doors_share_is_packed_once(site: Site) -> None:
    """Other authorities are one secret, other keys of sessions one filter; no door is packed again for them."""
    site.pack(ASKING, PAY, sessions=SESSIONS)
    changed = site.pack(ASKING, PAY, sessions=SESSIONS, trust=("another",))
    assert site.packed == ["trust"]
    assert {key[1] for key in changed.shared if key[0] == SECRET} == {"trust"}
    jwks = (SESSIONS.jwks[0].replace('"k1"', '"k2"'),)
    site.pack(ASKING, PAY, sessions=replace(SESSIONS, jwks=jwks), trust=("another",))
    assert len(site.packed) == 1


def test_another_frame_packs_every_door_again(site: Site) -> None:
    """The limits and paths of a gateway are in each door."""
    site.pack(PAY, WEB)
    site.pack(PAY, WEB, listen=(SocketAddress(host="127.0.0.1", port=9443),))
    assert {"app_pay", "app_web", "doorward_enrol"} <= set(site.packed)


def test_a_listener_that_did_not_change_is_not_packed_again(site: Site) -> None:
    """It has the chains of the doors that it is given, in this order, and their hosts."""
    packed = site.pack(PAY, WEB)
    doors = [packed.doors["app_pay"], packed.doors["app_web"]]
    first = site.packer.listener(packed.plan, doors)
    assert site.packer.listener(site.plan(EDITED, WEB), doors) is first
    assert chains_of(first.body) == {"app_pay", "app_web"}
    assert all(one.chain in first.body for one in doors)
    elsewhere = site.plan(PAY, WEB, listen=(SocketAddress(host="127.0.0.1", port=9443),))
    assert site.packer.listener(elsewhere, doors).version != first.version
    alone = site.packer.listener(packed.plan, doors[:1])
    assert b"pay.test" in alone.body
    assert b"web.test" not in alone.body
    assert alone.version != first.version


# what a packed door is


KINDS = pytest.mark.parametrize(
    ("one", "closing"),
    [
        (PAY, (ROUTES, "app_pay")),
        (TRUSTING, (ROUTES, "app_pay")),
        (ASKING, (ROUTES, "app_ask")),
        (tcp_door(), (EXTENSION, "app_mqtt")),
    ],
    ids=["http", "trusting", "asking", "tcp"],
)


def chosen(site: Site, one: Any) -> tuple[PackedConfiguration, PackedDoor]:
    """A door in its plan, packed."""
    packed = site.pack(one, sessions=SESSIONS)
    return packed, packed.doors[one.id]


@KINDS
def test_names_are_what_the_chain_names(site: Site, one: Any, closing: tuple[str, str]) -> None:
    """As protobuf reads the chain; and all of it is there."""
    packed, found = chosen(site, one)
    chain = shown(message_of("envoy.config.listener.v3.FilterChain", found.chain))
    assert chain["name"] == one.id
    assert found.names == set(named_in(chain))
    assert found.names <= found.own.keys() | packed.shared.keys()
    assert found.certificate in found.names
    assert closing in found.names


@KINDS
def test_what_closes_a_door_takes_the_place_of_its_rules(
    site: Site, one: Any, closing: tuple[str, str]
) -> None:
    """It has their type and name, and none of their content."""
    _, found = chosen(site, one)
    assert found.closing == closing
    assert closing in found.own
    assert found.closed.version != found.own[closing].version
    text = str(shown(message_of(closing[0], found.closed.body)))
    assert "application-closed" in text or "policies" not in text
    assert not any(rule.id in text for rule in one.rules)


@KINDS
def test_each_resource_has_its_own_name(site: Site, one: Any, closing: tuple[str, str]) -> None:
    """The key of each is its type and the name that is in the message."""
    packed, found = chosen(site, one)
    assert {key[0] for key in found.own} >= {SECRET, CLUSTER, closing[0]}
    for key, resource in {**found.own, **packed.shared}.items():
        assert key == (resource.type_url, resource.name)
        assert shown(message_of(resource.type_url, resource.body))["name"] == resource.name


def test_every_part_counts_for_the_version_of_a_door(site: Site, tmp_path: Path) -> None:
    """Otherwise a door that was refused would stay closed though it was corrected."""
    found = [
        site.pack(PAY),
        site.pack(EDITED),
        site.pack(TRUSTING),
        site.pack(PAY, serials={"app_pay": "2"}),
        site.pack(replace(PAY, upstream=WEB.upstream, hosts=("other.test",))),
    ]
    assert len({one.doors["app_pay"].version for one in found}) == len(found)
    tcp, other = (site.pack(tcp_door(alpn=alpn)).doors["app_mqtt"] for alpn in (("mqtt",), ("amqp",)))
    assert tcp.own == other.own
    assert tcp.version != other.version
    assert Site(tmp_path).pack(PAY).doors["app_pay"].version == found[0].doors["app_pay"].version


# keys


def test_a_key_is_in_the_secret_and_nowhere_to_be_seen(site: Site) -> None:
    """Neither a representation nor a name nor a version has any of it."""
    packed = site.pack(PAY)
    key = pair_of("app_pay", "1").key_pem
    line = key.decode().splitlines()[1]
    found = packed.doors["app_pay"]
    assert key in found.own[SECRET, "app_pay-cert"].body
    for one in (packed, found, found.own, site.packer, packed.plan):
        assert line not in repr(one)
    assert "chain=" not in repr(found)
    assert all(key not in one.body for one in found.own.values() if one.type_url != SECRET)
    assert key not in found.chain


@pytest.mark.parametrize(
    ("break_", "why"),
    [
        (lambda path: path.unlink(), "a file of its certificate cannot be read: no such file or directory"),
        (
            lambda path: path.write_bytes(b"\xff"),
            "the key of its certificate cannot be read, or it is encrypted",
        ),
        (lambda path: path.write_bytes(b"x" * (1 << 20) + b"x"), "a file of its certificate is not PEM"),
        (lambda path: path.write_bytes(pair_of("o", "1").key_pem), "the key does not fit its certificate"),
    ],
    ids=["gone", "no text", "large", "foreign"],
)
def test_an_unusable_key_is_a_fault_of_its_door_alone(site: Site, break_: Any, why: str) -> None:
    """It is told without the path; as soon as the file can be used, the door is packed."""
    plan = site.plan(PAY, WEB)
    path = Path(plan.doors[0].certificate.key_path)
    good = path.read_bytes()
    break_(path)
    packed = site.packer.pack(plan)
    assert packed.faults == {"app_pay": why}
    assert set(packed.doors) == {"app_web", "doorward_enrol"}
    path.write_bytes(good)
    assert site.packer.pack(plan).faults == {}


def test_an_unusable_renewed_key_keeps_the_former_pair(site: Site) -> None:
    """The door is packed with it, its other changes included, and its files are read again next time."""
    former = site.pack(PAY).doors["app_pay"]
    plan = site.plan(EDITED, serials={"app_pay": "2"})
    path = Path(plan.doors[0].certificate.key_path)
    good = path.read_bytes()
    path.write_bytes(b"")
    packed = site.packer.pack(plan)
    found = packed.doors["app_pay"]
    assert set(packed.kept) == {"app_pay"}
    assert packed.faults == {}
    assert found.own[found.certificate] == former.own[former.certificate]
    assert b"gedited" in found.own[ROUTES, "app_pay"].body
    path.write_bytes(good)
    packed = site.packer.pack(plan)
    assert (packed.kept, packed.faults) == ({}, {})
    assert good in packed.doors["app_pay"].own[found.certificate].body


# faults


def test_an_unfit_door_is_a_fault_of_its_own(site: Site) -> None:
    """All others are packed, and it is tried again each time."""
    site.unfit = {"app_pay"}
    packed = site.pack(PAY, WEB)
    assert packed.faults == {"app_pay": "an unfit field"}
    assert set(packed.doors) == {"app_web", "doorward_enrol"}
    site.unfit = set()
    packed = site.pack(PAY, WEB)
    assert packed.faults == {}
    assert set(site.packed) == {"app_pay", "app_pay-cert"}


def test_what_all_doors_share_must_fit(site: Site) -> None:
    """Without it no door would be as the plan says."""
    site.unfit = {"trust"}
    with pytest.raises(ConfigurationError, match="unfit"):
        site.pack(PAY, WEB)


# equal bytes

PROGRAM = """
import sys
from pathlib import Path
from tests.unit.gateway.publishing.test_door_packing import digest
print(digest(Path(sys.argv[1])))
"""


def every_kind(folder: Path) -> GatewayPlan:
    """A plan with doors of several kinds, over pairs that are there already."""
    return files_plan(folder, ASKING, PAY, WEB, tcp_door(), sessions=SESSIONS)


def digest(folder: Path) -> str:
    """The versions of everything in the plan of this folder."""
    stored: Mapping[str, bytes] = {one.name: one.read_bytes() for one in folder.glob("*.*")}
    plan = every_kind(folder)
    for name, content in stored.items():
        (folder / name).write_bytes(content)
    packer = DoorPacker(load_api())
    packed = packer.pack(plan)
    assert not packed.faults
    doors = list(packed.doors.values())
    listener = packer.listener(plan, doors)
    return "\n".join([*(f"{one.id} {one.version} {one.closed.version}" for one in doors), listener.version])


def test_equal_plans_are_equal_bytes_in_every_process(tmp_path: Path) -> None:
    """Otherwise a restart of the gateway would send Envoy everything again, and end its connections."""
    first = digest(tmp_path)
    for seed in ("1", "2"):
        said = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == first
