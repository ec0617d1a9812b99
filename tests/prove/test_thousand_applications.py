"""A thousand applications with one rule and one server certificate each: what they cost, and what an edit of one touches.

It prints inotify instances of Envoy, seconds until the door is open, seconds of edits, and memory (PSS).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from doorward.audit.events import EventType
from tests.support.doorway import Identity, eventually
from tests.support.house import open_house
from tests.support.many_applications import Applications, inotify_instances, memory_mebibytes, name_of

COUNT = 1000
EDITED = 7
ADDED = COUNT
START_SECONDS = 300.0
PATIENCE_SECONDS = 120.0
CONFIRMED, BEHIND = 0, 3  # exit codes
LIMITS = {"DOORWARD_MAX_CONNECTIONS_PER_SOURCE": "8000", "DOORWARD_MAX_CONNECTIONS_PER_PRINCIPAL": "4000"}
"""Every connection comes from one address, and one person holds all of them."""


@pytest.fixture(scope="module")
def applications() -> Iterator[Applications]:
    """A house that starts with a thousand applications."""
    with open_house(started=False, environment=LIMITS) as house:
        found = Applications(house, COUNT)
        found.store()
        began = time.monotonic()
        house.start(seconds=START_SECONDS)
        seconds = time.monotonic() - began
        alice = house.person("alice", "staff")
        assert eventually(lambda: house.lets_in(alice, "/open/x", app=name_of(COUNT - 1)), PATIENCE_SECONDS)
        tell(
            f"{COUNT} applications: open after {seconds:.1f} s, all of them after {time.monotonic() - began:.1f} s"
        )
        yield found


@pytest.fixture
def alice(applications: Applications) -> Identity:
    """The person who may use every application."""
    return applications.house.identities["alice"]


def tell(words: str) -> None:
    """Print a figure."""
    print(f"\n{words}", flush=True)


def put(applications: Applications, text: str, is_there: Callable[[], bool]) -> float:
    """Put a document into force with `doorward apply`, as a person does; return the seconds until the gateway enforces it."""
    house = applications.house
    file = house.folder / "document.yaml"
    file.write_text(text)
    began = time.monotonic()
    said = house.command("apply", "-f", str(file), "--yes")
    # The command waits some seconds for the gateway; on a busy machine, a new listener takes longer.
    assert said.exit_code in (CONFIRMED, BEHIND), said.output
    assert eventually(is_there, PATIENCE_SECONDS), house.words()
    return time.monotonic() - began


def test_a_thousand_are_open(applications: Applications, alice: Identity) -> None:
    """Every application answers with its own certificate, and Envoy watches no file."""
    house = applications.house
    refused = [one for one in map(name_of, range(COUNT)) if not house.lets_in(alice, "/open/x", app=one)]
    assert refused == [], (house.events(EventType.CONNECTION_REFUSED), house.gateway_status())
    envoy = house.pid("envoy")
    assert inotify_instances(envoy) == 0
    tell(
        f"inotify instances of Envoy: {inotify_instances(envoy)}; memory: Envoy {memory_mebibytes(envoy)} MiB, "
        f"gateway {memory_mebibytes(house.pid('gateway'))} MiB, serve {memory_mebibytes(house.pid('serve'))} MiB"
    )


def test_an_edit_of_a_rule_touches_one_application(applications: Applications, alice: Identity) -> None:
    """The connections to the 999 others were made before the edit, and go on after it."""
    house = applications.house
    with applications.held(alice, range(COUNT)) as sessions:
        del sessions[EDITED]
        seconds = put(
            applications,
            applications.text(paths={EDITED: "moved"}),
            lambda: house.lets_in(alice, "/moved/x", app=name_of(EDITED)),
        )
        ended = [one for one, session in sessions.items() if session.request("GET", "/open/x").status != 200]
        assert ended == []
        assert len(sessions) == COUNT - 1
        tell(
            f"one `apply` that edits a rule: {seconds:.1f} s; connections to others that ended: {len(ended)}"
        )
    assert applications.status(alice, EDITED) == 403


def test_an_application_that_comes_or_goes_touches_no_other(
    applications: Applications, alice: Identity
) -> None:
    """Adding and removing an application changes the listener, and no connection to those that stay ends."""
    house = applications.house
    with applications.held(alice, range(0, COUNT, 10)) as sessions:
        added = put(
            applications,
            applications.text(count=COUNT + 1, paths={EDITED: "moved"}),
            lambda: house.lets_in(alice, "/open/x", app=name_of(ADDED)),
        )
        removed = put(
            applications,
            applications.text(paths={EDITED: "moved"}),
            lambda: not house.lets_in(alice, "/open/x", app=name_of(ADDED)),
        )
        assert {session.request("GET", "/open/x").status for session in sessions.values()} == {200}
        tell(f"`apply` that adds one: {added:.1f} s, that removes it: {removed:.1f} s")
    tell(f"memory afterwards: Envoy {memory_mebibytes(house.pid('envoy'))} MiB")
