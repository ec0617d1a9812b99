"""A plan as packed resources: the bytes that Envoy gets, one door after the other.

The bytes of a door are kept and its dictionaries are dropped. So an edit costs what one door costs, and the garbage collector
never walks the dictionaries of a thousand doors (that took a second, in which no connection was judged).

Private keys are read here, from the files that a secret names; they are in no dictionary. A door that cannot be packed
(a file that is gone, a field that Envoy does not know) is a fault of this door alone.
Not here: the order of publishing, and Envoy's answers (publication).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from doorward.core.errors import ConfigurationError, Fault
from doorward.enforcement.envoy.assembly import build_door_parts, build_sessions_cluster
from doorward.enforcement.envoy.door_compiler import DoorParts, Resource
from doorward.enforcement.envoy.listener import build_listener_frame
from doorward.enforcement.envoy.sessions import build_session_extension
from doorward.enforcement.envoy.tls import build_own_trust
from doorward.enforcement.envoy.version import version_of
from doorward.enforcement.plan import Door, GatewayPlan, TcpDoor
from doorward.files import read_limited
from doorward.gateway.publishing.discovery.api import EnvoyApi
from doorward.gateway.publishing.discovery.messages import EXTENSION, ROUTES, SECRET, PackedResource
from doorward.gateway.publishing.discovery.subscriptions import Key
from doorward.gateway.publishing.pairs import check_pair

MOST_PEM_BYTES = 1 << 20
"""The longest file of a chain or a key; a chain of three certificates with 4096-bit keys has 6 KiB."""

_CHAIN = "envoy.config.listener.v3.FilterChain"
_ANY_TRUST = ("",)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedDoor:
    """One door as Envoy gets it.

    Args:
        id: the door's id, which is the name of its chain.
        chain: the bytes of its filter chain.
        matches: the listener's matchers by server name.
        names: the secrets, tables and filters that the chain names; Envoy asks for them once a listener has the chain.
        own: everything that only this door has, except the chain.
        closed: takes the place of the table or of the rules while the door is closed.
        certificate: which of `own` is its server certificate.
    """

    id: str
    chain: bytes = field(repr=False)
    matches: Mapping[str, Resource] = field(repr=False)
    names: frozenset[Key]
    own: Mapping[Key, PackedResource]
    closed: PackedResource
    certificate: Key

    @property
    def closing(self) -> Key:
        """The key of `closed`: of its table, or of its rules."""
        return self.closed.type_url, self.closed.name

    @property
    def version(self) -> str:
        """The version of the whole door."""
        digests = "".join(f"{one.version}\n" for one in self.own.values())
        return version_of(self.chain + digests.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedConfiguration:
    """One plan, packed.

    Args:
        plan: what was packed.
        doors: by id.
        faults: the doors that cannot be packed, each with the reason; they are not in `doors`.
        kept: the doors that keep their former server certificate, each with what is wrong with the new one.
        shared: what all doors share.
    """

    plan: GatewayPlan = field(repr=False)
    doors: Mapping[str, PackedDoor]
    faults: Mapping[str, str]
    kept: Mapping[str, str]
    shared: Mapping[Key, PackedResource]


class DoorPacker:
    """Packs one plan after the other; for one thread.

    Args:
        api: Envoy's messages.
    """

    def __init__(self, api: EnvoyApi) -> None:
        self._api = api
        self._frame: GatewayPlan | None = None
        self._doors: dict[str, tuple[Door, PackedDoor]] = {}
        self._certificates: dict[tuple[str, Key], PackedResource] = {}  # the last good one, by door and name
        self._kept: dict[str, str] = {}
        self._shared: dict[Key, tuple[Resource, PackedResource]] = {}
        self._listener: tuple[object, PackedResource] | None = None

    def pack(self, plan: GatewayPlan) -> PackedConfiguration:
        """Return a plan as bytes; doors that did not change are not compiled again.

        Raises:
            ConfigurationError: `envoy-refused-configuration`, for what all doors share.
        """
        # Neither our authorities nor the keys of sessions are in a door's own resources.
        sessions = None if plan.sessions is None else replace(plan.sessions, jwks=())
        frame = replace(
            plan, doors=(), open_doors=(), portal=None, trust=_ANY_TRUST, sessions=sessions, challenges=()
        )
        if frame != self._frame:
            self._frame, self._doors = frame, {}
        doors, faults = {}, {}
        self._kept = {}
        for door in plan.every_door:
            try:
                doors[door.id] = self._door(plan, door)
            except (ConfigurationError, OSError, ValueError) as error:
                faults[door.id] = _explain(error)
        self._doors = {one: known for one, known in self._doors.items() if one in doors}
        self._certificates = {
            (one, door.certificate): door.own[door.certificate] for one, door in doors.items()
        } | {key: known for key, known in self._certificates.items() if key[0] in faults}
        return PackedConfiguration(
            plan=plan,
            doors=doors,
            faults=faults,
            kept=self._kept,
            shared={(one.type_url, one.name): one for one in self._pack_shared(plan)},
        )

    def listener(self, plan: GatewayPlan, doors: Sequence[PackedDoor]) -> PackedResource:
        """Return the listener of a plan with the chains of some doors; an equal one is not packed again."""
        told = (
            plan.listen,
            plan.limits,
            plan.paths,
            plan.challenges,
            _has_tcp(plan),
            [(one.chain, one.matches) for one in doors],
        )
        if self._listener is None or self._listener[0] != told:
            self._listener = told, self._pack_listener(plan, doors)
        return self._listener[1]

    def _pack_listener(self, plan: GatewayPlan, doors: Sequence[PackedDoor]) -> PackedResource:
        matches = {host: lead for one in doors for host, lead in one.matches.items()}
        return self._api.pack_listener(build_listener_frame(plan, matches), [one.chain for one in doors])

    def _door(self, plan: GatewayPlan, door: Door) -> PackedDoor:
        known = self._doors.get(door.id)
        if known is None or known[0] != door:
            known = door, self._pack_door(door, build_door_parts(plan, door))
            if door.id in self._kept:
                self._doors.pop(door.id, None)  # its files are read again next time
            else:
                self._doors[door.id] = known
        return known[1]

    def _pack_door(self, door: Door, parts: DoorParts) -> PackedDoor:
        secrets = [self._secret(door, one) for one in parts.secrets]
        rest = [parts.cluster, *(one for one in (parts.table, parts.extension) if one is not None)]
        own = [*secrets, *map(self._api.pack, rest)]
        return PackedDoor(
            id=door.id,
            chain=self._api.pack_message(_CHAIN, parts.chain),
            matches=parts.matches,
            names=frozenset(_named_in(parts.chain)),
            own={(one.type_url, one.name): one for one in own},
            closed=self._api.pack(parts.closed),
            certificate=(SECRET, door.certificate.name),
        )

    def _secret(self, door: Door, secret: Resource) -> PackedResource:
        """Pack a secret; if a renewed server certificate cannot be used, return the former one."""
        former = self._certificates.get((door.id, (SECRET, secret["name"])))
        try:
            return self._api.pack(_with_files(secret))
        except (ConfigurationError, OSError, ValueError) as error:
            if former is None:
                raise
            self._kept[door.id] = _explain(error)
            return former

    def _pack_shared(self, plan: GatewayPlan) -> Iterator[PackedResource]:
        found = (build_own_trust(plan.trust), build_session_extension(plan), build_sessions_cluster(plan))
        for one in found:
            if one is None:
                continue
            key = one["@type"], one["name"]
            known = self._shared.get(key)
            if known is None or known[0] != one:
                known = self._shared[key] = one, self._api.pack(one)
            yield known[1]


def _has_tcp(plan: GatewayPlan) -> bool:
    return any(isinstance(one, TcpDoor) for one in plan.doors)


def _with_files(secret: Resource) -> Resource:
    """Return a secret with the content of the files that it names; a pair is checked first."""
    pair = secret.get("tls_certificate")
    if pair is None:
        return secret
    read = {part: read_limited(Path(source["filename"]), MOST_PEM_BYTES) for part, source in pair.items()}
    if fault := check_pair(read["certificate_chain"], read["private_key"]):
        raise ConfigurationError([Fault(code="envoy-refused-configuration", message=fault)])
    inline = {part: {"inline_string": one.decode("ascii")} for part, one in read.items()}
    return {**secret, "tls_certificate": inline}


def _named_in(value: Any) -> Iterator[Key]:
    """Yield the resources that a chain names."""
    if isinstance(value, list):
        for one in value:
            yield from _named_in(one)
    if not isinstance(value, dict):
        return
    if "sds_config" in value:
        yield SECRET, value["name"]
    elif "config_discovery" in value:
        yield EXTENSION, value["name"]
    elif "route_config_name" in value:
        yield ROUTES, value["route_config_name"]
    for one in value.values():
        yield from _named_in(one)


def _explain(error: Exception) -> str:
    if isinstance(error, ConfigurationError):
        return error.detail
    if isinstance(error, OSError):
        return f"a file of its certificate cannot be read: {(error.strerror or 'unknown error').lower()}"
    return "a file of its certificate is not PEM"
