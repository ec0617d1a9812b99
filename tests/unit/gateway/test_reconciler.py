from doorward.gateway.endpoints import parse_endpoint
from doorward.gateway.reconciler import reconcile
from doorward.gateway.sockdiag import Census, SocketFacts, TcpState

LOCAL = parse_endpoint("192.0.2.1:443")


def census(*cookies: int, registered: tuple[int, ...] = ()) -> Census:
    """A listing of established sockets with these cookies."""
    sockets = tuple(
        SocketFacts(cookie, 1, TcpState.ESTABLISHED, LOCAL, parse_endpoint(f"192.0.2.2:{cookie}"))
        for cookie in cookies
    )
    return Census(frozenset(cookies) | frozenset(registered), sockets)


def test_agreement_asks_for_nothing() -> None:
    """Where registry and kernel agree, nothing is done."""
    actions = reconcile({1}, set(), census(1), {}, 100.0)
    assert (actions.missing, actions.again, actions.strangers, actions.first_seen) == ((), (), (), {})


def test_what_the_kernel_does_not_list_is_missing() -> None:
    """Registered and condemned connections that are not listed are named, for a closer look."""
    assert set(reconcile({1, 2}, {3}, census(registered=(1,)), {}, 100.0).missing) == {2, 3}


def test_strangers_have_ten_seconds() -> None:
    """An unknown socket is cut when it has been unknown for longer than the grace, not earlier."""
    first = reconcile(set(), set(), census(5), {}, 100.0)
    assert first.strangers == ()
    assert first.first_seen == {5: 100.0}
    second = reconcile(set(), set(), census(5, 6), first.first_seen, 110.0)
    assert second.strangers == ()
    assert second.first_seen == {5: 100.0, 6: 110.0}
    third = reconcile(set(), set(), census(5, 6), second.first_seen, 110.1)
    assert [facts.cookie for facts in third.strangers] == [5]


def test_a_stranger_that_is_admitted_is_none() -> None:
    """Registration ends the count, and a later absence from the registry begins a new one."""
    first = reconcile(set(), set(), census(5), {}, 100.0)
    second = reconcile({5}, set(), census(5), first.first_seen, 105.0)
    assert second.first_seen == {}
    third = reconcile(set(), set(), census(5), second.first_seen, 111.0)
    assert third.strangers == ()


def test_condemned_connections_are_cut_again_without_grace() -> None:
    """A cut that failed is repeated at the next comparison."""
    actions = reconcile(set(), {5}, census(5), {}, 100.0)
    assert [facts.cookie for facts in actions.again] == [5]
    assert actions.strangers == ()


def test_who_left_is_not_remembered() -> None:
    """A socket that closed is dropped from memory, so that memory cannot be filled by short connections."""
    first = reconcile(set(), set(), census(5), {}, 100.0)
    assert reconcile(set(), set(), census(), first.first_seen, 101.0).first_seen == {}
