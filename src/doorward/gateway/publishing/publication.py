"""One publication: sends a configuration over the stream, phase after phase, until Envoy has answered for each resource.

Not here: the content (enforcement, door_packing), when to publish (transition), the stream itself (discovery). The phases:
1. clusters, secrets and filters; and the tables of doors that are new to Envoy, because a listener that names a missing table
   waits for it;
2. the listener. One bad chain makes Envoy refuse the whole listener. If that happens, the publication tries the changed chains
   in halves, and leaves all other chains as Envoy has them. So only the bad ones stay out;
3. waiting: Envoy gets what the chains name, and the listener warms;
4. route tables;
5. removal. It comes last, because only then no route names the cluster that is removed.

If Envoy refuses a resource, everything else is in force all the same. The door of the resource is *closed*: its table answers
503, or its rules let nothing pass, so Envoy never enforces a superseded rule. A server certificate that replaces another one is
different: the former certificate stays in use. A refused resource is not sent again until the door changes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from doorward.core.errors import ConfigurationError, Fault, Unavailable
from doorward.core.ports import Clock
from doorward.gateway.envoy.statistics import EnvoyStatistics
from doorward.gateway.publishing.discovery.cache import ResourceCache
from doorward.gateway.publishing.discovery.messages import CLUSTER, LISTENER, ROUTES, PackedResource
from doorward.gateway.publishing.discovery.subscriptions import Key
from doorward.gateway.publishing.door_packing import DoorPacker, PackedConfiguration, PackedDoor

SHARED = "all applications"
"""The id in `refusals` for what all doors share; with its space it is neither the id nor the name of an application."""

POLL_SECONDS = 0.005
_WARMING = "listener_manager.total_listeners_warming"
_ALIVE = r"^server\.live$"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedDoor:
    """A door of which Envoy refused a part.

    Args:
        version: of the door that was refused.
        words: Envoy's reason.
        is_closed: False if only a renewed server certificate was refused: the door stays open with the former one.
        by_chain: whether Envoy refused its filter chain, not one of its resources.
    """

    version: str
    words: str
    is_closed: bool
    by_chain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherPorts:
    """What every publication of one run of Envoy works with."""

    cache: ResourceCache
    packer: DoorPacker
    clock: Clock
    wait: Callable[[float], None] = time.sleep


class Publication:
    """One publication; `run` once.

    After `run`, also if it raised: `chains` are the doors in Envoy's listener, `refused` the doors of which Envoy refused a
    part, `shared_refusals` what it refused of the resources that all doors share, and `changed` what was sent or removed.

    Args:
        ports: cache, packer, clock.
        configuration: what Envoy shall enforce.
        chains: the doors in the listener that Envoy has, by id, each with the chain that it has.
        remembered: the doors that the last publication found refused.
        statistics: of this Envoy.
        seconds: how long Envoy may take to answer in one phase.
    """

    def __init__(
        self,
        ports: PublisherPorts,
        configuration: PackedConfiguration,
        chains: Mapping[str, PackedDoor],
        remembered: Mapping[str, RefusedDoor],
        *,
        statistics: EnvoyStatistics,
        seconds: float,
    ) -> None:
        self._cache, self._packer = ports.cache, ports.packer
        self._clock, self._wait = ports.clock, ports.wait
        self._wanted = configuration
        self._seconds = seconds
        self.chains = dict(chains)
        self.refused = {
            one: known
            for one, known in remembered.items()
            if one in configuration.doors and configuration.doors[one].version == known.version
        }
        self.shared_refusals: set[str] = set()
        self.changed: set[Key] = set()
        self._owners = {key: door.id for door in configuration.doors.values() for key in door.own}
        self._statistics = statistics

    def run(self) -> None:
        """Do all phases.

        Raises:
            ConfigurationError: Envoy refuses every listener (`envoy-refused-configuration`).
            Unavailable: Envoy did not answer in time, or has ended (`publication-unconfirmed`).
        """
        self._send_first()
        self._send_listener()
        self._await_named_resources()
        self._await_warm()
        self._send_tables()
        self._remove()

    def closed(self) -> frozenset[str]:
        """Return the ids of the doors that are closed because of faults or refusals."""
        return frozenset(
            (*self._wanted.faults, *(one for one, known in self.refused.items() if known.is_closed))
        )

    # 1.

    def _send_first(self) -> None:
        open_doors = [one for one in self._wanted.doors.values() if not self._is_closed(one.id)]
        for one in self.closed():
            self._put_closed(one)
        tables = {key for door in open_doors for key in door.own if key[0] == ROUTES}
        in_use = self._cache.asked(tables)  # phase 4
        for door in open_doors:
            self._put(resource for key, resource in door.own.items() if key not in in_use)
        self._put(self._wanted.shared.values())
        sent = {*self._wanted.shared, *(key for door in open_doors for key in door.own)} - in_use
        clusters = {key for key in sent if key[0] == CLUSTER}
        self._await(clusters | self._cache.asked(sent))

    # 2.

    def _send_listener(self) -> None:
        before, ids = dict(self.refused), set(self._every_id())
        self.chains = {one: door for one, door in self.chains.items() if one in ids}
        changed = [
            door
            for one, door in self._wanted.doors.items()
            if not (one in self.refused and self.refused[one].by_chain) and not self._has_chain(door)
        ]
        words = self._add_chains(changed) if changed else self._try_listener(())
        if words and self.chains:
            words = self._try_listener(())  # puts back the listener that Envoy has
        if words:
            self.refused = before  # Envoy accepts no listener at all: no door is blamed
            message = f"Envoy refuses the listener: {words}"
            raise ConfigurationError([Fault(code="envoy-refused-configuration", message=message)])

    def _add_chains(self, group: Sequence[PackedDoor]) -> str:
        """Bring changed chains into the listener, as far as Envoy accepts them; return the last refusal, or nothing."""
        words = self._try_listener(group)
        if not words:
            return ""
        if len(group) == 1:
            self._refuse(group[0], words, by_chain=True)
            return words
        half = len(group) // 2
        return [self._add_chains(group[:half]), self._add_chains(group[half:])][-1]

    def _try_listener(self, group: Sequence[PackedDoor]) -> str:
        """Send a listener with these chains and, for all other doors, the chains that Envoy has; return its refusal."""
        chains = {**self.chains, **{one.id: one for one in group}}
        doors = [chains[one] for one in self._every_id() if one in chains]
        # Former chains first: the last one that names a host gets it, and a host may have moved to another door.
        doors.sort(key=self._is_wanted)
        listener = self._packer.listener(self._wanted.plan, doors)
        key = listener.type_url, listener.name
        self._put([listener])
        words = self._answers([key]).get(key, "")
        if not words:
            self.chains = {one.id: one for one in doors}
        return words

    def _has_chain(self, door: PackedDoor) -> bool:
        known = self.chains.get(door.id)
        return known is not None and (known.chain, known.matches) == (door.chain, door.matches)

    def _is_wanted(self, one: PackedDoor) -> bool:
        wanted = self._wanted.doors.get(one.id)
        return wanted is not None and (wanted.chain, wanted.matches) == (one.chain, one.matches)

    def _every_id(self) -> list[str]:
        return [one.id for one in self._wanted.plan.every_door]

    # 3.

    def _await_named_resources(self) -> None:
        there = self._cache.resources()
        self._await({key for door in self.chains.values() for key in door.names if key in there})

    def _await_warm(self) -> None:
        """Wait until the listener is active: Envoy acknowledges it before it has what its chains name."""
        limit = self._clock.monotonic() + self._seconds
        while not _is_warm(self._statistics):
            if self._clock.monotonic() > limit or not self._may_answer():
                raise _unconfirmed("its listener")
            self._wait(POLL_SECONDS)

    # 4.

    def _send_tables(self) -> None:
        for door in self._wanted.doors.values():
            if not self._is_closed(door.id):
                self._put(resource for key, resource in door.own.items() if key[0] == ROUTES)
        self._await_named_resources()  # may close doors
        self._await_named_resources()  # for the answers to what closes them
        refused = [one for one in self.closed() if self._closed_is_refused(one)]
        if refused:
            raise _unconfirmed("the closing of a door")

    def _closed_is_refused(self, door_id: str) -> bool:
        if door_id not in self.chains:
            return False
        key = self.chains[door_id].closing
        return self._cache.acknowledged().get(key) != self._closings(door_id)[key].version

    # 5.

    def _remove(self) -> None:
        kept = {key for door in (*self._wanted.doors.values(), *self.chains.values()) for key in door.own}
        kept |= {key for door in self.chains.values() for key in door.names}
        kept |= self._wanted.shared.keys()
        gone = self._cache.remove(
            key for key in self._cache.resources() if key not in kept and key[0] != LISTENER
        )
        self.changed.update(gone)
        self._await({key for key in gone if key[0] == CLUSTER})

    # refusals

    def _await(self, keys: Collection[Key]) -> None:
        """Wait for answers, and close the doors of refused resources. `_send_tables` checks that they are closed."""
        answers = self._answers(keys)
        sent = self._cache.resources() if answers else {}
        for key, words in answers.items():
            owner = self._owners.get(key)
            if owner is None or key in self._wanted.shared:
                self.shared_refusals.add(f"{key[1]}: {words}")
                continue
            door = self._wanted.doors[owner]
            if sent[key] == door.own[key] and not self._is_closed(owner):
                self._note_refusal(door, key, words)

    def _note_refusal(self, door: PackedDoor, key: Key, words: str) -> None:
        """Close a door; if only its renewed server certificate was refused, keep it open with the former one."""
        keeps_former = key == door.certificate and key in self._cache.acknowledged()
        self._refuse(door, words, stays_open=keeps_former)

    def _refuse(
        self, door: PackedDoor, words: str, *, by_chain: bool = False, stays_open: bool = False
    ) -> None:
        self.refused[door.id] = RefusedDoor(
            version=door.version, words=words, is_closed=not stays_open, by_chain=by_chain
        )
        if not stays_open:
            self._put_closed(door.id)

    def _put_closed(self, door_id: str) -> None:
        self._put(self._closings(door_id).values())

    def _closings(self, door_id: str) -> dict[Key, PackedResource]:
        """Return what closes a door, also if its chain in force is of another kind than the wanted one."""
        doors = (self.chains.get(door_id), self._wanted.doors.get(door_id))
        return {one.closing: one.closed for one in doors if one is not None}

    def _is_closed(self, door_id: str) -> bool:
        return door_id in self._wanted.faults or (door_id in self.refused and self.refused[door_id].is_closed)

    # the stream

    def _put(self, resources: Iterable[PackedResource]) -> None:
        self.changed.update(self._cache.put(resources))

    def _answers(self, keys: Collection[Key]) -> Mapping[Key, str]:
        limit = self._clock.monotonic() + self._seconds
        while True:
            left = limit - self._clock.monotonic()
            found = self._cache.await_answers(keys, left)
            if found is not None:
                return found
            if left <= 0 or not self._may_answer():
                raise _unconfirmed("every resource")

    def _may_answer(self) -> bool:
        """Return False if Envoy has ended; also if it neither has a stream nor answers on its admin socket."""
        if self._cache.has_ended:
            return False
        if self._cache.is_connected:
            return True
        try:
            self._statistics.statistics(_ALIVE)
        except Unavailable:
            return False
        return True


def _is_warm(statistics: EnvoyStatistics) -> bool:
    """Return whether Envoy says so; while its main thread builds many filter chains, it says nothing."""
    try:
        return not statistics.statistics(f"^{re.escape(_WARMING)}$").get(_WARMING, 0)
    except Unavailable:
        return False


def _unconfirmed(what: str) -> Unavailable:
    return Unavailable(
        "publication-unconfirmed",
        f"Envoy did not confirm {what} in time",
        hint="the gateway tries again every two seconds; if it stays so, read Envoy's own log",
    )
