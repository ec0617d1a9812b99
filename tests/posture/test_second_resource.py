"""A second path, another method, TRACE.

Standard: RFC 4918 sections 9.8, 9.9 and 10.3; RFC 9110 section 9.3.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from doorward.policy.request_headers import COPY_SOURCES, OVERRIDES, HeaderOptions
from tests.posture.witness import Witness
from tests.support.attacks import Edit, changed, without
from tests.support.compiled_door import CompiledDoor, CompiledDoors, Kept
from tests.support.door_site import DoorSite, allow, deny, id_of
from tests.support.envoy_process import facts_of
from tests.support.resources import Resources, build_resources

pytestmark = pytest.mark.xdist_group("posture-second-resource")


STAFF = allow("staff", "staff")
SECRET = deny("no secrets", "interns", "/secret/**")
APPS = {"pay": (STAFF, SECRET)}
INTERN = facts_of(id_of("pay", STAFF))
JUDGE = HeaderOptions(destination=True, passed=frozenset({"x-http-method-override", "x-copy-from"}))


def judging(site: DoorSite) -> DoorSite:
    """Return a site that compiles pay with `Destination` judged and two headers passed."""

    class Judging(DoorSite):
        def resources(self, apps: Any, **options: Any) -> Resources:
            plan = self.plan(apps, **options)
            return build_resources(
                replace(plan, doors=tuple(replace(one, headers=JUDGE) for one in plan.doors))
            )

    other = Judging.__new__(Judging)
    other.__dict__.update(site.__dict__)
    return other


@pytest.fixture(scope="module")
def webdav(doors: CompiledDoors) -> Iterator[CompiledDoor]:
    """A door of an application that has `Destination` judged."""
    opened = replace(doors, site=judging(doors.site))
    with opened.open(apps=APPS) as door:
        door.authorizer.facts = INTERN
        yield door


def ask(door: CompiledDoor, method: str, *headers: tuple[str, str], h2: bool) -> int:
    """Send a request for /a; return its status."""
    return door.ask("/a", *headers, method=method, h2=h2)


@pytest.fixture
def strict(kept: Kept) -> CompiledDoor:
    """The door of an application that asked for nothing."""
    door = kept(apps=APPS)
    door.authorizer.facts = INTERN
    return door


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
class TestRefused:
    """Methods that an application did not ask for."""

    @pytest.mark.parametrize("name", ["destination", *COPY_SOURCES])
    def test_a_second_path_is_refused(
        self, strict: CompiledDoor, witness: Witness, name: str, *, h2: bool
    ) -> None:
        """403 for every method, and the application hears nothing."""
        mark = len(witness.requests)
        assert ask(strict, "COPY", (name, "/secret/x"), h2=h2) == 403
        assert ask(strict, "PUT", (name, ""), h2=h2) == 403
        assert witness.since(mark) == []

    def test_without_the_route_it_arrives(self, kept: Kept, witness: Witness, *, h2: bool) -> None:
        """Without the refusal an intern writes below a denied path."""
        door = kept(
            without("routes", "app_pay", "virtual_hosts", "app_pay", "routes", "destination-refused"),
            apps=APPS,
        )
        door.authorizer.facts = INTERN
        mark = len(witness.requests)
        assert ask(door, "COPY", ("destination", "https://pay.test/secret/x"), h2=h2) == 200
        assert witness.since(mark)[0].all_of("destination") == ["https://pay.test/secret/x"]

    @pytest.mark.parametrize("name", OVERRIDES)
    def test_another_method_or_path_is_removed(
        self, strict: CompiledDoor, witness: Witness, name: str, *, h2: bool
    ) -> None:
        """The request goes on without the header."""
        mark = len(witness.requests)
        assert ask(strict, "POST", (name, "DELETE"), h2=h2) == 200
        assert witness.since(mark)[0].all_of(name) == []

    @pytest.mark.parametrize("method", ["TRACE", "TRACK"])
    def test_trace_is_not_allowed(
        self, strict: CompiledDoor, witness: Witness, method: str, *, h2: bool
    ) -> None:
        """405 over both protocols: the application would return the signed assertion."""
        mark = len(witness.requests)
        assert ask(strict, method, h2=h2) == 405
        assert witness.since(mark) == []

    def test_without_its_route_trace_arrives(self, kept: Kept, witness: Witness, *, h2: bool) -> None:
        """A rule for every method would allow it."""
        door = kept(
            without("routes", "app_pay", "virtual_hosts", "app_pay", "routes", "method-refused"), apps=APPS
        )
        door.authorizer.facts = INTERN
        mark = len(witness.requests)
        assert ask(door, "TRACE", h2=h2) == 200
        assert witness.since(mark)[0].method == "TRACE"


GOOD = ["/b", "https://pay.test/b", "http://PAY.test:8443/b/", "/b%20c"]
DENIED = ["/secret", "/secret/x", "https://pay.test/secret/x"]
AMBIGUOUS = [
    "https://other.test/b",
    "https://other.test/secret/x",
    "/b/../secret/y",
    "https://pay.test@other.test/b",
    "//pay.test/b",
    "/b/../secret/x",
    "/b//c",
    "/%73ecret/x",
    "/b%2fc",
    "/b;x",
    "/b?x",
    "b",
    "",
    "https://pay.test",
    "https://pay.test:x/b",
]


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
class TestJudged:
    """An application with a judged `Destination`."""

    @pytest.mark.parametrize("destination", GOOD)
    def test_what_the_rules_allow_passes(
        self, webdav: CompiledDoor, witness: Witness, destination: str, *, h2: bool
    ) -> None:
        """The application reads the header as it came."""
        mark = len(witness.requests)
        assert ask(webdav, "COPY", ("destination", destination), h2=h2) == 200
        assert witness.since(mark)[0].all_of("destination") == [destination]

    @pytest.mark.parametrize(
        ("values", "status"), [(DENIED, 403), (AMBIGUOUS, 400)], ids=["denied", "ambiguous"]
    )
    def test_what_they_do_not_is_refused(
        self, webdav: CompiledDoor, witness: Witness, values: list[str], status: int, *, h2: bool
    ) -> None:
        """403 if a rule denies the path, 400 if it is not a path of this host in normal form."""
        mark = len(witness.requests)
        for value in values:
            assert ask(webdav, "MOVE", ("destination", value), h2=h2) == status, value
        assert witness.since(mark) == []

    def test_two_lines_are_one_or_none(self, webdav: CompiledDoor, witness: Witness, *, h2: bool) -> None:
        """Nothing behind the first line escapes the rules: the application reads one line, which was judged."""
        mark = len(witness.requests)
        ask(webdav, "COPY", ("destination", "/b"), ("destination", "/secret/x"), h2=h2)
        assert all(len(one.all_of("destination")) == 1 for one in witness.since(mark))
        assert not [one for one in witness.since(mark) if one.all_of("destination")[0] == "/secret/x"]

    def test_what_was_asked_for_passes(self, webdav: CompiledDoor, witness: Witness, *, h2: bool) -> None:
        """A header that the application has passed arrives as it came."""
        mark = len(witness.requests)
        for name in sorted(JUDGE.passed):
            assert ask(webdav, "POST", (name, "/x"), h2=h2) == 200
            assert witness.since(mark)[-1].all_of(name) == ["/x"]


def test_without_the_third_filter_the_destination_is_not_judged(
    doors: CompiledDoors, witness: Witness
) -> None:
    """The routes refuse odd spellings only; the rules are asked by the filter."""

    def fewer(filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [one for one in filters if one["name"] != "doorward.destination"]

    edits: list[Edit] = [
        changed(
            "listeners",
            "door",
            "filter_chains",
            "app_pay",
            "filters",
            "doorward.http",
            "typed_config",
            "http_filters",
            to=fewer,
        ),
        without("routes", "app_pay", "virtual_hosts", "app_pay", "typed_per_filter_config"),
    ]
    opened = replace(doors, site=judging(doors.site))
    with opened.open(*edits, apps=APPS) as door:
        door.authorizer.facts = INTERN
        mark = len(witness.requests)
        assert ask(door, "COPY", ("destination", "/secret/x"), h2=False) == 200
        assert len(witness.since(mark)) == 1
