"""Fixtures of all posture tests: one site of certificates, one witness, and doors that live for a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from doorward.gateway.connections.cutter import Mechanism
from tests.posture.witness import Witness, standing_witness
from tests.support import session_doors
from tests.support.attacks import Edit
from tests.support.compiled_door import CompiledDoor, CompiledDoors
from tests.support.door_site import CLEARED, TELLER, DoorSite
from tests.support.doorway import Doorway, open_doorway
from tests.support.envoy_process import facts_of
from tests.support.session_doors import Give
from tests.support.session_tokens import fingerprint


@pytest.fixture(scope="session")
def witness() -> Iterator[Witness]:
    """The application behind every door."""
    with standing_witness() as one:
        yield one


@pytest.fixture(scope="session")
def doors(witness: Witness, tmp_path_factory: pytest.TempPathFactory) -> CompiledDoors:
    """Authorities and certificates, made once."""
    folder = tmp_path_factory.mktemp("p")
    (folder / "site").mkdir()
    return CompiledDoors(DoorSite(folder / "site", witness.port), folder)


MOST_KEPT = 3
"""Each Envoy has some 60 MB."""


@pytest.fixture(scope="module")
def kept(doors: CompiledDoors) -> Iterator[Callable[..., CompiledDoor]]:
    """Open doors that stay while they are used; the same arguments give the same door."""
    opened: dict[str, tuple[CompiledDoor, ExitStack]] = {}

    def give(*edits: Edit, name: str = "", **options: Any) -> CompiledDoor:
        place = name or str([one.says for one in edits])
        if place in opened:
            opened[place] = opened.pop(place)  # the latest used stands last
            return opened[place][0]
        while len(opened) >= MOST_KEPT:
            opened.pop(next(iter(opened)))[1].close()
        stack = ExitStack()
        opened[place] = (stack.enter_context(doors.open(*edits, **options)), stack)
        return opened[place][0]

    yield give
    for _, stack in opened.values():
        stack.close()


@pytest.fixture
def door(kept: Callable[..., CompiledDoor]) -> CompiledDoor:
    """The door as compiled, with a teller in front of it."""
    one = kept()
    one.authorizer.answers, one.authorizer.delay_seconds = {}, 0.0
    one.authorizer.facts = facts_of(TELLER, CLEARED)
    return one


@pytest.fixture
def give(kept: Callable[..., CompiledDoor], doors: CompiledDoors) -> Give:
    """Open doors of which some rules ask for a factor."""

    def with_sessions(*edits: Edit, name: str, **options: Any) -> CompiledDoor:
        plan = session_doors.MINT.plan(doors.folder)
        chosen = {"apps": session_doors.RULES, "sessions": plan, **options}
        door = kept(*edits, name=f"sessions {name}", **chosen)
        door.authorizer.answers, door.authorizer.facts = {}, session_doors.FACTS
        return door

    return with_sessions


@pytest.fixture
def asking(give: Give) -> CompiledDoor:
    """Such a door as compiled."""
    return give(name="as compiled")


@pytest.fixture
def own(doors: CompiledDoors) -> str:
    """The certificate with which requests come, as tokens name it."""
    return fingerprint(doors.site.folder, "p256")


RULES = """
- name: staff read
  allow: {groups: [staff]}
  to: {methods: [GET, HEAD, POST], paths: ["/**"]}
- name: interns read no secrets
  deny: {groups: [interns]}
  to: {paths: ["/secret/**"]}
"""


@pytest.fixture(scope="session")
def living() -> Iterator[Doorway]:
    """A whole Doorward with alice and bob of the staff; its files share one group of workers."""
    with open_doorway(settings={"max_staleness": timedelta(seconds=1)}) as doorway:
        doorway.apply(RULES)
        for name in ("alice", "bob"):
            doorway.person(name, "staff")
        yield doorway


@pytest.fixture(scope="session")
def uncut() -> Iterator[Doorway]:
    """The same without a way to cut connections."""
    with open_doorway(mechanism=Mechanism.NONE) as doorway:
        doorway.apply(RULES)
        doorway.person("alice", "staff")
        yield doorway
