from collections.abc import Mapping

from doorward.gateway.connections.endpoints import parse_endpoint
from doorward.gateway.connections.reconciler import reconcile
from doorward.gateway.connections.sockdiag import SocketFacts, SocketListing, TcpState

LOCAL = parse_endpoint("192.0.2.1:443")


def listing(*cookies: int, registered: tuple[int, ...] = ()) -> SocketListing:
    """A listing of established sockets with these cookies."""
    sockets = tuple(
        SocketFacts(cookie, 1, TcpState.ESTABLISHED, LOCAL, parse_endpoint(f"192.0.2.2:{cookie}"))
        for cookie in cookies
    )
    return SocketListing(frozenset(cookies) | frozenset(registered), sockets)


def test_agreement_asks_for_nothing() -> None:
    """If registry and kernel agree, nothing is done."""
    actions = reconcile({1}, set(), listing(1), {}, 100.0)
    assert (actions.missing, actions.again, actions.unknown, actions.first_seen) == ((), (), (), {})


def test_what_the_kernel_does_not_list_is_missing() -> None:
    """Registered and condemned connections that are not listed are named, for a closer look."""
    assert set(reconcile({1, 2}, {3}, listing(registered=(1,)), {}, 100.0).missing) == {2, 3}


def test_unknown_sockets_have_the_time_of_a_handshake_with_a_card() -> None:
    """An unknown socket is cut when it has been unknown for longer than the grace, not earlier."""
    first = reconcile(set(), set(), listing(5), {}, 100.0)
    assert first.unknown == ()
    assert first.first_seen == {5: 100.0}
    second = reconcile(set(), set(), listing(5, 6), first.first_seen, 170.0)
    assert second.unknown == ()
    assert second.first_seen == {5: 100.0, 6: 170.0}
    third = reconcile(set(), set(), listing(5, 6), second.first_seen, 170.1)
    assert [facts.cookie for facts in third.unknown] == [5]


def test_a_socket_that_is_admitted_is_not_unknown() -> None:
    """Registration ends the count, and a later absence from the registry begins a new one."""
    first = reconcile(set(), set(), listing(5), {}, 100.0)
    second = reconcile({5}, set(), listing(5), first.first_seen, 105.0)
    assert second.first_seen == {}
    third = reconcile(set(), set(), listing(5), second.first_seen, 111.0)
    assert third.unknown == ()


def test_condemned_connections_are_cut_again_without_grace() -> None:
    """A cut that failed is repeated at the next comparison."""
    actions = reconcile(set(), {5}, listing(5), {}, 100.0)
    assert [facts.cookie for facts in actions.again] == [5]
    assert actions.unknown == ()


def test_who_left_is_not_remembered() -> None:
    """A socket that closed is dropped from memory, so that memory cannot be filled by short connections."""
    first = reconcile(set(), set(), listing(5), {}, 100.0)
    assert reconcile(set(), set(), listing(), first.first_seen, 101.0).first_seen == {}


# crowding


def crowd(*sources: tuple[str, int]) -> SocketListing:
    """A listing of sockets of these addresses, so many of each; cookies count from 1."""
    remotes = [f"{host}:{number + 1}" for host, count in sources for number in range(count)]
    sockets = tuple(
        SocketFacts(cookie, 1, TcpState.ESTABLISHED, LOCAL, parse_endpoint(remote))
        for cookie, remote in enumerate(remotes, 1)
    )
    return SocketListing(frozenset(facts.cookie for facts in sockets), sockets)


def crowding(
    listing: SocketListing, first_seen: Mapping[int, float], now: float, **more: object
) -> list[int]:
    """The cookies above the share of their source, with a share of 3."""
    actions = reconcile(set(), set(), listing, first_seen, now, most_undecided=3, **more)  # type: ignore[arg-type]
    assert actions.unknown == ()
    return [facts.cookie for facts in actions.crowding]


def test_the_oldest_of_a_source_that_crowds_are_cut() -> None:
    """Above the share of one source its oldest undecided sockets go; other sources are not touched."""
    listed = crowd(("192.0.2.2", 5), ("192.0.2.3", 3))
    first_seen = {1: 99.0, 2: 97.0, 3: 98.0, 4: 99.0, 5: 99.0, 6: 91.0, 7: 91.0, 8: 91.0}
    assert crowding(listed, first_seen, 100.0) == [2, 3]


def test_the_share_of_a_source_is_kept() -> None:
    """As many as the share are left alone, however long they are undecided."""
    assert crowding(crowd(("192.0.2.2", 3)), dict.fromkeys(range(1, 4), 91.0), 100.0) == []


def test_who_came_since_the_last_look_is_left_to_finish() -> None:
    """A whole office that comes back at once is not cut while it shakes hands; at the next look it counts."""
    office = crowd(("192.0.2.2", 50))
    first = reconcile(set(), set(), office, {}, 100.0, most_undecided=3)
    assert first.crowding == ()
    assert len(crowding(office, first.first_seen, 101.0)) == 47


def test_judged_and_admitted_connections_do_not_count_as_undecided() -> None:
    """Only sockets without a certificate count: those being judged have shown one, live ones were admitted."""
    listed, first_seen = crowd(("192.0.2.2", 6)), dict.fromkeys(range(1, 7), 99.0)
    assert crowding(listed, first_seen, 100.0, pending={1, 2, 3}) == []
    assert reconcile({1, 2, 3}, set(), listed, first_seen, 100.0, most_undecided=3).crowding == ()
    assert crowding(listed, first_seen, 100.0, pending={1, 2}) == [3]


def test_a_v6_host_is_its_whole_network() -> None:
    """Addresses of one IPv6 /64 are one source (RFC 4291 section 2.5.4)."""
    one = crowd(*((f"[2001:db8::{number:x}]", 1) for number in range(1, 6)))
    many = crowd(*((f"[2001:db8:0:{number:x}::1]", 1) for number in range(1, 6)))
    first_seen = dict.fromkeys(range(1, 6), 99.0)
    assert len(crowding(one, first_seen, 100.0)) == 2
    assert crowding(many, first_seen, 100.0) == []


def test_an_unknown_socket_is_cut_once() -> None:
    """A socket that is unknown for too long is cut for that alone, and not cut a second time for its source."""
    actions = reconcile(
        set(), set(), crowd(("192.0.2.2", 5)), dict.fromkeys(range(1, 6), 20.0), 100.0, most_undecided=3
    )
    assert len(actions.unknown) == 5
    assert actions.crowding == ()


def test_what_was_there_at_the_first_look_has_less_time() -> None:
    """An earlier process may have admitted it, and this registry does not know it: it may stay ten seconds."""
    for age, number in ((10.0, 0), (10.1, 2)):
        actions = reconcile(set(), set(), listing(5, 6), {5: 100.0, 6: 100.0}, 100.0 + age, old={5, 6})
        assert len(actions.unknown) == number
    crowded = reconcile(
        set(),
        set(),
        crowd(("192.0.2.2", 5)),
        dict.fromkeys(range(1, 6), 80.0),
        100.0,
        most_undecided=3,
        old=range(1, 6),
    )
    assert (len(crowded.unknown), crowded.crowding) == (5, ())
