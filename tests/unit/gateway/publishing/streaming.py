"""A publisher with an Envoy that only speaks the protocol, for small plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from doorward.core.errors import ConfigurationError, Fault
from doorward.enforcement.plan import Door, GatewayPlan, HttpDoor
from doorward.gateway.publishing.discovery.api import load_api
from doorward.gateway.publishing.discovery.cache import ResourceCache
from doorward.gateway.publishing.discovery.messages import LISTENER, ROUTES, PackedResource
from doorward.gateway.publishing.discovery.subscriptions import Key
from doorward.gateway.publishing.door_packing import DoorPacker, PackedConfiguration
from doorward.gateway.publishing.publication import PublisherPorts
from doorward.gateway.publishing.publisher import Published, StreamPublisher
from tests.support.altering import AlteringApi
from tests.support.certificates.issuing import CertifiedKey, toy_ca
from tests.support.fake_envoy import FakeEnvoy
from tests.support.ports import FakeClock
from tests.unit.enforcement.plans import OPEN_DOOR, door, door_rule, small_plan

DOOR = LISTENER, "door"


def http_door(name: str, rule: str = "gread", **more: Any) -> HttpDoor:
    """A door with one rule; its id is `app_` and the name."""
    return door(door_rule(rule), id_=f"app_{name}", name=name, **more)


PAY, WEB = http_door("pay"), http_door("web")


@cache
def pair_of(door_id: str, serial: str) -> CertifiedKey:
    """A server certificate with its key: the same one for the same arguments."""
    return toy_ca().server(f"{serial}.{door_id.replace('_', '-')}.test")


def certified(folder: Path, one: Any, serial: str = "1") -> Any:
    """The same door with a server certificate of its own, with files in this folder."""
    chain, key = folder / f"{one.id}-{serial}.pem", folder / f"{one.id}-{serial}.key"
    pair = pair_of(one.id, serial)
    chain.write_bytes(pair.pem)
    key.write_bytes(pair.key_pem)
    shown = replace(one.certificate, name=f"{one.id}-cert", chain_path=str(chain), key_path=str(key))
    return replace(one, certificate=shown)


def files_plan(folder: Path, *doors: Any, serials: dict[str, str] | None = None, **more: Any) -> GatewayPlan:
    """A plan with the enrolment door and these; `serials` are of server certificates that are not the first ones."""
    known = serials or {}
    found: list[Door] = [certified(folder, one, known.get(one.id, "1")) for one in sorted(doors, key=_id_of)]
    return small_plan(doors=tuple(found), open_doors=(certified(folder, OPEN_DOOR),), **more)


def _id_of(one: Any) -> str:
    return str(one.id)


class Bench:
    """A publisher, its cache and its Envoy; `start` before anything else."""

    def __init__(self, folder: Path, envoy: FakeEnvoy | None = None) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.cache = ResourceCache(load_api(), self.clock)
        self.packer = DoorPacker(AlteringApi(load_api(), self._check))
        self.envoy = envoy or FakeEnvoy()
        self.unreadable: set[str] = set()  # names of files that are gone when a plan is packed
        self.unfit: set[str] = set()  # names of resources and chains that cannot be packed
        self.while_warming: Callable[[], None] = lambda: None
        self.publisher = StreamPublisher(
            PublisherPorts(cache=self.cache, packer=self.packer, clock=self.clock, wait=self._wait)
        )

    def _check(self, resource: dict[str, Any]) -> dict[str, Any]:
        if resource.get("name") in self.unfit:
            raise ConfigurationError([Fault(code="envoy-refused-configuration", message="an unfit field")])
        return resource

    def _wait(self, seconds: float) -> None:
        self.clock.turn(seconds=max(seconds, 0.5))
        self.while_warming()

    def connect(self) -> None:
        """Have Envoy connect, perhaps again."""
        self.envoy.connect(self.publisher.open_stream())

    def packed_plan(self, *doors: Any, **more: Any) -> PackedConfiguration:
        """These doors and the enrolment door, packed."""
        plan = files_plan(self.folder, *doors, **more)
        for name in self.unreadable:
            (self.folder / name).unlink()
        return self.packer.pack(plan)

    def start(self, *doors: Any, **more: Any) -> Published:
        """Prepare an Envoy, connect it and wait for it; then forget what it received."""
        self.publisher.prepare(self.packed_plan(*doors, **more))
        self.connect()
        found = self.publisher.await_start(self.envoy)
        self.forget()
        return found

    def publish(self, *doors: Any, **more: Any) -> Published:
        """Publish these doors and the enrolment door."""
        return self.publisher.publish(self.packed_plan(*doors, **more), self.envoy)

    def forget(self) -> None:
        """Forget what Envoy received."""
        self.envoy.received.clear()

    def in_force(self, key: Key) -> bytes | None:
        """What Envoy has of one resource."""
        return self.envoy.in_force().get(key)

    def table(self, name: str) -> str:
        """A door's table in force, as text."""
        return str(self.envoy.resource(ROUTES, f"app_{name}"))

    def is_closed(self, name: str) -> bool:
        """Whether Envoy answers every request at a door with a refusal."""
        return "application-closed" in self.table(name)

    def packed(self, one: Any, serial: str = "1") -> dict[Key, PackedResource]:
        """What only this door has."""
        plan = files_plan(self.folder, one, serials={one.id: serial})
        return dict(DoorPacker(load_api()).pack(plan).doors[one.id].own)

    def refuse_version(self, resource: PackedResource, words: str) -> None:
        """Have Envoy refuse this version, and no other one."""
        self.envoy.judge = lambda _key, body: words if body == resource.body else ""

    def refuse_chains(self, *chains: bytes, words: str = "an odd chain") -> None:
        """Have Envoy refuse every listener that has one of these chains, with exactly these bytes."""

        def judge(key: Key, body: bytes) -> str:
            return words if key == DOOR and any(one in body for one in chains) else ""

        self.envoy.judge = judge

    def tries(self) -> int:
        """How many listeners were sent."""
        return self.envoy.received.count(DOOR)
