"""Delta CRLs: when they are made instead of complete ones, what they list, which base they extend, and how they end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.authority.rollover import leaving, moving, preparing
from doorward.authority.status import crl_deltas, crls, published_objects
from doorward.authority.status.partitions import delta_of, partition_names, partition_of
from doorward.core.certificate import RevocationReason
from doorward.stores.records import AuthorityKind
from tests.support.delta_authority import COMPROMISE, HOLD, REMOVED, DeltaAuthority
from tests.support.deltas import apply_delta, base_number, entries_of, freshest, number_of
from tests.support.interleaving import before_change
from tests.support.world import OPERATOR, STATUS_URL, found_world


@pytest.fixture
def authority() -> DeltaAuthority:
    """An authority with a full list, which names its delta."""
    return DeltaAuthority()


def test_without_the_setting_no_list_names_a_delta() -> None:
    """The setting is off by default: a revocation makes the full list again, and there is no delta."""
    world = found_world(document="")
    assert not world.services.crl_deltas
    made = crls.publish_crls(world.services)
    held = world.issue("sensor-1")
    revocation.revoke(world.services, held.record.id, COMPROMISE, OPERATOR)
    world.clock.turn(seconds=10)
    again = crls.publish_crls(world.services, crls.due_crls(world.services, world.clock.now()))
    assert set(made) == set(again) == {""}
    assert freshest(again[""].der) is None
    assert entries_of(again[""].der) == {held.record.serial: "key_compromise"}


def test_a_revocation_makes_the_delta_and_not_the_full_list(authority: DeltaAuthority) -> None:
    """The full list names the delta, which has its own address, a critical base and the next number of the same sequence."""
    full, first = authority.stored(), authority.stored("delta")
    assert freshest(full.der) == f"{STATUS_URL}/crl/{full.authority_id}/delta.crl"
    assert (number_of(first.der), base_number(first.der)) == (1, 1)
    held = authority.issue()
    authority.revoke(held)
    made = authority.later()
    assert set(made) == {"delta"}
    parsed = x509.load_der_x509_crl(made["delta"].der)
    indicator = parsed.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert indicator.critical
    assert (number_of(made["delta"].der), indicator.value.crl_number) == (2, 1)
    assert entries_of(made["delta"].der) == {held.record.serial: "key_compromise"}
    assert freshest(made["delta"].der) is None
    for extension in (x509.IssuingDistributionPoint, x509.FreshestCRL):
        with pytest.raises(x509.ExtensionNotFound):
            parsed.extensions.get_extension_for_class(extension)
    assert authority.stored() == full
    assert authority.later() == {}


def test_the_event_says_that_it_is_a_delta(authority: DeltaAuthority) -> None:
    """With the number of its base; the event of a complete list has none."""
    authority.revoke(authority.issue())
    authority.later()
    *_, full, first, delta = (one.data for one in authority.world.events(EventType.CRL_PUBLISHED))
    assert "base_number" not in full
    assert (first["number"], first["base_number"], first["entries"]) == (1, 1, 0)
    assert (delta["number"], delta["base_number"], delta["entries"]) == (2, 1, 1)


def test_the_delta_waits_for_the_pause(authority: DeltaAuthority) -> None:
    """At most one in ten seconds, as the full list."""
    first, second = authority.issue(), authority.issue()
    authority.revoke(first)
    assert set(authority.later()) == {"delta"}
    authority.revoke(second)
    assert authority.later(seconds=9) == {}
    assert set(authority.later(seconds=1)) == {"delta"}


def test_holds_and_releases(authority: DeltaAuthority) -> None:
    """A hold of the base that was released has removeFromCRL; one that became final has its reason."""
    released, final, kept = (authority.issue() for _ in range(3))
    for one in (released, final, kept):
        authority.hold(one)
    authority.later()
    assert set(entries_of(authority.stored("delta").der).values()) == {HOLD}
    authority.later(hours=12)  # a new full list holds them
    assert set(entries_of(authority.stored().der).values()) == {HOLD}
    authority.release(released)
    authority.revoke(final)
    entries = entries_of(authority.later()["delta"].der)
    assert entries[released.record.serial] == REMOVED
    assert entries[final.record.serial] == "key_compromise"


def test_a_hold_that_an_earlier_delta_listed_is_taken_back(authority: DeltaAuthority) -> None:
    """Held and released after the base: a client may have the delta in between (RFC 5280 section 5.2.4)."""
    held = authority.issue()
    authority.hold(held)
    assert entries_of(authority.later()["delta"].der) == {held.record.serial: HOLD}
    authority.release(held)
    assert entries_of(authority.later()["delta"].der) == {held.record.serial: REMOVED}
    authority.hold(held)
    assert entries_of(authority.later()["delta"].der) == {held.record.serial: HOLD}


def test_both_made_together_have_one_number_and_say_the_same(authority: DeltaAuthority) -> None:
    """The delta that is made with a full list extends the one before, which relying parties may still have."""
    early, late = authority.issue(), authority.issue()
    authority.revoke(early)
    before = authority.stored()
    authority.later()
    authority.revoke(late)
    made = authority.later(hours=12)
    assert set(made) == {"", "delta"}
    assert number_of(made[""].der) == number_of(made["delta"].der) == 3
    assert base_number(made["delta"].der) == number_of(before.der) == 1
    assert apply_delta(before.der, made["delta"].der) == entries_of(made[""].der)
    assert made[""].this_update == made["delta"].this_update


def test_a_delta_extends_every_full_list_that_has_not_ended(authority: DeltaAuthority) -> None:
    """The base moves on when the oldest full list has ended."""
    first, held = authority.stored(), authority.issue()
    authority.hold(held)
    second = authority.later(hours=12)[""]
    authority.release(held)
    delta = authority.later()["delta"]
    for base in (first, second):
        assert base_number(delta.der) <= number_of(base.der) < number_of(delta.der)
        assert apply_delta(base.der, delta.der) == {}
    third = authority.later(hours=12)
    assert base_number(third["delta"].der) == number_of(second.der)
    assert apply_delta(second.der, third["delta"].der) == entries_of(third[""].der) == {}


def test_a_delta_ends_early(authority: DeltaAuthority) -> None:
    """After a quarter of the lifetime; it is renewed after half of that, and never ends after the newest full list."""
    delta = authority.stored("delta")
    assert delta.next_update - delta.this_update == timedelta(hours=6)
    assert authority.later(hours=2.9) == {}
    assert set(authority.later(hours=0.2)) == {"delta"}
    for _ in range(40):
        authority.later(hours=1)
        assert authority.stored("delta").next_update <= authority.stored().next_update
        assert authority.stored("delta").next_update > authority.world.clock.now()
    assert not published_objects.find_faults(authority.services, authority.world.clock.now())


def test_a_delta_ends_with_the_full_list() -> None:
    """Also if the lifetime is so short that a quarter of it would be less than a minute."""
    now = found_world(document="").clock.now()
    assert crl_deltas.delta_end(now, timedelta(minutes=1), now + timedelta(seconds=40)) == now + timedelta(
        seconds=40
    )
    assert crl_deltas.delta_end(now, timedelta(minutes=2), now + timedelta(hours=1)) == now + timedelta(
        minutes=1
    )


def test_a_delta_that_has_grown_makes_the_full_list_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The older base is given up for good; the delta beside the new full list is empty."""
    monkeypatch.setattr(crl_deltas, "FEWEST_CHANGES", 2)
    authority = DeltaAuthority()
    held = [authority.issue() for _ in range(4)]
    for one in held[:2]:
        authority.revoke(one)
    assert set(authority.later()) == {"delta"}
    authority.revoke(held[2])
    made = authority.later()
    assert set(made) == {"", "delta"}
    assert len(entries_of(made[""].der)) == 3
    assert (number_of(made[""].der), base_number(made["delta"].der)) == (3, 3)
    assert entries_of(made["delta"].der) == {}
    authority.revoke(held[3])
    made = authority.later()
    assert set(made) == {"delta"}
    assert base_number(made["delta"].der) == 3
    assert entries_of(made["delta"].der) == {held[3].record.serial: "key_compromise"}


