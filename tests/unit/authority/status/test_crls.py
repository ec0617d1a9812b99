"""The CRLs: full and partitioned, when they are due, their entries, and which certificates name them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from doorward.audit.events import EventType
from doorward.authority import issuing, revocation
from doorward.authority.status import crls, published_objects
from doorward.authority.status.partitions import partition_names, partition_of
from doorward.core.certificate import RevocationReason
from doorward.core.errors import NotFound, Unavailable
from doorward.directory import principals as directory
from doorward.stores import crl_pieces
from doorward.stores.records import AuthorityKind, ChangeKind
from tests.support.interleaving import ProcessDiedError, before_change, die_at
from tests.support.ports import NOON
from tests.support.world import OPERATOR, STATUS_URL, empty_world

COMPROMISE = RevocationReason.KEY_COMPROMISE
FOUR = partition_names(4)


def listed(crl):
    """Return the serial numbers on a CRL."""
    return {one.serial_number for one in x509.load_der_x509_crl(crl.der)}


def published(world, authority_id):
    """Return the events of an authority's CRLs."""
    return [one for one in world.events(EventType.CRL_PUBLISHED) if one.data["authority"] == authority_id]


def test_crl_has_revoked_and_held_certificates(world):
    """The CRL has revoked and held certificates, is signed by the issuing authority, and is an event."""
    revoked, held, good = world.issue("alice"), world.issue("bob"), world.issue("carol")
    revocation.revoke(world.services, revoked.record.id, COMPROMISE, OPERATOR)
    revocation.hold(world.services, held.record.id, OPERATOR)
    crl = crls.publish_crls(world.services)[""]
    assert listed(crl) == {revoked.record.serial, held.record.serial}
    assert good.record.serial not in listed(crl)
    parsed = x509.load_der_x509_crl(crl.der)
    with world.work.read() as stores:
        issuing = x509.load_der_x509_certificate(stores.authorities.current(AuthorityKind.ISSUING).der)
    assert parsed.is_signature_valid(issuing.public_key())
    assert (crl.this_update, crl.next_update) == (NOON, NOON + timedelta(hours=24))
    assert crl.through_seq == world.head()
    event = world.events(EventType.CRL_PUBLISHED)[-1]
    assert (event.data["number"], event.data["entries"]) == (1, 2)
    assert "partition" not in event.data
    assert published_objects.current_crl(world.services) == crl


def test_numbers_grow_and_released_ones_leave(world):
    """Each CRL has the next number; a released certificate is not on it any more."""
    held = world.issue("bob")
    revocation.hold(world.services, held.record.id, OPERATOR)
    assert listed(crls.publish_crls(world.services)[""]) == {held.record.serial}
    revocation.release(world.services, held.record.id, OPERATOR)
    second = crls.publish_crls(world.services)[""]
    assert (second.number, listed(second)) == (2, set())


def test_expired_certificate_is_on_one_more_list(world):
    """A certificate that expired since the last CRL is on the next one, once (RFC 5280 section 3.3)."""
    held = world.issue("alice")
    revocation.revoke(world.services, held.record.id, COMPROMISE, OPERATOR)
    world.clock.turn(days=89)
    crls.publish_crls(world.services)
    world.clock.turn(days=2)
    assert listed(crls.publish_crls(world.services)[""]) == {held.record.serial}
    world.clock.turn(days=1)
    assert listed(crls.publish_crls(world.services)[""]) == set()


def test_slower_of_two_publishers_takes_the_others_list(world):
    """Two processes never make two CRLs with one number."""
    before_change(world, 1, lambda: crls.publish_crls(world.services))
    crl = crls.publish_crls(world.services)[""]
    assert crl.number == 1
    assert len(published(world, crl.authority_id)) == 1


def test_list_is_due_at_first_then_after_half_its_time(world):
    """A CRL is due if there is none, and after half of its lifetime."""
    assert crls.due_crls(world.services, NOON)
    crls.publish_crls(world.services)
    assert not crls.due_crls(world.services, NOON + timedelta(hours=11))
    assert crls.due_crls(world.services, NOON + timedelta(hours=12))


@pytest.mark.parametrize("step", [revocation.hold, revocation.release])
def test_list_is_due_soon_after_a_change(world, step):
    """A revocation, hold or release makes a CRL due, at most every ten seconds."""
    held = world.issue("alice")
    if step is revocation.release:
        revocation.hold(world.services, held.record.id, OPERATOR)
    world.clock.turn(seconds=1)
    crl = crls.publish_crls(world.services)[""]
    world.clock.turn(seconds=1)
    step(world.services, held.record.id, OPERATOR)
    assert not crls.due_crls(world.services, crl.this_update + timedelta(seconds=9))
    assert crls.due_crls(world.services, crl.this_update + timedelta(seconds=10))


