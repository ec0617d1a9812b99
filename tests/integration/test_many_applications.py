"""Twenty applications at one door: no watched file, and an edit of one touches no connection of another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.house import open_house
from tests.support.many_applications import Applications, inotify_instances, name_of

COUNT = 20
EDITED = 7


@pytest.fixture(scope="module")
def applications() -> Iterator[Applications]:
    """A house that starts with twenty applications."""
    with open_house(started=False) as house:
        found = Applications(house, COUNT)
        found.store()
        house.start()
        house.person("alice", "staff")
        yield found


def test_envoy_watches_no_file(applications: Applications) -> None:
    """An inotify instance for each application would be too many for a stock system."""
    assert inotify_instances(applications.house.pid("envoy")) == 0


def test_every_application_has_its_own_certificate(applications: Applications) -> None:
    """Each one is open, and a connection to it is verified by its name."""
    alice = applications.house.identities["alice"]
    assert {applications.status(alice, one) for one in range(COUNT)} == {200}


def test_an_edit_touches_no_connection_of_another(applications: Applications) -> None:
    """The edited application follows its new rule; the connections to all others were made before the edit and go on."""
    house, alice = applications.house, applications.house.identities["alice"]
    with applications.held(alice, range(COUNT)) as sessions:
        house.apply_document(applications.text(paths={EDITED: "moved"}))
        del sessions[EDITED]  # it lost a path, so it ends
        assert applications.status(alice, EDITED, "/moved/x") == 200
        assert applications.status(alice, EDITED) == 403
        found = {name_of(one): session.request("GET", "/open/x").status for one, session in sessions.items()}
    assert len(found) == COUNT - 1
    assert set(found.values()) == {200}, found


def test_an_application_that_comes_or_goes_touches_no_other(applications: Applications) -> None:
    """One more application, then one less: connections to those that stay go on."""
    house, alice = applications.house, applications.house.identities["alice"]
    house.apply_document(applications.text())
    with applications.held(alice, range(COUNT)) as sessions:
        house.apply_document(applications.text(count=COUNT + 1))
        assert applications.status(alice, COUNT) == 200
        house.apply_document(applications.text())
        assert not house.lets_in(alice, "/open/x", app=name_of(COUNT))
        found = {name_of(one): session.request("GET", "/open/x").status for one, session in sessions.items()}
    assert set(found.values()) == {200}, found
