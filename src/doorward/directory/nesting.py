"""Groups in groups: putting one into another, taking it out, and the paths from one to another.

A member of the inner group is a member of the outer group too, and of every group that contains the outer one: the store
resolves this at each look-up, so no judgement can miss it. One entry of the change sequence (`GROUP`) names the inner
group; all its members are judged again (docs/design/0055).

Not here: making and removing groups (`groups`), and principals as members (`principals`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from doorward.audit.events import EventType
from doorward.core.entities import Principal
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.names import parse_principal_name
from doorward.directory.groups import create_within, group_id, nesting_event, unnest_within
from doorward.stores.change_result import ChangeResult
from doorward.stores.group_graph import GroupGraph
from doorward.stores.prerequisites import require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services

DEPTH_LIMIT = 8
"""Groups in a chain; deeper nesting is too hard to review."""

ENCLOSING_LIMIT = 256
"""Groups that may contain one group, directly or not; each member belongs to all of them. The same limit as for one command."""

NESTINGS_LIMIT = 4096
"""Nestings of all groups together; each change reads them all to find circles."""

GROUP_KIND = "group"
"""The word in commands for a member that is a group, beside the kinds of principals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """One group as shown to an operator.

    `paths` has, for each indirect member, the groups through which it belongs to this one, innermost first.
    """

    name: str
    groups: tuple[str, ...]
    members: tuple[Principal, ...]
    paths: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSummary:
    """One line of the list: the number of direct members, the groups in it, and the number of indirect members."""

    name: str
    members: int
    groups: tuple[str, ...]
    inherited: int


def nest(services: Services, outer: str, inner: str, *, actor: str) -> ChangeResult[str]:
    """Put a group into a group; the outer group is created if it does not exist.

    Raises:
        MalformedInput: `name-malformed`.
        NotFound: `group-unknown` (the inner one).
        RequestRefused: `group-cycle`; `group-nesting-limit`.
    """
    parse_principal_name(outer)
    now = services.clock.now()
    with services.work.change() as stores:
        require_tenant(stores)
        graph = GroupGraph(stores.directory.nestings())
        if outer in graph.parents(inner):
            note = f"{inner} was in {outer} already"
            return ChangeResult(value=inner, seq=stores.changes.head(), notes=(note,))
        _require_group(stores, inner)
        _refuse_circle(graph, inner, outer)
        _refuse_beyond_limits(graph, inner, outer)
        notes: tuple[str, ...] = ()
        if not stores.directory.has_group(outer):
            create_within(services, stores, outer, actor=actor, now=now)
            notes = (f"the group {outer} did not exist and was created",)
        stores.directory.nest(inner, outer)
        nested = EventType.GROUP_NESTED
        stores.outbox.add(nesting_event(services, nested, outer, inner, actor=actor, now=now))
        seq = stores.changes.note(ChangeKind.GROUP, group_id(inner), now)
    return ChangeResult(value=inner, seq=seq, notes=notes)


def unnest(services: Services, outer: str, inner: str, *, actor: str) -> ChangeResult[str]:
    """Take a group out of a group; principals that belonged to the outer group only through it leave the outer group.

    Raises:
        NotFound: `group-unknown`.
    """
    now = services.clock.now()
    with services.work.change() as stores:
        require_tenant(stores)
        for one in (outer, inner):
            _require_group(stores, one)
        seq = unnest_within(services, stores, outer, inner, actor=actor, now=now)
        if seq is None:
            note = f"{inner} was not in {outer}"
            return ChangeResult(value=inner, seq=stores.changes.head(), notes=(note,))
    return ChangeResult(value=inner, seq=seq)


def is_group(services: Services, name: str, kind: str | None = None) -> bool:
    """Return whether a member named in a command is a group, and not a principal.

    Args:
        services: the ports of this process.
        name: of the member.
        kind: `group` or a kind of principal, if the command says it; None if it does not.

    Raises:
        RequestRefused: `member-ambiguous` if there is a principal and a group of that name.
    """
    if kind is not None:
        return kind == GROUP_KIND
    with services.work.read() as stores:
        principal = stores.directory.by_name(name)
        known = stores.directory.has_group(name)
    if principal is not None and known:
        raise RequestRefused(
            "member-ambiguous",
            f"there is a {principal.kind.value} named {name}, and a group named {name}",
            hint=f"add --kind {principal.kind.value} or --kind {GROUP_KIND}",
        )
    return known