@pytest.mark.parametrize(
    ("entries", "bound"), [(0, 1_000), (10_000, 1_000), (50_000, 5_000), (500_000, 10_000)]
)
def test_the_bound_follows_the_base(authority: DeltaAuthority, entries: int, bound: int) -> None:
    """A tenth of the base, within limits."""
    with authority.world.work.read() as stores:
        (base,) = stores.deltas.bases(authority.stored().authority_id)
    assert crl_deltas.bound_of(replace(base, entries=entries)) == bound


def test_a_certificate_that_ends_between_two_full_lists_is_on_one_of_them(authority: DeltaAuthority) -> None:
    """It stays in every delta until then; then both leave it out (RFC 5280 sections 3.3 and 5.2.4)."""
    held = authority.world.issue("alice")
    authority.world.clock.turn(days=89, hours=23)
    authority.later()
    before = authority.stored()
    authority.revoke(held)
    authority.later()
    while authority.stored() == before:
        assert held.record.serial in apply_delta(before.der, authority.stored("delta").der)
        authority.later(hours=1)
    assert authority.world.clock.now() > held.record.not_after
    assert held.record.serial in entries_of(authority.stored().der)
    authority.later(hours=12)
    authority.later(hours=12)
    assert held.record.serial not in entries_of(authority.stored().der)
    assert held.record.serial not in entries_of(authority.stored("delta").der)


