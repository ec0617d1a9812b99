"""How use cases make events: what fits is kept, what does not is fitted, and a fault of the program is refused."""

from __future__ import annotations

import pytest

from doorward.audit.events import MAX_PUBLIC_CHARACTERS, Event, EventType
from doorward.core.errors import MalformedInput
from doorward.stores.events import new_event
from tests.support.refusals import refused
from tests.support.world import World, found_world


@pytest.fixture(scope="module")
def world() -> World:
    """A founded authority."""
    return found_world()


def refusal(
    world: World, reasons: tuple[str, ...], *, name: str = "alice", principal: str = "per_a"
) -> Event:
    """An event about a refused request, with values from outside."""
    return new_event(
        world.services,
        EventType.CERTIFICATE_REFUSED,
        actor="system",
        data={"reasons": reasons, "principal": principal},
        personal={"name": name},
    )


def test_what_fits_is_kept(world: World) -> None:
    """Each value is as the use case gave it; an empty one is left out."""
    event = refusal(world, ("csr-malformed",), name="", principal="")
    assert (dict(event.data), dict(event.personal)) == ({"reasons": ("csr-malformed",)}, {})
    assert dict(refusal(world, ("a",)).personal) == {"name": "alice"}


def test_what_does_not_fit_is_fitted(world: World) -> None:
    """A strange value prevents no event, wherever it stands, and the others stay as they are."""
    assert refusal(world, ("a b",)).data == {"principal": "per_a", "reasons": (r"a\x20b",)}
    assert refusal(world, ("a",), name="two\nlines").personal == {"name": r"two\x0alines"}
    long = refusal(world, tuple("x" * 200 for _ in range(200)))
    reasons = long.data["reasons"]
    assert isinstance(reasons, tuple)
    assert 0 < sum(map(len, reasons)) <= MAX_PUBLIC_CHARACTERS
    assert reasons[-1].endswith("-more")


def test_a_fault_of_the_program_is_refused(world: World) -> None:
    """An id that is none is not fitted."""
    with refused(MalformedInput, "event-malformed"):
        refusal(world, ("a",), principal="no id")
