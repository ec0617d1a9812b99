"""The certificates of a principal, by its name."""

from __future__ import annotations

import pytest

from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalKind
from doorward.core.errors import NotFound, RequestRefused
from doorward.directory.certificates import find_with_certificates, list_certificates
from tests.support.refusals import refused
from tests.support.world import World


def ids(found: tuple[list, bool]) -> list[str]:
    """The ids of a page."""
    return [one.id for one in found[0]]


def test_a_page_says_whether_there_are_more(world: World) -> None:
    """Oldest first, at most as many as are wanted; the next page begins after the last of them."""
    # Of one moment: these stand in the order of their ids.
    issued = sorted(world.certificate(world.issue(name)).id for name in ("alice", "bob", "alice"))
    page = list_certificates(world.services, limit=3)
    assert (ids(page), page[1]) == (issued, False)
    page = list_certificates(world.services, limit=2)
    assert (ids(page), page[1]) == (issued[:2], True)
    rest = list_certificates(world.services, limit=2, after=issued[1])
    assert (ids(rest), rest[1]) == (issued[2:], False)


def test_pages_are_narrowed(world: World) -> None:
    """To one principal, to one state; a name that is unknown is said to be so."""
    first, _, second = (world.certificate(world.issue(name)).id for name in ("alice", "bob", "alice"))
    assert ids(list_certificates(world.services, of="alice", limit=9)) == sorted([first, second])
    assert ids(list_certificates(world.services, state=CertificateState.REVOKED, limit=9)) == []
    with refused(NotFound, "principal-unknown"):
        list_certificates(world.services, of="somebody", limit=9)


def test_a_principal_is_shown_with_its_certificates(world: World) -> None:
    """Its own and no others; a kind that it is not of is refused."""
    mine = world.certificate(world.issue("alice")).id
    world.issue("bob")
    alice, certificates, older = find_with_certificates(world.services, "alice", kind=PrincipalKind.PERSON)
    assert (alice.name, [one.id for one in certificates]) == ("alice", [mine])
    assert older == 0
    with refused(RequestRefused, "principal-kind"):
        find_with_certificates(world.services, "alice", kind=PrincipalKind.DEVICE)


def test_of_many_certificates_the_newest_are_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service with short-lived ones has thousands: those in use must not be hidden behind the first hundred."""
    monkeypatch.setattr("doorward.directory.certificates.MOST_SHOWN", 2)
    issued = [world.certificate(world.issue("alice")).id for _ in range(3)]
    _, certificates, older = find_with_certificates(world.services, "alice", kind=PrincipalKind.PERSON)
    assert ([one.id for one in certificates], older) == (sorted(issued)[1:], 1)
