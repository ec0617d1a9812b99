"""The root's own revocation list: at the founding, renewed with the key here, renewed with the key from the safe."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from doorward.audit.events import EventType
from doorward.authority import founding
from doorward.authority.status import published_objects
from doorward.authority.status import root_crl as root_list
from doorward.core.entities import TENANT
from doorward.core.errors import NotFound, RequestRefused, Unavailable
from doorward.stores.records import AuthorityKind
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR, STATUS_URL, empty_world, found_world

PASSPHRASE = b"correct horse battery"
YEAR = timedelta(days=365)


@pytest.fixture
def world():
    """A founded authority."""
    return found_world(people=(), document="")


def authority(world, kind):
    """Return the current authority certificate of a kind, as record and as certificate."""
    with world.work.read() as stores:
        record = stores.authorities.current(kind)
    return record, x509.load_der_x509_certificate(record.der)


def newest(world):
    """Return the root's newest CRL, as record and parsed."""
    record = published_objects.current_crl(world.services, authority(world, AuthorityKind.ROOT)[0].id)
    return record, x509.load_der_x509_crl(record.der)


def events(world):
    """Return who published the root's CRLs, and their numbers."""
    root, _ = authority(world, AuthorityKind.ROOT)
    found = world.events(EventType.CRL_PUBLISHED)
    return [(one.actor, one.data["number"]) for one in found if one.data["authority"] == root.id]


def take_key_away(world):
    """Export the root's key and remove it here."""
    pem = founding.export_root(world.services, passphrase=PASSPHRASE, actor=OPERATOR)
    founding.remove_root_key(world.services, exported=pem, passphrase=PASSPHRASE, actor=OPERATOR)
    return pem


def test_founding_makes_the_first_list(world):
    """The root's first CRL is empty, full, valid for a year, and an event."""
    root, certificate = authority(world, AuthorityKind.ROOT)
    record, crl = newest(world)
    assert crl.issuer == certificate.subject
    assert crl.is_signature_valid(certificate.public_key())
    assert (len(crl), record.partition, record.number) == (0, "", 1)
    assert (crl.last_update_utc, crl.next_update_utc) == (NOON, NOON + YEAR)
    assert (record.this_update, record.next_update) == (NOON, NOON + YEAR)
    assert [one.oid for one in crl.extensions] == [x509.AuthorityKeyIdentifier.oid, x509.CRLNumber.oid]
    assert root.id == record.authority_id
    assert events(world) == [(OPERATOR, 1)]


def test_issuing_certificate_names_the_list(world):
    """The issuing authority's certificate has the addresses of the root's CRL and certificate."""
    root, _ = authority(world, AuthorityKind.ROOT)
    _, issuing = authority(world, AuthorityKind.ISSUING)
    (point,) = issuing.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for name in point.full_name] == [f"{STATUS_URL}/crl/{root.id}.crl"]
    (place,) = issuing.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert place.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    assert place.access_location.value == f"{STATUS_URL}/ca/{root.id}.cer"


def test_founding_and_first_list_are_one_transaction():
    """If the founding fails after the CRL was made, there is no CRL."""
    empty = empty_world()

    class NoIssuing(type(empty.keys)):
        def store(self, name, key):
            if name.startswith("issuing"):
                raise Unavailable("disk-full", "no space left")
            super().store(name, key)

    services = replace(empty.services, keys=NoIssuing())
    with pytest.raises(Unavailable):
        founding.found(services, trust_domain="corp.example", status_url=STATUS_URL, actor=OPERATOR)
    with empty.work.read() as stores:
        assert stores.status.state.crls == {}
    assert empty.work.events == []


