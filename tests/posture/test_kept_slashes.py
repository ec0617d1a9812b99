"""Encoded slashes at an application that keeps them, through the whole door."""

from __future__ import annotations

from typing import Any

import pytest

from doorward.policy.normalisation import KEPT_SLASH_REGEXES
from tests.support.attacks import changed
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import CLEARED, TELLER
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-paths")


CLIMBS = (
    "/accounts/..%2f..%2fsecret",
    "/accounts/a%2F..",
    "/accounts/a%2f%2fb",
    "/accounts/a%5cb",
    "/accounts/..%2Fx",
)


def _unrefused(routes: Any) -> Any:
    return [
        one for one in routes if one["match"].get("safe_regex", {}).get("regex") not in KEPT_SLASH_REGEXES
    ]


@pytest.fixture
def keeping(kept: Kept) -> CompiledDoor:
    """A door; its first application keeps encoded slashes."""
    return _ready(kept(name="keeping", keeping=("pay",)))


def _ready(door: CompiledDoor) -> CompiledDoor:
    door.authorizer.facts = facts_of(TELLER, CLEARED)
    return door


@pytest.mark.parametrize("path", ["/accounts/group%2Fproject", "/accounts/%2f/x"])
def test_a_kept_slash_reaches_the_application_as_it_came(keeping: CompiledDoor, path: str) -> None:
    """RFC 3986 section 2.2: within its segment, which a rule covers; other applications refuse it."""
    answer = keeping.site.ask("GET", path)
    assert (answer.status, answer.seen["path"]) == (200, path)
    assert keeping.site.ask("GET", path, host="other.test").status == 400
    assert keeping.site.ask("GET", "/accounts%2Fx").status == 403


@pytest.mark.parametrize("path", CLIMBS)
def test_what_climbs_when_decoded_is_refused(keeping: CompiledDoor, path: str) -> None:
    """400, though the rule about /accounts/** covers it."""
    assert keeping.site.ask("GET", path).status == 400


def test_without_the_route_it_arrives(kept: Kept) -> None:
    """The route of refused paths is what stops them."""
    edit = changed("routes", "app_pay", "virtual_hosts", 0, "routes", to=_unrefused)
    door = _ready(kept(edit, name="keeping all", keeping=("pay",)))
    for path in CLIMBS:
        answer = door.site.ask("GET", path)
        assert (answer.status, answer.seen["path"]) == (200, path)
