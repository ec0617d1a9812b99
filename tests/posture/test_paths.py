"""One meaning per path, for rules and application alike.

The policy opens `/public/**` and keeps `/admin/**` for itself. An attack succeeds where the application
receives a target that a tolerant server (one that decodes, joins and resolves) takes for `/admin`, or
where a deny rule for `/admin/**` is passed.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from tests.posture.witness import Witness
from tests.support.attacks import HTTP, Edit, changed
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import allow, deny, id_of
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-paths")


PUBLIC = allow("everybody reads the public part", "all", "/public/**")
ADMIN = deny("nobody reads the administration", "all", "/admin/**")
REST = allow("everybody reads the rest", "all", "/**")
NARROW = {"pay": (PUBLIC,), "other": (REST,)}
"""Positive: only the public part is open."""
WIDE = {"pay": (REST, ADMIN), "other": (REST,)}
"""Negative: everything but the administration is open; the clearance is not held."""

NORMALISE = changed(*HTTP, "normalize_path", to=False)
MERGE = changed(*HTTP, "merge_slashes", to=False)
ESCAPED = changed(*HTTP, "path_with_escaped_slashes_action", to="KEEP_UNCHANGED")


def _no_refused_paths(routes: list[Any]) -> list[Any]:
    return [one for one in routes if "safe_regex" not in one["match"]]


REFUSED = changed("routes", "app_pay", "virtual_hosts", "app_pay", "routes", to=_no_refused_paths)
ALL = (NORMALISE, MERGE, ESCAPED, REFUSED)

TRICKS = (
    # an open prefix that is left again
    "/public/../admin",
    "/public/./../admin/x",
    "/public/%2e%2e/admin",
    "/public/%2E./admin",
    "/public/..%2fadmin",
    "/public/..%5cadmin",
    "/public/..\\admin",
    "/public/%2e%2e%2fadmin",
    "/public/..;/admin",
    "/public/..%3b/admin",
    "/public/%252e%252e%252fadmin",
)
SPELLINGS = (
    # a denied tree under another name
    "//admin",
    "/x/..//admin",
    "/%61dmin",
    "/x/../admin",
    "/./admin",
    "/%2fadmin",
    "/x%2f..%2fadmin",
    "/x\\..\\admin",
    "/admin;x=1",
    "/admin%00",
    "/;/admin",
)


def resolve(target: str) -> str:
    """Return what the most tolerant server would take a target for."""
    path = target.partition("?")[0]
    while (decoded := unquote(path)) != path:
        path = decoded
    segments: list[str] = []
    for segment in path.replace("\\", "/").replace("\0", "").split("/"):
        name = segment.partition(";")[0]
        if name == "..":
            segments = segments[:-1]
        elif name not in {"", "."}:
            segments.append(name)
    return "/" + "/".join(segments)


def passed(door: CompiledDoor, witness: Witness, target: str, *, h2: bool) -> bool:
    """Send a target as it is; return whether the application got something that it may read as /admin."""
    mark = len(witness.requests)
    door.ask(target, h2=h2)
    return any(resolve(one).startswith("/admin") for one in witness.targets(mark))


def door_with(kept: Kept, *edits: Edit, wide: bool) -> CompiledDoor:
    """Return a door under one of the two policies, with everything granted that may be."""
    name = f"{wide} {[one.says for one in edits]}"
    door = kept(*edits, name=name, apps=WIDE if wide else NARROW)
    door.authorizer.facts = facts_of(id_of("pay", REST if wide else PUBLIC))
    return door


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
class TestTricks:
    """Leaving an open prefix, and naming a denied tree otherwise."""

    @pytest.mark.parametrize("target", TRICKS)
    def test_no_path_leaves_an_open_prefix(
        self, kept: Kept, witness: Witness, target: str, *, h2: bool
    ) -> None:
        """A path that begins as /public never arrives as /admin."""
        assert not passed(door_with(kept, wide=False), witness, target, h2=h2)

    @pytest.mark.parametrize("target", TRICKS)
    def test_it_would_without_the_fields(
        self, kept: Kept, witness: Witness, target: str, *, h2: bool
    ) -> None:
        """Without normalisation and the refusal of ambiguous paths each of them gets through."""
        assert passed(door_with(kept, *ALL, wide=False), witness, target, h2=h2)

    @pytest.mark.parametrize("target", SPELLINGS)
    def test_no_spelling_passes_a_deny_rule(
        self, kept: Kept, witness: Witness, target: str, *, h2: bool
    ) -> None:
        """A denied tree is denied under every name that an application may take for it."""
        assert not passed(door_with(kept, wide=True), witness, target, h2=h2)

    @pytest.mark.parametrize("target", SPELLINGS)
    def test_each_would_without_the_fields(
        self, kept: Kept, witness: Witness, target: str, *, h2: bool
    ) -> None:
        """Without normalisation and the refusal of ambiguous paths each of them gets through."""
        assert passed(door_with(kept, *ALL, wide=True), witness, target, h2=h2)


@pytest.mark.parametrize(
    ("edits", "target", "wide"),
    [
        pytest.param((NORMALISE, REFUSED), "/public/../admin", False, id="normalize_path"),
        pytest.param((ESCAPED, REFUSED), "/public/..%2fadmin", False, id="path_with_escaped_slashes_action"),
        pytest.param((MERGE, REFUSED), "//admin", True, id="merge_slashes"),
        pytest.param((REFUSED,), "/public/%252e%252e%252fadmin", False, id="refused paths"),
    ],
)
def test_each_field_has_an_attack_of_its_own(
    kept: Kept, witness: Witness, edits: tuple[Edit, ...], target: str, *, wide: bool
) -> None:
    """One field out (and the refusal of ambiguous paths, which stands behind each): its attack succeeds."""
    assert passed(door_with(kept, *edits, wide=wide), witness, target, h2=False)
    if len(edits) > 1:
        assert not passed(door_with(kept, edits[0], wide=wide), witness, target, h2=False)


@pytest.mark.parametrize("target", ["/public/a", "/public/a?next=/../admin", "/public/%E2%82%AC"])
def test_ordinary_paths_pass(kept: Kept, witness: Witness, target: str) -> None:
    """The policy itself works: what the attacks miss is not everything."""
    door = door_with(kept, wide=False)
    mark = len(witness.requests)
    assert door.site.ask("GET", target).status == 200
    assert witness.targets(mark) == [target]


def _no_reserved(routes: list[Any]) -> list[Any]:
    return [one for one in routes if one["match"].get("path_separated_prefix") != "/_doorward"]


def test_the_doors_own_paths(kept: Kept, witness: Witness) -> None:
    """/_doorward never reaches an application; without its route it does."""
    mark = len(witness.requests)
    assert door_with(kept, wide=True).site.ask("GET", "/_doorward/callback").status == 404
    assert witness.since(mark) == []
    own = changed("routes", "app_pay", "virtual_hosts", "app_pay", "routes", to=_no_reserved)
    assert door_with(kept, own, wide=True).site.ask("GET", "/_doorward/callback").status == 200
