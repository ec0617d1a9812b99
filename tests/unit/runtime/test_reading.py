"""Which events are wanted, and moments as people write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.directory.principals import add_principal
from doorward.runtime.reading import Wanted, find_recorded_principal, parse_moment
from tests.support.ports import NOON
from tests.support.world import OPERATOR, World

EVENT: dict[str, Any] = {
    "type": "connection:refused",
    "at": "2026-11-29T10:00:00.000000Z",
    "actor": "per_a",
    "data": {"application": "app_a", "certificate": "crt_a", "reasons": []},
}


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ({}, True),
        ({"principal_id": "per_a"}, True),
        ({"principal_id": "per_b"}, False),
        ({"application_id": "app_a"}, True),
        ({"application_id": "app_b"}, False),
        ({"certificate_id": "crt_a"}, True),
        ({"certificate_id": "crt_b"}, False),
        ({"event": "connection"}, True),
        ({"event": "connection:refused"}, True),
        ({"event": "connection:ref"}, False),
        ({"result": "refused"}, True),
        ({"result": "ok"}, False),
    ],
)
def test_filters(wanted: dict[str, str], *, matches: bool) -> None:
    """Each filter lets through what it names."""
    assert Wanted(**wanted).matches(EVENT) is matches


def test_times_are_bounds() -> None:
    """Since and until include their own moment."""
    at = parse_moment("2026-11-29T10:00", NOON)
    assert Wanted(since=at, until=at).matches(EVENT)
    assert not Wanted(since=at + timedelta(microseconds=1)).matches(EVENT)
    assert not Wanted(until=at - timedelta(microseconds=1)).matches(EVENT)


@pytest.mark.parametrize(("text", "before"), [("90s", 90), ("10m", 600), ("2h", 7200), ("3d", 259_200)])
def test_spans(text: str, before: int) -> None:
    """So long ago."""
    assert parse_moment(text, NOON) == NOON - timedelta(seconds=before)


def test_zones() -> None:
    """Without a zone it is UTC."""
    assert parse_moment("2026-11-29T10:00+02:00", NOON) == parse_moment("2026-11-29T08:00", NOON)


@pytest.mark.parametrize("text", ["10", "m", "yesterday", "999999d", "2026-13-01", ""])
def test_what_is_no_time(text: str) -> None:
    """The hint says how to write it."""
    with pytest.raises(MalformedInput) as caught:
        parse_moment(text, NOON)
    assert caught.value.code == "time-malformed"


def test_a_name_never_stands_for_another_principal(world: World) -> None:
    """A partner's `acme/rob` is not our rob, and a name may look like the beginning of an id: its values may be erased."""
    services = world.services

    def add(kind: PrincipalKind, name: str) -> str:
        return add_principal(services, kind, name, actor=OPERATOR).value.id

    ours, backup = add(PrincipalKind.PERSON, "rob"), add(PrincipalKind.SERVICE, "svc_backup")
    assert find_recorded_principal(services, "rob").id == ours
    assert find_recorded_principal(services, "person/rob").id == ours
    assert find_recorded_principal(services, "svc_backup").id == backup
    assert find_recorded_principal(services, ours).id == ours
    with pytest.raises(NotFound):
        find_recorded_principal(services, "acme/rob")
    with pytest.raises(RequestRefused):
        find_recorded_principal(services, "device/rob")
    theirs = Principal(
        id=services.new_id("per"),
        tenant=TENANT,
        kind=PrincipalKind.PERSON,
        name="acme/rob",
        state=PrincipalState.ACTIVE,
        partner="prt_0123456789abcdefghij",
    )
    with services.work.change() as stores:
        stores.directory.add(theirs, NOON)
    assert find_recorded_principal(services, "acme/rob").id == theirs.id
