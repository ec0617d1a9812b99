"""Groups in groups."""

from __future__ import annotations

import pytest

from doorward.audit.events import EventType
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.directory import groups, nesting, principals, removal
from doorward.stores.records import ChangeKind
from tests.support.refusals import refused
from tests.support.world import OPERATOR, World, found_world


@pytest.fixture
def world() -> World:
    """Alice and bob are tellers; `staff` and `everyone` are empty groups."""
    made = found_world(document="")
    for group in ("staff", "everyone"):
        principals.create_group(made.services, group, actor=OPERATOR)
    return made


def nest(world: World, inner: str, outer: str) -> None:
    """Put a group into a group."""
    nesting.nest(world.services, outer, inner, actor=OPERATOR)


def groups_of(world: World, name: str) -> tuple[str, ...]:
    """All groups of somebody."""
    return principals.find_principal(world.services, name).groups


def test_a_group_brings_its_members(world: World) -> None:
    """Who is in the inner group is in the outer one, by one event and one change that names the inner one."""
    before = world.head()
    done = nesting.nest(world.services, "staff", "tellers", actor=OPERATOR)
    assert groups_of(world, "alice") == ("staff", "tellers")
    event = world.events(EventType.GROUP_NESTED)[-1]
    assert dict(event.data) == {
        "group": groups.group_id("staff"),
        "group_name": "staff",
        "inner": groups.group_id("tellers"),
        "inner_name": "tellers",
    }
    with world.work.read() as stores:
        (change,) = stores.changes.since(before)
    assert (change.kind, change.subject, change.seq) == (
        ChangeKind.GROUP,
        groups.group_id("tellers"),
        done.seq,
    )


def test_nesting_twice_changes_nothing(world: World) -> None:
    """A repetition changes nothing, and the notes say so."""
    nest(world, "tellers", "staff")
    head = world.head()
    done = nesting.nest(world.services, "staff", "tellers", actor=OPERATOR)
    assert (done.seq, done.notes) == (head, ("tellers was in staff already",))


def test_the_outer_group_is_created_and_the_inner_one_is_not(world: World) -> None:
    """A group exists from its first use; an empty new one inside another would be a slip."""
    done = nesting.nest(world.services, "all-staff", "tellers", actor=OPERATOR)
    assert done.notes == ("the group all-staff did not exist and was created",)
    with refused(NotFound, "group-unknown"):
        nest(world, "telers", "staff")
    with pytest.raises(MalformedInput):
        nest(world, "tellers", "No Name")


def test_a_group_taken_out_takes_its_members(world: World) -> None:
    """Taking out is one event and one change; taking out a group that is not in it changes nothing, and the notes say so."""
    nest(world, "tellers", "staff")
    nest(world, "staff", "everyone")
    done = nesting.unnest(world.services, "everyone", "staff", actor=OPERATOR)
    assert groups_of(world, "alice") == ("staff", "tellers")
    with world.work.read() as stores:
        (change,) = stores.changes.since((done.seq or 0) - 1)
    assert (change.kind, change.subject) == (ChangeKind.GROUP, groups.group_id("staff"))
    assert len(world.events(EventType.GROUP_UNNESTED)) == 1
    again = nesting.unnest(world.services, "everyone", "staff", actor=OPERATOR)
    assert again.notes == ("staff was not in everyone",)
    for pair in (("everyone", "nobody"), ("nobody", "staff")):
        with pytest.raises(NotFound):
            nesting.unnest(world.services, *pair, actor=OPERATOR)


@pytest.mark.parametrize(
    ("inner", "outer", "circle"),
    [
        ("everyone", "tellers", "everyone in tellers in staff in everyone"),
        ("staff", "staff", "staff in staff"),
    ],
)
def test_a_circle_is_refused_with_its_path(world: World, inner: str, outer: str, circle: str) -> None:
    """No group contains itself, directly or through others; the error shows the path."""
    nest(world, "tellers", "staff")
    nest(world, "staff", "everyone")
    with pytest.raises(RequestRefused, match=circle) as caught:
        nest(world, inner, outer)
    assert caught.value.code == "group-cycle"


def test_a_chain_has_a_limit(world: World) -> None:
    """Chains of eight groups are the most, whichever two parts are joined."""
    for at in range(1, 5):
        nest(world, "tellers" if at == 1 else f"low-{at}", f"low-{at + 1}")
    for at in range(1, 3):
        nest(world, "staff" if at == 1 else f"high-{at}", f"high-{at + 1}")
    nest(world, "low-5", "staff")  # tellers, low-2 to low-5, staff, high-2, high-3
    for pair in (("high-3", "everyone"), ("everyone", "tellers")):
        with pytest.raises(RequestRefused, match="would have 9 groups") as caught:
            nest(world, *pair)
        assert caught.value.code == "group-nesting-limit"


def test_a_group_lies_in_so_many_groups_and_no_more(world: World) -> None:
    """What each member carries is bounded, also for groups deeper inside."""
    nest(world, "tellers", "staff")
    outer = make_groups(world, nesting.ENCLOSING_LIMIT - 1)
    with world.work.change() as stores:
        for one in outer:
            stores.directory.nest("staff", one)
    with pytest.raises(RequestRefused, match="257 groups would contain"):
        nest(world, "staff", "everyone")