def test_other_changes_make_no_list_due(world):
    """New people and certificates make no CRL due, however many there are."""
    crls.publish_crls(world.services)
    world.clock.turn(seconds=60)
    world.issue("alice")
    directory.suspend(world.services, "bob", actor=OPERATOR)
    assert not crls.due_crls(world.services, world.clock.now())
    with world.work.change() as stores:
        for _ in range(1000):
            stores.changes.note(ChangeKind.PRINCIPAL, "per_x", world.clock.now())
    assert not crls.due_crls(world.services, world.clock.now())


def test_list_before_the_founding():
    """Without an authority there is no CRL."""
    with pytest.raises(NotFound):
        crls.publish_crls(empty_world().services)
    with pytest.raises(NotFound):
        crls.due_crls(empty_world().services, NOON)


def test_list_needs_the_issuing_key(world):
    """A process without keys publishes nothing."""
    with pytest.raises(Unavailable):
        crls.publish_crls(replace(world.services, keys=None))


def divided(world, count=4):
    """Return the services of a process that divides its certificates into partitions."""
    return replace(world.services, crl_partitions=count)


def address(record):
    """Return the CRL address in a certificate."""
    leaf = x509.load_der_x509_certificate(record.der)
    (point,) = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    (name,) = point.full_name
    return name.value


def scope(crl):
    """Return the issuing distribution point of a CRL; None for a full CRL."""
    try:
        return x509.load_der_x509_crl(crl.der).extensions.get_extension_for_class(
            x509.IssuingDistributionPoint
        )
    except x509.ExtensionNotFound:
        return None


def issue(world, services, count):
    """Issue a number of certificates with these services."""
    return [issuing.issue(services, world.csr(), world.claim("sensor-1")).record for _ in range(count)]


def test_each_certificate_is_on_the_list_that_it_names(world):
    """The CRL at a certificate's address has its serial number and that scope; the others do not."""
    services = divided(world)
    made = crls.publish_crls(services, crls.due_crls(services, NOON))
    assert set(made) == {"", *FOUR}
    names = [one.data.get("partition", "") for one in published(world, made[""].authority_id)]
    assert names == ["", *FOUR]
    held = issue(world, services, 12)
    for record in held:
        revocation.revoke(services, record.id, COMPROMISE, OPERATOR)
    world.clock.turn(minutes=1)
    made = crls.publish_crls(services, crls.due_crls(services, world.clock.now()))
    by_address = {
        f"{STATUS_URL}/crl/{one.authority_id}/{name}.crl": one for name, one in made.items() if name
    }
    for record in held:
        own = by_address[address(record)]
        assert [record.serial in listed(one) for one in by_address.values()].count(True) == 1
        assert record.serial in listed(own)
        assert record.serial in listed(made[""])
    for url, one in by_address.items():
        extension = scope(one)
        assert extension.critical
        assert [name.value for name in extension.value.full_name] == [url]
        assert extension.value.only_contains_user_certs
        others = (
            "only_contains_ca_certs",
            "only_contains_attribute_certs",
            "indirect_crl",
            "only_some_reasons",
        )
        assert not any(getattr(extension.value, other) for other in others)
    assert scope(made[""]) is None


def test_no_certificate_names_a_list_that_is_not_there(world):
    """Until the CRLs of a division are published, certificates name the full CRL."""
    services = divided(world)
    (before,) = issue(world, services, 1)
    crls.publish_crls(services)
    (still,) = issue(world, services, 1)
    crls.publish_crls(services, crls.due_crls(services, world.clock.now()))
    (after,) = issue(world, services, 1)
    (elsewhere,) = issue(world, world.services, 1)
    full = f"{STATUS_URL}/crl/{before.authority_id}.crl"
    assert [address(one) for one in (before, still, elsewhere)] == [full] * 3
    assert address(after).endswith(f"/{partition_of(after.serial, 4)}.crl")


def test_a_list_that_was_published_goes_on(world):
    """After another division, the CRLs that certificates name are still published."""
    four = divided(world)
    crls.publish_crls(four, crls.due_crls(four, NOON))
    (held,) = issue(world, four, 1)
    two = divided(world, 2)
    crls.publish_crls(two, crls.due_crls(two, NOON))
    revocation.revoke(world.services, held.id, COMPROMISE, OPERATOR)
    world.clock.turn(minutes=1)
    due = crls.due_crls(world.services, world.clock.now())
    assert set(due) == {"", partition_of(held.serial, 4), partition_of(held.serial, 2)}
    made = crls.publish_crls(world.services, due)
    assert all(held.serial in listed(one) for one in made.values())
    world.clock.turn(hours=12)
    assert set(crls.due_crls(world.services, world.clock.now())) == {"", *FOUR, *partition_names(2)}


def test_only_the_lists_with_a_change_are_made_again(world):
    """A hold is on its own CRL and the full one; each CRL counts its own numbers."""
    services = divided(world)
    crls.publish_crls(services, crls.due_crls(services, NOON))
    (held,) = issue(world, services, 1)
    own = partition_of(held.serial, 4)
    for step, number, expected in ((revocation.hold, 2, {held.serial}), (revocation.release, 3, set())):
        step(services, held.id, OPERATOR)
        world.clock.turn(seconds=10)
        made = crls.publish_crls(services, crls.due_crls(services, world.clock.now()))
        assert set(made) == {"", own}
        assert all((one.number, listed(one)) == (number, expected) for one in made.values())
    assert crls.due_crls(services, world.clock.now() + timedelta(seconds=20)) == ()
    with world.work.read() as stores:
        numbers = {one.partition: one.number for one in stores.status.crl_heads(held.authority_id)}
    assert numbers == {"": 3, **dict.fromkeys(FOUR, 1), own: 3}