def test_changes_are_forgotten_when_no_list_needs_them(authority: DeltaAuthority) -> None:
    """With deltas after the oldest base has ended; without, with the next full list."""
    issuer = authority.stored().authority_id

    def kept() -> int:
        with authority.world.work.read() as stores:
            return len(stores.deltas.since(issuer, 0))

    authority.revoke(authority.issue())
    authority.later()
    assert kept() == 1
    authority.later(hours=12)
    assert kept() == 1
    authority.later(hours=12)
    assert kept() == 0
    world = found_world(document="")
    crls.publish_crls(world.services)
    revocation.revoke(world.services, world.issue("sensor-1").record.id, COMPROMISE, OPERATOR)
    made = crls.publish_crls(world.services)[""]
    with world.work.read() as stores:
        assert stores.deltas.since(made.authority_id, 0) == []


def test_the_last_delta_says_what_the_last_list_says(authority: DeltaAuthority) -> None:
    """Both end with the authority, and the last list names no delta."""
    held = authority.issue()
    before = authority.stored()
    authority.revoke(held)
    with authority.world.work.read() as stores:
        issuing = stores.authorities.current(AuthorityKind.ISSUING)
    assert issuing is not None
    leaving._sign_last_crls(authority.services, issuing)
    last, delta = authority.stored(), authority.stored("delta")
    assert last.next_update == delta.next_update == issuing.not_after
    assert freshest(last.der) is None
    assert (
        apply_delta(before.der, delta.der) == entries_of(last.der) == {held.record.serial: "key_compromise"}
    )


def test_an_authority_that_has_left_gets_no_delta(authority: DeltaAuthority) -> None:
    """A delta that was being made when the authority retired is not stored."""
    authority.revoke(authority.issue())
    authority.world.clock.turn(seconds=11)
    issuer = authority.stored().authority_id

    def retire() -> None:
        with authority.world.work.change() as stores:
            stores.authorities.retire(issuer, authority.world.clock.now(), RevocationReason.SUPERSEDED)

    before_change(authority.world, 1, retire)
    assert crls.publish_crls(authority.services, ("delta",), issuer) == {}
    assert number_of(authority.stored("delta").der) == 1


def test_a_rollover_with_deltas() -> None:
    """The new authority begins with lists that name their deltas; the last delta of the old one extends each list that has not ended."""
    authority = DeltaAuthority(2)
    held = authority.issue()
    authority.revoke(authority.issue())
    authority.later()
    names = ["", *partition_names(2)]
    before = {name: authority.stored(name) for name in names}
    made = preparing.prepare(authority.services, actor=OPERATOR).value
    with authority.world.work.read() as stores:
        first = {name: stores.status.crl(made.new_id, name) for name in [*names, *map(delta_of, names)]}
        assert len(stores.deltas.bases(made.new_id)) == 3
    for name in names:
        complete, delta = first[name], first[delta_of(name)]
        assert complete is not None
        assert delta is not None
        assert (complete.number, delta.number, base_number(delta.der)) == (1, 1, 1)
        assert (freshest(complete.der) or "").endswith(f"{made.new_id}/{delta_of(name)}.crl")
    moving.activate(authority.services, actor=OPERATOR)
    moving.drain(authority.services, actor=OPERATOR, window=timedelta(hours=1))
    leaving.retire(authority.services, actor=OPERATOR, abandon_missing=True)
    leaving.finish_leaving(authority.services, actor=OPERATOR)
    with authority.world.work.read() as stores:
        last = {name: stores.status.crl(made.old_id, name) for name in [*names, *map(delta_of, names)]}
        old = stores.authorities.get(made.old_id)
    assert old is not None
    for name in names:
        complete, delta = last[name], last[delta_of(name)]
        assert complete is not None
        assert delta is not None
        assert complete.next_update == delta.next_update == old.not_after
        assert apply_delta(before[name].der, delta.der) == entries_of(complete.der)
        own = name in ("", partition_of(held.record.serial, 2))
        assert (held.record.serial in entries_of(complete.der)) is own
    assert made.old_id not in crls.publishing_authorities(authority.services)