def show_group(services: Services, group: str) -> GroupView:
    """Return a group with its members; raise `NotFound` (`group-unknown`)."""
    with services.work.read() as stores:
        _require_group(stores, group)
        graph = GroupGraph(stores.directory.nestings())
        members = tuple(stores.directory.members(group))
    return GroupView(
        name=group,
        groups=graph.children(group),
        members=members,
        paths={
            one.name: _shortest_path(graph, one.direct_groups, group)
            for one in members
            if group in one.inherited
        },
    )


def list_nested_groups(services: Services) -> list[GroupSummary]:
    """Return a summary of every group, sorted by name."""
    with services.work.read() as stores:
        graph = GroupGraph(stores.directory.nestings())
        return [
            GroupSummary(
                name=name,
                members=count,
                groups=graph.children(name),
                inherited=_count_inherited(stores, name) if graph.children(name) else 0,
            )
            for name, count in stores.directory.groups().items()
        ]


def count_members(services: Services, group: str) -> int:
    """Return how many direct members a group has, groups and principals; 0 if the group does not exist."""
    with services.work.read() as stores:
        nested = len(GroupGraph(stores.directory.nestings()).children(group))
        return nested + stores.directory.groups().get(group, 0)


def find_group_paths(services: Services, principal: Principal) -> dict[str, tuple[str, ...]]:
    """Return, for each indirect group of a principal, the groups that lead to it, innermost first."""
    if not principal.inherited:
        return {}
    with services.work.read() as stores:
        graph = GroupGraph(stores.directory.nestings())
    return {group: _shortest_path(graph, principal.direct_groups, group) for group in principal.inherited}


def _shortest_path(graph: GroupGraph, begins: Sequence[str], group: str) -> tuple[str, ...]:
    """Return the shortest path to a group, without the group itself."""
    paths = [path for one in begins if (path := graph.path(one, group))]
    return min(paths, key=len, default=())[:-1]


def _count_inherited(stores: Stores, group: str) -> int:
    return sum(group in one.inherited for one in stores.directory.members(group))


def _require_group(stores: Stores, name: str) -> None:
    if not stores.directory.has_group(name):
        raise NotFound(
            "group-unknown",
            f"there is no group named {name[:64]}",
            hint="`doorward group list` shows all groups, `doorward group create` creates one",
        )


def _refuse_circle(graph: GroupGraph, inner: str, outer: str) -> None:
    way = graph.path(outer, inner)
    if way:
        circle = " in ".join((inner, *way))
        raise RequestRefused(
            "group-cycle",
            f"{inner} cannot be in {outer}: the groups would contain each other ({circle})",
            hint=f"take one out first: doorward group remove {way[1]} {way[0]}"
            if len(way) > 1
            else "a group is not a member of itself",
        )


def _refuse_beyond_limits(graph: GroupGraph, inner: str, outer: str) -> None:
    depth = graph.depth_below(inner) + graph.depth_above(outer)
    new = graph.with_ancestors(outer)
    widest = max(len((graph.with_ancestors(one) | new) - {one}) for one in graph.with_descendants(inner))
    problem = ""
    if depth > DEPTH_LIMIT:
        problem = f"the chain would have {depth} groups, and the limit is {DEPTH_LIMIT}"
    elif widest > ENCLOSING_LIMIT:
        problem = f"{widest} groups would contain one group, and the limit is {ENCLOSING_LIMIT}"
    elif graph.count >= NESTINGS_LIMIT:
        problem = f"there are {graph.count} nestings of groups already, which is the limit"
    if problem:
        raise RequestRefused(
            "group-nesting-limit",
            f"{inner} cannot be in {outer}: {problem}",
            hint="put the people into the outer group directly, or use fewer groups",
        )
