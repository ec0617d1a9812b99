"""Transitions between policies: aliases are sound, and no connection keeps an id that it does not deserve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.enforcement.transition import (
    MAX_ALIASES,
    MAX_OWN_ALIASES,
    HeldConnection,
    aliases_for,
    class_token,
    classify_connections,
    rule_ids,
)
from doorward.policy.decision import permissions_of
from doorward.policy.model import AppPolicy, Effect, HttpUpstream, Rule
from doorward.policy.selectors.table import select
from doorward.policy.subject import Subject
from tests.support import records
from tests.support.examples import examples

TENANT, APP = "ten_default", "app_pay"


def held(
    key: int, grants: Sequence[str], deserved: Sequence[str], *, revision: int = 1, app: str = APP
) -> HeldConnection:
    """A live connection, judged under revision 1 unless said otherwise."""
    return HeldConnection(
        key=key,
        application_id=app,
        revision=revision,
        grants=frozenset(grants),
        deserved=frozenset(deserved),
    )


def token(*grants: str, revision: int = 1) -> str:
    """The token of a class of the one application."""
    return class_token(TENANT, APP, revision, grants)


def test_a_class_is_tenant_application_revision_and_grants() -> None:
    """Each fact of a class changes the token; the order of grants does not."""
    same = class_token(TENANT, APP, 1, ["a", "b"])
    assert same == class_token(TENANT, APP, 1, ("b", "a", "a"))
    others = [
        class_token("ten_other", APP, 1, ["a", "b"]),
        class_token(TENANT, "app_other", 1, ["a", "b"]),
        class_token(TENANT, APP, 2, ["a", "b"]),
        class_token(TENANT, APP, 1, ["a"]),
        class_token(TENANT, APP, 1, ["a,b"]),
    ]
    assert len({same, *others}) == 6
    assert same.startswith("t")
    assert len(same) == 21


def test_a_class_that_deserves_a_new_id_gets_an_alias() -> None:
    """All members deserve it: their token stands for it."""
    live = [held(1, ["gold"], ["gnew"]), held(2, ["gold"], ["gnew", "gmore"])]
    assert aliases_for(live, tenant=TENANT, revision=2) == {"gnew": frozenset({token("gold")})}


def test_one_unworthy_member_prevents_an_alias() -> None:
    """A token counts for the whole class, so one member that does not deserve the id prevents the alias."""
    live = [held(1, ["gold"], ["gnew"]), held(2, ["gold"], [])]
    assert aliases_for(live, tenant=TENANT, revision=2) == {}


def test_a_class_that_can_still_grow_gets_no_alias() -> None:
    """New connections of the present revision carry its tokens: they never stand for anything."""
    live = [held(1, ["gold"], ["gold", "gnew"], revision=2), held(2, ["gold"], ["gnew"], revision=3)]
    assert aliases_for(live, tenant=TENANT, revision=2) == {}


def test_ids_that_are_held_need_no_alias() -> None:
    """An alias is only made for an id that the connection lacks."""
    assert aliases_for([held(1, ["ga"], ["ga"])], tenant=TENANT, revision=2) == {}


def test_aliases_are_limited_and_the_largest_classes_come_first() -> None:
    """Each alias costs every request of that rule a search."""
    live = [held(number, [f"g{number}"], ["gnew"]) for number in range(MAX_ALIASES + 5)]
    crowd = [held(100 + number, ["gcrowd"], ["gnew"]) for number in range(3)]
    found = aliases_for([*live, *crowd], tenant=TENANT, revision=2)["gnew"]
    assert len(found) == MAX_ALIASES
    assert token("gcrowd") in found


def test_an_undeserved_id_is_overreaching_only_while_a_rule_asks_for_it() -> None:
    """An id that no rule has allows nothing; its connections must be gone before a rule has it again."""
    live = [held(1, ["ga", "gb"], ["ga"])]
    assert not classify_connections(live, tenant=TENANT, ids={APP: frozenset({"ga"})}).overreaching
    assert classify_connections(live, tenant=TENANT, ids={APP: frozenset({"ga", "gb"})}).overreaching == {1}


def test_an_undeserved_alias_is_overreaching_too() -> None:
    """A principal that loses the group of an alias loses the alias, too."""
    live = [held(1, ["gold"], [])]
    aliases = {"gnew": frozenset({token("gold")})}
    ids = {APP: frozenset({"gnew"})}
    assert classify_connections(live, tenant=TENANT, ids=ids, aliases=aliases).overreaching == {1}


def test_short_and_carried_are_told_apart() -> None:
    """One shows all it deserves by alias, another deserves more than it shows, a third just stays."""
    live = [held(1, ["gold"], ["gnew"]), held(2, ["gx"], ["gnew"]), held(3, ["gkept"], ["gkept"])]
    ids = {APP: frozenset({"gnew", "gkept"})}
    found = classify_connections(live, tenant=TENANT, ids=ids, aliases={"gnew": frozenset({token("gold")})})
    assert (found.overreaching, set(found.lacking), found.carried) == (set(), {2}, {1})


def test_connections_of_a_removed_application_must_go() -> None:
    """Without its application a connection deserves nothing."""
    assert classify_connections([held(1, [], [])], tenant=TENANT, ids={}).overreaching == {1}


def test_rule_ids_are_those_of_the_judge() -> None:
    """Every rule's id is listed, denies included."""
    app = policy([(Effect.ALLOW, {"a"}), (Effect.DENY, {"b"})])
    assert {one[0] for one in rule_ids(app, TENANT, APP)} == {"g", "c"}


