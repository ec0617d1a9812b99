"""The contract of `TenantStore`, `DirectoryStore` and `ApplicationStore`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from doorward.core.entities import TENANT, Application, PrincipalKind, PrincipalState
from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.directory_protocols import DirectoryStore
from doorward.stores.protocols import UnitOfWork
from tests.support.ports import NOON
from tests.support.records import opaque, principal, tenant
from tests.support.refusals import refused

ALICE = principal("alice", display_name="Alice Ä. 李")
BOB = principal("bob")
LAMP = principal("lamp", PrincipalKind.DEVICE)


@pytest.fixture
def populated(work: UnitOfWork) -> UnitOfWork:
    """Two people, a device and two groups."""
    with work.change() as stores:
        for one in (BOB, ALICE, LAMP):
            stores.directory.add(one, NOON)
        for group in ("tellers", "managers"):
            stores.directory.add_group(group, opaque("grp", group), NOON)
    return work


def test_there_is_one_tenant(work: UnitOfWork) -> None:
    """The tenant is None before it was added, comes back whole, and cannot be added twice."""
    with work.change() as stores:
        assert stores.tenants.get() is None
        stores.tenants.add(tenant())
        assert stores.tenants.get() == tenant()
        with refused(RequestRefused, "tenant-exists"):
            stores.tenants.add(tenant())
    with work.read() as stores:
        assert stores.tenants.get() == tenant()


def test_principals_come_back_by_id_and_name(populated: UnitOfWork) -> None:
    """A principal is found by id and by name with every field; unknown ones are None."""
    with populated.read() as stores:
        assert stores.directory.get(ALICE.id) == ALICE
        assert stores.directory.by_name("alice") == ALICE
        assert stores.directory.get("per_nobody") is None
        assert stores.directory.by_name("nobody") is None


CHANGES: dict[str, Callable[[DirectoryStore], object]] = {
    "nothing": lambda directory: None,
    "a principal": lambda directory: directory.add(principal("late"), NOON),
    "a state": lambda directory: directory.set_state(ALICE.id, PrincipalState.SUSPENDED),
    "a partner": lambda directory: directory.remove_partner("ptn_one"),
    "a name": lambda directory: directory.set_display_name(LAMP.id, "A lamp"),
    "a new member": lambda directory: directory.add_member("managers", LAMP.id),
    "a member less": lambda directory: directory.remove_member("tellers", ALICE.id),
    "a group in a group": lambda directory: directory.nest("tellers", "managers"),
    "a group less in a group": lambda directory: directory.unnest("managers", "everyone"),
    "a group less": lambda directory: directory.remove_group("tellers"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_read_ahead_is_as_always(populated: UnitOfWork, what: str) -> None:
    """Principals with groups, more than one statement takes, and unknown ones; and each change is seen afterwards."""
    others = [principal(f"other-{number}", partner="ptn_one") for number in range(70)]
    wanted = [ALICE.id, "per_nobody", opaque("per", "late"), LAMP.id, *(one.id for one in others)]
    with populated.change() as stores:
        for one in others:
            stores.directory.add(one, NOON)
        stores.directory.add_group("everyone", opaque("grp", "everyone"), NOON)
        stores.directory.nest("managers", "everyone")
        for group, who in (("tellers", ALICE.id), ("managers", ALICE.id), ("managers", others[66].id)):
            stores.directory.add_member(group, who)
    with populated.change() as stores:
        stores.directory.read_ahead([])
        stores.directory.read_ahead(wanted)
        CHANGES[what](stores.directory)
        found = {one.id: one for one in stores.directory.list()}
        for one in wanted:
            got = stores.directory.get(one)
            assert (got if got and got.state is not PrincipalState.REMOVED else None) == found.get(one)


def test_the_list_is_sorted_and_by_kind(populated: UnitOfWork) -> None:
    """All principals come sorted by name, or those of one kind."""
    with populated.read() as stores:
        assert stores.directory.list() == [ALICE, BOB, LAMP]
        assert stores.directory.list(PrincipalKind.DEVICE) == [LAMP]
        assert stores.directory.list(PrincipalKind.SERVICE) == []


def test_a_name_is_unique_over_all_kinds(populated: UnitOfWork) -> None:
    """A device cannot take the name of a person: rules speak of names."""
    with populated.change() as stores, refused(RequestRefused, "name-taken"):
        stores.directory.add(principal("alice", PrincipalKind.DEVICE), NOON)


def test_a_removed_name_is_free_again(populated: UnitOfWork) -> None:
    """A removed principal is kept by id, vanishes from names and list, and frees its name for another id."""
    heir = principal("alice", id=opaque("per", "another alice"))
    with populated.change() as stores:
        stores.directory.set_state(ALICE.id, PrincipalState.REMOVED)
        assert stores.directory.by_name("alice") is None
        assert stores.directory.list() == [BOB, LAMP]
        kept = stores.directory.get(ALICE.id)
        assert kept is not None
        assert kept.state is PrincipalState.REMOVED
        stores.directory.add(heir, NOON)
        assert stores.directory.by_name("alice") == heir


def test_a_removed_principal_cannot_come_back_under_a_taken_name(populated: UnitOfWork) -> None:
    """Two principals in use never share a name, in any order of state changes."""
    with populated.change() as stores:
        stores.directory.set_state(ALICE.id, PrincipalState.REMOVED)
        stores.directory.add(principal("alice", id=opaque("per", "another alice")), NOON)
        with refused(RequestRefused, "name-taken"):
            stores.directory.set_state(ALICE.id, PrincipalState.ACTIVE)


def test_the_state_changes(populated: UnitOfWork) -> None:
    """A suspended principal stays in names and list and can be active again; an unknown one is an error."""
    with populated.change() as stores:
        for state in (PrincipalState.SUSPENDED, PrincipalState.ACTIVE):
            stores.directory.set_state(BOB.id, state)
            found = stores.directory.by_name("bob")
            assert found is not None
            assert found.state is state
        with pytest.raises(NotFound):
            stores.directory.set_state("per_nobody", PrincipalState.SUSPENDED)


def test_groups_have_members(populated: UnitOfWork) -> None:
    """Membership shows in the principal, sorted, and in the count of the group."""
    with populated.change() as stores:
        assert stores.directory.add_member("tellers", ALICE.id)
        assert stores.directory.add_member("managers", ALICE.id)
        assert stores.directory.add_member("tellers", LAMP.id)
        assert not stores.directory.add_member("tellers", ALICE.id)
    with populated.read() as stores:
        alice = stores.directory.get(ALICE.id)
        assert alice is not None
        assert alice.groups == ("managers", "tellers")
        assert [one.groups for one in stores.directory.list()] == [("managers", "tellers"), (), ("tellers",)]
        assert list(stores.directory.groups().items()) == [("managers", 1), ("tellers", 2)]


def test_members_are_removed(populated: UnitOfWork) -> None:
    """A removed member is not in the group; removing it twice is an error."""
    with populated.change() as stores:
        stores.directory.add_member("tellers", ALICE.id)
        assert stores.directory.remove_member("tellers", ALICE.id)
        assert not stores.directory.remove_member("tellers", ALICE.id)
        found = stores.directory.get(ALICE.id)
        assert found is not None
        assert found.groups == ()


def test_removed_principals_do_not_count_as_members(populated: UnitOfWork) -> None:
    """The count of a group counts the principals in use."""
    with populated.change() as stores:
        stores.directory.add_member("tellers", ALICE.id)
        stores.directory.set_state(ALICE.id, PrincipalState.REMOVED)
        assert stores.directory.groups() == {"managers": 0, "tellers": 0}


def test_a_group_is_known_by_its_name(populated: UnitOfWork) -> None:
    """Whether it has members does not matter; part of a name is none."""
    with populated.read() as stores:
        assert stores.directory.has_group("tellers")
        assert stores.directory.has_group("managers")
        assert not stores.directory.has_group("teller")
        assert not stores.directory.has_group("")


def test_a_group_name_is_taken_once(populated: UnitOfWork) -> None:
    """A second group of a name is refused."""
    with populated.change() as stores, refused(RequestRefused, "name-taken"):
        stores.directory.add_group("tellers", opaque("grp", "other"), NOON)


@pytest.mark.parametrize(
    ("group", "who", "code"),
    [("nobody", ALICE.id, "group-unknown"), ("tellers", "per_nobody", "principal-unknown")],
)
def test_membership_needs_both_sides(populated: UnitOfWork, group: str, who: str, code: str) -> None:
    """An unknown group or principal is an error, for joining and for leaving."""
    with populated.change() as stores:
        for act in (stores.directory.add_member, stores.directory.remove_member):
            with refused(NotFound, code):
                act(group, who)


def test_a_new_principal_may_bring_its_groups(populated: UnitOfWork) -> None:
    """Groups of the value that is added are joined; an unknown one refuses the whole."""
    carol = principal("carol", groups=("managers", "tellers"))
    with populated.change() as stores:
        stores.directory.add(carol, NOON)
        assert stores.directory.get(carol.id) == carol
    with pytest.raises(NotFound), populated.change() as stores:
        stores.directory.add(principal("dave", groups=("nobody",)), NOON)
    with populated.read() as stores:
        assert stores.directory.by_name("dave") is None


def test_application_ids_are_never_reused(work: UnitOfWork) -> None:
    """A name that comes back gets another id; the list shows the present ones, sorted by name."""
    first, second = (Application(id=opaque("app", one), tenant=TENANT, name="payments") for one in "ab")
    zoo = Application(id=opaque("app", "zoo"), tenant=TENANT, name="zoo")
    with work.change() as stores:
        stores.applications.add(zoo, NOON)
        stores.applications.add(first, NOON)
        with refused(RequestRefused, "name-taken"):
            stores.applications.add(second, NOON)
        stores.applications.remove(first.id, NOON)
        stores.applications.add(second, NOON)
        assert stores.applications.list() == [second, zoo]
        with pytest.raises(NotFound):
            stores.applications.remove(first.id, NOON)


def test_a_group_ends_with_its_memberships(work: UnitOfWork) -> None:
    """Members are listed by name without the removed; a removed group has none, also if it is made again."""
    with work.change() as stores:
        for one in ("bob", "alice", "gone"):
            stores.directory.add(principal(one), NOON)
        stores.directory.add_group("few", opaque("grp", "few"), NOON)
        stores.directory.add_group("more", opaque("grp", "more"), NOON)
        for one in ("bob", "alice", "gone"):
            stores.directory.add_member("few", principal(one).id)
        stores.directory.add_member("more", principal("bob").id)
        stores.directory.set_state(principal("gone").id, PrincipalState.REMOVED)
        stores.directory.set_display_name(principal("bob").id, "Bob B.")
    with work.read() as stores:
        members = stores.directory.members("few")
        assert [(one.name, one.display_name, one.groups) for one in members] == [
            ("alice", "", ("few",)),
            ("bob", "Bob B.", ("few", "more")),
        ]
        assert list(stores.directory.members("none")) == []
    with work.change() as stores:
        assert stores.directory.remove_group("few")
        assert not stores.directory.remove_group("few")
        stores.directory.add_group("few", opaque("grp", "few"), NOON)
        assert list(stores.directory.members("few")) == []
        with pytest.raises(NotFound):
            stores.directory.set_display_name("per_none", "x")


def test_a_member_is_in_every_enclosing_group(populated: UnitOfWork) -> None:
    """Groups are resolved at each look-up, through any number of groups, and are distinguished from direct groups."""
    with populated.change() as stores:
        stores.directory.add_group("everyone", opaque("grp", "everyone"), NOON)
        stores.directory.add_member("tellers", ALICE.id)
        stores.directory.add_member("managers", BOB.id)
        assert stores.directory.nest("tellers", "managers")
        assert stores.directory.nest("managers", "everyone")
        assert not stores.directory.nest("tellers", "managers")
    with populated.read() as stores:
        alice = stores.directory.get(ALICE.id)
        assert alice is not None
        assert alice == stores.directory.by_name("alice")
        assert alice == stores.directory.list()[0]
        assert alice.groups == ("everyone", "managers", "tellers")
        assert alice.inherited == ("everyone", "managers")
        assert alice.direct_groups == ("tellers",)
        assert stores.directory.nestings() == [("managers", "everyone"), ("tellers", "managers")]
        assert [one.name for one in stores.directory.members("everyone")] == ["alice", "bob"]
        assert stores.directory.members("everyone")[0] == alice
        assert dict(stores.directory.groups()) == {"everyone": 0, "managers": 1, "tellers": 1}
        assert stores.directory.enclosing(["tellers", "nobody"]) == (
            "everyone",
            "managers",
            "nobody",
            "tellers",
        )
        assert stores.directory.enclosing([]) == ()


def test_a_group_that_was_joined_too_is_not_inherited(populated: UnitOfWork) -> None:
    """A principal that is in a group directly and through another group stays in it if one way ends."""
    with populated.change() as stores:
        stores.directory.add_member("tellers", ALICE.id)
        stores.directory.add_member("managers", ALICE.id)
        stores.directory.nest("tellers", "managers")
        found = stores.directory.get(ALICE.id)
        assert found is not None
        assert (found.groups, found.inherited) == (("managers", "tellers"), ())
        assert stores.directory.unnest("tellers", "managers")
        assert not stores.directory.unnest("tellers", "managers")
        assert stores.directory.get(ALICE.id) == found
        stores.directory.remove_member("managers", ALICE.id)
        stores.directory.nest("tellers", "managers")
        found = stores.directory.get(ALICE.id)
        assert found is not None
        assert (found.groups, found.inherited) == (("managers", "tellers"), ("managers",))


def test_a_removed_group_lies_in_no_group(populated: UnitOfWork) -> None:
    """Nestings end with either group, and an unknown group has none."""
    with populated.change() as stores:
        stores.directory.add_member("tellers", ALICE.id)
        stores.directory.nest("tellers", "managers")
        for act in (stores.directory.nest, stores.directory.unnest):
            for pair in (("nobody", "tellers"), ("tellers", "nobody")):
                with refused(NotFound, "group-unknown"):
                    act(*pair)
        assert stores.directory.remove_group("managers")
        assert stores.directory.nestings() == []
        assert stores.directory.by_name("alice").groups == ("tellers",)  # type: ignore[union-attr]
        stores.directory.add_group("managers", opaque("grp", "managers"), NOON)
        stores.directory.nest("tellers", "managers")
        assert stores.directory.remove_group("tellers")
        assert stores.directory.nestings() == []