def test_expired_certificate_is_on_one_more_list_of_each_name(world):
    """A partition that is made less often still lists what expired since its own last CRL."""
    services = divided(world)
    crls.publish_crls(services, crls.due_crls(services, NOON))
    (held,) = issue(world, services, 1)
    own = partition_of(held.serial, 4)
    revocation.revoke(services, held.id, COMPROMISE, OPERATOR)
    world.clock.turn(days=364)
    crls.publish_crls(services, ("", own))
    world.clock.turn(days=2)
    crls.publish_crls(services)
    world.clock.turn(days=1)
    made = crls.publish_crls(services, ("", own))
    assert {name: listed(one) for name, one in made.items()} == {"": set(), own: {held.serial}}
    assert listed(crls.publish_crls(services, (own,))[own]) == set()


def test_all_due_lists_are_one_transaction(world):
    """If one CRL cannot be stored, none is: certificates may name all of a division once one exists."""
    services = divided(world)
    real = world.work.change

    class Broken:
        def __init__(self, stores):
            self.stores, self.left = stores, 3

        def __getattr__(self, name):
            return self if name == "status" else getattr(self.stores, name)

        def crl_heads(self, authority_id):
            return self.stores.status.crl_heads(authority_id)

        def store_crl(self, crl):
            self.left -= 1
            if not self.left:
                raise Unavailable("store-unavailable", "the disk is full")
            self.stores.status.store_crl(crl)

    @contextmanager
    def change():
        with real() as stores:
            yield Broken(stores)

    world.work.change = change
    with pytest.raises(Unavailable):
        crls.publish_crls(services, crls.due_crls(services, NOON))
    with world.work.read() as stores:
        assert stores.status.crl_heads(stores.authorities.current(AuthorityKind.ISSUING).id) == []


def revoked_and_cut(world, monkeypatch, *, piece=64):
    """Publish a CRL, revoke another certificate, and make pieces small, so that a CRL has several."""
    monkeypatch.setattr(crl_pieces, "PIECE_BYTES", piece)
    monkeypatch.setattr(crls, "PIECE_BYTES", piece)
    former = crls.publish_crls(world.services)[""]
    held = world.issue("bob")
    revocation.revoke(world.services, held.record.id, COMPROMISE, OPERATOR)
    return former, held


def count_pieces(world, crl):
    """Return how many pieces of a CRL are stored."""
    digest = crl_pieces.split_crl(crl.der)[0].sha256
    with world.work.read() as stores:
        return sum(sha256 == digest for sha256, _ in stores.status.state.crl_pieces)


def test_a_long_crl_is_stored_in_short_transactions(world, monkeypatch):
    """No transaction writes or removes more than one piece: a withdrawal waits for one piece at most."""
    former, held = revoked_and_cut(world, monkeypatch)
    sizes, real = [], world.work.change

    @contextmanager
    def change(**how):
        with real(**how) as stores:
            before = dict(stores.status.state.crl_pieces)
            yield stores
            moved = before.items() ^ stores.status.state.crl_pieces.items()
            sizes.append(sum(len(content) for _, content in moved))

    world.work.change = change
    made = crls.publish_crls(world.services)[""]
    assert held.record.serial in listed(made)
    assert published_objects.current_crl(world.services) == made
    assert max(sizes) <= 64
    assert len(sizes) > len(made.der) / 64
    assert (count_pieces(world, former), count_pieces(world, made)) == (
        0,
        len(crl_pieces.split_crl(made.der)),
    )


def test_a_process_that_dies_while_it_stores_a_crl_leaves_the_former_one(world, monkeypatch):
    """The next publication removes what it left."""
    former, _ = revoked_and_cut(world, monkeypatch)
    for number in (1, 3):
        real = world.work.change
        die_at(world, number)
        with pytest.raises(ProcessDiedError):
            crls.publish_crls(world.services)
        world.work.change = real
        assert published_objects.current_crl(world.services) == former
    made = crls.publish_crls(world.services)[""]
    with world.work.read() as stores:
        stored = {sha256 for sha256, _ in stores.status.state.crl_pieces}
        every = [*stores.status.state.crls.values()]
    assert made in every
    assert stored == {crl_pieces.split_crl(one.der)[0].sha256 for one in every}


def test_a_short_crl_is_stored_at_once(world):
    """It needs no transaction of its own."""
    crls.publish_crls(world.services)
    count, real = [], world.work.change

    def change(**how):
        count.append(1)
        return real(**how)

    world.work.change = change
    crls.publish_crls(world.services)
    assert len(count) == 2  # it, and the look for leftovers