GROUPS = ("a", "b", "c", "d")
rules = st.lists(
    st.tuples(st.sampled_from(list(Effect)), st.frozensets(st.sampled_from(GROUPS), min_size=1)), max_size=4
)
memberships = st.lists(st.frozensets(st.sampled_from(GROUPS)), min_size=1, max_size=6)


def policy(selectors: Sequence[tuple[Effect, set[str] | frozenset[str]]]) -> AppPolicy:
    """An application with a rule for each effect and set of groups."""
    return AppPolicy(
        name="pay",
        hosts=("pay.test",),
        upstream=HttpUpstream(host="127.0.0.1", port=1),
        rules=tuple(
            Rule(name=str(number), effect=effect, selector=select({"groups": frozenset(groups)}))
            for number, (effect, groups) in enumerate(selectors)
        ),
    )


def ids_of(app: AppPolicy, groups: frozenset[str]) -> frozenset[str]:
    """Return the ids that a person in these groups deserves."""
    person = records.principal("x", id="per_x", groups=tuple(sorted(groups)))
    return frozenset(permissions_of(app, TENANT, APP, Subject(principal=person)).grants)


@settings(max_examples=examples(150))
@given(st.lists(st.tuples(rules, memberships), min_size=2, max_size=5))
def test_no_connection_ever_shows_an_id_that_it_does_not_deserve(
    story: list[tuple[list[tuple[Effect, frozenset[str]]], list[frozenset[str]]]],
) -> None:
    """Through edits and changes of groups, by the order of steps that the module states.

    Each chapter of a story is a new policy with new groups for the people of the live connections,
    which then are joined by one new connection per person.
    """
    live: list[tuple[int, int, frozenset[str]]] = []  # person, revision, grants
    for revision, (selectors, groups) in enumerate(story):
        app = policy(selectors)
        ids = {APP: rule_ids(app, TENANT, APP)}

        def stand(connections: list[tuple[int, int, frozenset[str]]]) -> list[HeldConnection]:
            return [
                HeldConnection(
                    key=key,
                    application_id=APP,
                    revision=one[1],
                    grants=one[2],
                    deserved=ids_of(app, groups[one[0] % len(groups)]),  # noqa: B023
                )
                for key, one in enumerate(connections)
            ]

        gone = classify_connections(stand(live), tenant=TENANT, ids=ids).overreaching
        live = [one for key, one in enumerate(live) if key not in gone]
        aliases = aliases_for(stand(live), tenant=TENANT, revision=revision)
        live += [(person, revision, ids_of(app, mine)) for person, mine in enumerate(groups)]
        found = classify_connections(stand(live), tenant=TENANT, ids=ids, aliases=aliases)
        assert not found.overreaching


def test_a_decision_stands_for_its_own_connection_only() -> None:
    """One of a class that deserves more, or one that new ones may join, gets an alias of its own."""
    mine = replace(held(1, ["g1"], ["g1", "g2"], revision=5), decision="evt_1")
    other = replace(held(2, ["g1"], ["g1"], revision=5), decision="evt_2")
    aliases = aliases_for([mine, other], tenant=TENANT, revision=5)
    assert aliases == {"g2": frozenset({"evt_1"})}
    found = classify_connections(
        [mine, other], tenant=TENANT, ids={APP: frozenset({"g1", "g2"})}, aliases=aliases
    )
    assert (set(found.lacking), found.carried, found.overreaching) == (frozenset(), {1}, frozenset())
    without = classify_connections([mine, other], tenant=TENANT, ids={APP: frozenset({"g1", "g2"})})
    assert without.lacking == {1: frozenset({"g2"})}


def test_a_decision_that_deserves_no_more_is_overreaching_by_its_alias() -> None:
    """A connection that can show an id by an old alias and lost the id is overreaching."""
    lost = replace(held(1, ["g1"], ["g1"]), decision="evt_1")
    ids = {APP: frozenset({"g1", "g2"})}
    found = classify_connections([lost], tenant=TENANT, ids=ids, aliases={"g2": frozenset({"evt_1"})})
    assert found.overreaching == {1}


def test_the_aliases_of_an_id_are_bounded() -> None:
    """Each is one more comparison for each request on that rule."""
    many = [
        replace(held(at, ["g1"], ["g1", "g2"], revision=2), decision=f"evt_{at}")
        for at in range(MAX_OWN_ALIASES + 5)
    ]
    assert len(aliases_for(many, tenant=TENANT, revision=2)["g2"]) == MAX_OWN_ALIASES


def test_an_adopted_connection_is_left_alone_when_all_ids_are_others() -> None:
    """A restarted gateway knows neither its grants nor its deserved ids: an upgrade that changes ids ends no connection."""
    ids = {APP: frozenset({"gnew", "cnew"})}
    found = classify_connections([held(1, [], [])], tenant=TENANT, ids=ids)
    assert (found.overreaching, found.carried, dict(found.lacking)) == (frozenset(), frozenset(), {})