def test_list_is_renewed_when_half_of_its_time_is_over(world):
    """The next CRL has the next number and is valid for a year; then none is due."""
    world.clock.turn(days=182)
    assert root_list.root_list_due(world.services) is False
    assert root_list.renew_root_list(world.services, actor="system") is None
    world.clock.turn(days=1)
    assert root_list.root_list_due(world.services) is True
    made = root_list.renew_root_list(world.services, actor="system")
    record, crl = newest(world)
    assert (made, record.number) == (record, 2)
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2
    assert crl.next_update_utc == NOON + timedelta(days=183) + YEAR
    assert root_list.root_list_due(world.services) is False
    assert events(world) == [(OPERATOR, 1), ("system", 2)]


def test_slower_of_two_processes_makes_no_list(world):
    """If another process has made the next CRL, no second one is made."""
    world.clock.turn(days=200)
    assert root_list.renew_root_list(world.services, actor="system").number == 2
    assert root_list.renew_root_list(world.services, actor="system") is None
    assert newest(world)[0].number == 2


def test_older_authority_without_a_list_gets_its_first(world):
    """An authority founded before roots had CRLs gets its first one by itself."""
    with world.work.change() as stores:
        stores.status.writable(TENANT).crls.clear()
    assert root_list.root_list_end(world.services) is None
    assert root_list.root_list_due(world.services) is True
    assert root_list.renew_root_list(world.services, actor="system").number == 1


def test_nothing_is_due_without_the_key(world):
    """Without the key no CRL is made, even if it has expired; its end can be read."""
    take_key_away(world)
    world.clock.turn(days=400)
    assert root_list.root_list_due(world.services) is False
    with pytest.raises(NotFound):
        root_list.renew_root_list(world.services, actor="system")
    assert newest(world)[0].number == 1
    assert root_list.root_list_end(world.services) == NOON + YEAR


def test_exported_key_makes_the_next_list(world):
    """The exported key signs at any time without the key store; it is not stored, and the event has the person."""
    pem, (_, certificate) = take_key_away(world), authority(world, AuthorityKind.ROOT)
    world.clock.turn(days=30)
    names, services = world.keys.names(), replace(world.services, keys=None)
    for number in (2, 3):
        made = root_list.renew_exported_root_list(
            services, exported=pem, passphrase=PASSPHRASE, actor=OPERATOR
        )
        record, crl = newest(world)
        assert (made, record.number) == (record, number)
        assert crl.is_signature_valid(certificate.public_key())
    assert root_list.root_list_end(services) == NOON + timedelta(days=30) + YEAR
    assert world.keys.names() == names
    assert "root-1" not in names
    assert events(world) == [(OPERATOR, 1), (OPERATOR, 2), (OPERATOR, 3)]


@pytest.mark.parametrize(
    ("exported", "passphrase", "code"),
    [
        (b"not a key", PASSPHRASE, "export-unreadable"),
        (None, b"the wrong one", "export-unreadable"),
        ("other", PASSPHRASE, "export-of-another-key"),
    ],
)
def test_other_keys_make_no_list(world, exported, passphrase, code):
    """An unreadable export, or another root's key, signs nothing, and the hint has the next step."""
    pem = founding.export_root(world.services, passphrase=PASSPHRASE, actor=OPERATOR)
    if exported == "other":
        other = found_world(people=(), document="")
        exported = founding.export_root(other.services, passphrase=PASSPHRASE, actor=OPERATOR)
    with refused(RequestRefused, code) as refusal:
        root_list.renew_exported_root_list(
            world.services, exported=exported or pem, passphrase=passphrase, actor=OPERATOR
        )
    assert "no list was made" in refusal.value.hint
    assert newest(world)[0].number == 1


def test_before_the_founding_and_without_keys(world):
    """There is no CRL before the founding, and no renewal in a process without keys."""
    with refused(NotFound, "not-founded"):
        root_list.root_list_due(empty_world().services)
    world.clock.turn(days=200)
    with refused(Unavailable, "keys-unavailable"):
        root_list.root_list_due(replace(world.services, keys=None))
    with pytest.raises(Unavailable):
        root_list.renew_root_list(replace(world.services, keys=None), actor="system")