def test_nestings_are_bounded_in_all(world: World) -> None:
    """What a change reads to find circles is bounded."""
    side = 64
    made = make_groups(world, 2 * side)
    with world.work.change() as stores:
        for inner in made[:side]:
            for outer in made[side:]:
                stores.directory.nest(inner, outer)
    with pytest.raises(RequestRefused, match="4096 nestings"):
        nest(world, "tellers", "staff")


def make_groups(world: World, count: int) -> list[str]:
    """So many new groups."""
    names = [f"many-{at}" for at in range(count)]
    with world.work.change() as stores:
        for one in names:
            stores.directory.add_group(one, groups.group_id(one), world.clock.now())
    return names


def test_a_member_knows_which_way_it_is_in(world: World) -> None:
    """For each inherited group the shortest path is shown, for the group and for the person."""
    nest(world, "tellers", "staff")
    nest(world, "staff", "everyone")
    principals.add_member(world.services, "everyone", "bob", actor=OPERATOR)
    view = nesting.show_group(world.services, "everyone")
    assert view.groups == ("staff",)
    assert [one.name for one in view.members] == ["alice", "bob"]
    assert view.paths == {"alice": ("tellers", "staff")}
    alice = principals.find_principal(world.services, "alice")
    assert nesting.find_group_paths(world.services, alice) == {
        "everyone": ("tellers", "staff"),
        "staff": ("tellers",),
    }
    cleaner = principals.add_principal(world.services, PrincipalKind.PERSON, "dora", actor=OPERATOR).value
    assert nesting.find_group_paths(world.services, cleaner) == {}
    with pytest.raises(NotFound):
        nesting.show_group(world.services, "nobody")


def test_the_list_says_what_groups_bring(world: World) -> None:
    """Each group has its own members, its groups, and the number of its indirect members."""
    nest(world, "tellers", "staff")
    rows = {one.name: one for one in nesting.list_nested_groups(world.services)}
    assert (rows["staff"].members, rows["staff"].groups, rows["staff"].inherited) == (0, ("tellers",), 2)
    assert (rows["tellers"].members, rows["tellers"].groups, rows["tellers"].inherited) == (2, (), 0)
    assert nesting.count_members(world.services, "staff") == 1
    assert nesting.count_members(world.services, "nobody") == 0


def test_who_leaves_a_group_may_still_be_in_it(world: World) -> None:
    """A principal that leaves a group directly stays in it through another group, and the notes say so."""
    principals.add_member(world.services, "staff", "alice", actor=OPERATOR)
    nest(world, "tellers", "staff")
    still = ("alice is still in staff, through another group: doorward person show alice",)
    left = principals.remove_member(world.services, "staff", "alice", actor=OPERATOR)
    assert left.notes == still
    assert left.value.groups == ("staff", "tellers")
    again = principals.remove_member(world.services, "staff", "alice", actor=OPERATOR)
    assert again.notes == still


def test_joining_a_group_that_one_is_in_by_another_is_a_change(world: World) -> None:
    """Who is in a group through another one can be put into it, and then stays when the other goes."""
    nest(world, "tellers", "staff")
    assert not principals.add_member(world.services, "staff", "alice", actor=OPERATOR).notes
    nesting.unnest(world.services, "staff", "tellers", actor=OPERATOR)
    assert groups_of(world, "alice") == ("staff", "tellers")
    assert "staff" not in groups_of(world, "bob")


def test_a_new_name_takes_the_groups_that_were_joined(world: World) -> None:
    """A renamed person is put into its own groups, and into no other: the rest follows from these."""
    nest(world, "tellers", "staff")
    renamed = removal.rename(world.services, "alice", "alicia", actor=OPERATOR).value
    assert (renamed.groups, renamed.inherited) == (("staff", "tellers"), ("staff",))


def test_a_removed_group_names_all_that_lose_it(world: World) -> None:
    """Its own members and the groups that lay in it have changes, and everybody else has none."""
    nest(world, "tellers", "staff")
    nest(world, "staff", "everyone")
    dora = principals.add_principal(
        world.services, PrincipalKind.PERSON, "dora", groups=["staff"], actor=OPERATOR
    ).value
    before = world.head()
    groups.remove_group(world.services, "staff", actor=OPERATOR)
    assert groups_of(world, "alice") == ("tellers",)
    with world.work.read() as stores:
        found = {(one.kind, one.subject) for one in stores.changes.since(before)}
    assert found == {
        (ChangeKind.GROUP, groups.group_id("tellers")),
        (ChangeKind.GROUP, groups.group_id("staff")),
        (ChangeKind.PRINCIPAL, dora.id),
        (ChangeKind.PRINCIPAL, groups.group_id("staff")),
    }


def test_a_member_is_a_group_or_somebody(world: World) -> None:
    """A name that both have is refused until the command says which one is meant."""
    principals.create_group(world.services, "alice", actor=OPERATOR)
    assert nesting.is_group(world.services, "tellers")
    assert not nesting.is_group(world.services, "bob")
    assert not nesting.is_group(world.services, "nobody")
    with refused(RequestRefused, "member-ambiguous"):
        nesting.is_group(world.services, "alice")
    assert nesting.is_group(world.services, "alice", "group")
    assert not nesting.is_group(world.services, "alice", "person")
