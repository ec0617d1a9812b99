"""Founding an authority, renewing the responder, exporting and removing the root's key."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.audit.events import EventType
from doorward.authority import founding
from doorward.core.errors import MalformedInput, NotFound, RequestRefused, Unavailable
from doorward.core.passphrase import MIN_BYTES
from doorward.stores.records import AuthorityKind
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR, STATUS_URL, empty_world, found_world

PASSPHRASE = b"correct horse battery"


def authority(world, kind):
    """Return the current authority certificate of a kind, as record and as certificate."""
    with world.work.read() as stores:
        record = stores.authorities.current(kind)
    assert record is not None
    return record, x509.load_der_x509_certificate(record.der)


def test_founding_makes_a_chain_of_three():
    """The root signs the issuing authority, which signs the responder; each key is in the store."""
    world = found_world(people=(), document="")
    root, root_certificate = authority(world, AuthorityKind.ROOT)
    issuing, issuing_certificate = authority(world, AuthorityKind.ISSUING)
    responder, responder_certificate = authority(world, AuthorityKind.OCSP_RESPONDER)
    root_certificate.verify_directly_issued_by(root_certificate)
    issuing_certificate.verify_directly_issued_by(root_certificate)
    responder_certificate.verify_directly_issued_by(issuing_certificate)
    assert [root.key_name, issuing.key_name, responder.key_name] == ["root-1", "issuing-1", "ocsp-1"]
    assert world.keys.names() == ["issuing-1", "ocsp-1", "root-1"]
    for record, certificate in (
        (root, root_certificate), (issuing, issuing_certificate), (responder, responder_certificate),
    ):  # fmt: skip
        assert world.keys.load(record.key_name).public_key() == certificate.public_key()
        assert record.not_after == certificate.not_valid_after_utc


def test_lifetimes_are_ten_and_five_years():
    """Root and issuing authority have their lifetimes and different names."""
    world = found_world(people=(), document="")
    _, root = authority(world, AuthorityKind.ROOT)
    _, issuing = authority(world, AuthorityKind.ISSUING)
    assert timedelta(days=3650) < root.not_valid_after_utc - NOON < timedelta(days=3655)
    assert timedelta(days=1825) < issuing.not_valid_after_utc - NOON < timedelta(days=1828)
    assert root.subject.rfc4514_string() == "CN=corp.example Root 1"
    assert issuing.subject.rfc4514_string() == "CN=corp.example Issuing 1"


def test_responder_is_delegated():
    """The responder's certificate is for OCSP signing and has the extension ocsp-nocheck."""
    _, responder = authority(found_world(people=(), document=""), AuthorityKind.OCSP_RESPONDER)
    purposes = responder.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    assert responder.extensions.get_extension_for_class(x509.OCSPNoCheck)


def test_tenant_is_returned_and_recorded():
    """The tenant keeps the trust domain and the public address without a trailing slash."""
    world = empty_world()
    tenant = founding.found(
        world.services, trust_domain="corp.example", status_url=STATUS_URL + "/", actor=OPERATOR
    )
    with world.work.read() as stores:
        assert stores.tenants.get() == tenant
    assert (tenant.trust_domain, tenant.status_url) == ("corp.example", STATUS_URL)
    created = world.events(EventType.AUTHORITY_CREATED)
    assert [event.data["kind"] for event in created] == ["root", "issuing", "ocsp-responder"]
    assert {event.actor for event in created} == {OPERATOR}
    assert world.head() > 0


def test_founding_twice_is_refused():
    """A second founding is refused and changes nothing."""
    world = found_world(people=(), document="")
    before, names = world.work.events, world.keys.names()
    with refused(RequestRefused, "already-founded") as refusal:
        founding.found(world.services, trust_domain="other.example", status_url=STATUS_URL, actor=OPERATOR)
    assert refusal.value.hint
    assert (world.work.events, world.keys.names()) == (before, names)


def test_keys_of_a_crashed_founding_are_passed_over():
    """Keys without a record are neither used nor deleted: their database may be elsewhere."""
    world = empty_world()
    orphan = world.services.factory.generate  # a founding that died before its commit
    for name in ("root-1", "root-2", "issuing-1", "ocsp-x"):
        world.keys.store(name, orphan(kind=_p256()))
    kept = {name: world.keys.load(name) for name in world.keys.names()}
    founding.found(world.services, trust_domain="corp.example", status_url=STATUS_URL, actor=OPERATOR)
    root, certificate = authority(world, AuthorityKind.ROOT)
    assert root.key_name == "root-3"
    assert certificate.public_key() == world.keys.load("root-3").public_key()
    assert authority(world, AuthorityKind.ISSUING)[0].key_name == "issuing-2"
    assert authority(world, AuthorityKind.OCSP_RESPONDER)[0].key_name == "ocsp-1"
    assert all(world.keys.load(name) is key for name, key in kept.items())


def _p256():
    from doorward.core.ports import KeyKind

    return KeyKind.P256


def test_founding_that_fails_leaves_no_row():
    """If a key cannot be stored, nothing is recorded, and the next try succeeds."""
    world = empty_world()

    class FullStore(type(world.keys)):
        def store(self, name, key):
            if name.startswith("ocsp"):
                raise Unavailable("disk-full", "no space left")
            super().store(name, key)

    full = FullStore()
    from dataclasses import replace

    with pytest.raises(Unavailable):
        founding.found(
            replace(world.services, keys=full),
            trust_domain="corp.example",
            status_url=STATUS_URL,
            actor=OPERATOR,
        )
    assert world.work.events == []
    founding.found(
        replace(world.services, keys=world.keys),
        trust_domain="corp.example",
        status_url=STATUS_URL,
        actor=OPERATOR,
    )
    assert authority(world, AuthorityKind.ROOT)[0].key_name == "root-1"


@pytest.mark.parametrize("domain", ["", "Corp.Example", "corp example", "corp..example", "1.2.3.4"])
def test_bad_trust_domain_is_refused(domain):
    """A malformed trust domain is refused before any key is made."""
    world = empty_world()
    with refused(MalformedInput, "trust-domain-malformed"):
        founding.found(world.services, trust_domain=domain, status_url=STATUS_URL, actor=OPERATOR)
    assert world.keys.names() == []


def test_long_trust_domain_fits_the_common_name():
    """A long trust domain is cut only in the common name."""
    domain = ".".join(["department"] * 8) + ".example"
    world = found_world(trust_domain=domain, people=(), document="")
    _, root = authority(world, AuthorityKind.ROOT)
    title = root.subject.rfc4514_string()
    assert title.endswith(" Root 1")
    assert len(title) <= len("CN=") + 64


def test_founding_needs_keys():
    """A process without the key store cannot found."""
    from dataclasses import replace

    world = empty_world()
    with refused(Unavailable, "keys-unavailable"):
        founding.found(
            replace(world.services, keys=None),
            trust_domain="corp.example",
            status_url=STATUS_URL,
            actor=OPERATOR,
        )


def test_responder_is_due_after_two_thirds():
    """The responder is renewed while a third of its life is left."""
    world = found_world(people=(), document="")
    world.clock.turn(days=19)
    assert founding.due_responders(world.services) == ()
    world.clock.turn(days=2)
    assert len(founding.due_responders(world.services)) == 1


def test_renewed_responder_has_a_new_key():
    """A renewal makes a new key and certificate, with an event and a change."""
    world = found_world(people=(), document="")
    head = world.head()
    world.clock.turn(days=21)
    done = founding.renew_responder(world.services, actor="system")
    record, certificate = authority(world, AuthorityKind.OCSP_RESPONDER)
    assert (record.id, record.key_name) == (done.value.id, "ocsp-2")
    assert certificate.public_key() == world.keys.load("ocsp-2").public_key()
    assert done.seq == world.head() > head
    assert founding.due_responders(world.services) == ()
    assert world.events(EventType.AUTHORITY_CREATED)[-1].data["authority"] == record.id
    assert "ocsp-1" in world.keys.names()


def test_responder_that_is_not_due_stays():
    """If two processes renew at once, one does; the other gets the renewed one."""
    world = found_world(people=(), document="")
    world.clock.turn(days=21)
    first = founding.renew_responder(world.services, actor="system")
    second = founding.renew_responder(world.services, actor="system")
    assert (second.value, second.seq) == (first.value, first.seq)
    assert world.keys.names() == ["issuing-1", "ocsp-1", "ocsp-2", "root-1"]


def test_key_of_an_expired_responder_is_dropped():
    """The key of an expired responder is removed; a further renewal works."""
    world = found_world(people=(), document="")
    for _ in range(3):
        world.clock.turn(days=31)
        founding.renew_responder(world.services, actor="system")
    assert world.keys.names() == ["issuing-1", "ocsp-4", "root-1"]


def test_responder_before_the_founding():
    """Nothing can be renewed before the founding."""
    world = empty_world()
    for use_case in (founding.due_responders, lambda s: founding.renew_responder(s, actor="system")):
        with refused(NotFound, "not-founded"):
            use_case(world.services)


def test_exported_root_opens_with_its_passphrase_only():
    """The export is the root's key, encrypted; the export is an event."""
    world = found_world(people=(), document="")
    pem = founding.export_root(world.services, passphrase=PASSPHRASE, actor=OPERATOR)
    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    key = serialization.load_pem_private_key(pem, PASSPHRASE)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == world.keys.load("root-1").public_key()
    with pytest.raises(ValueError):
        serialization.load_pem_private_key(pem, b"another passphrase")
    assert len(world.events(EventType.AUTHORITY_ROOT_EXPORTED)) == 1


def test_root_does_not_leave_without_a_record():
    """If the event cannot be stored, nothing is exported."""
    world = found_world(people=(), document="")
    real = world.work.record
    world.work.record = lambda events: (_ for _ in ()).throw(Unavailable("store-unavailable", "away"))
    with pytest.raises(Unavailable):
        founding.export_root(world.services, passphrase=PASSPHRASE, actor=OPERATOR)
    world.work.record = real


def test_short_passphrase_is_refused():
    """A passphrase that could be guessed offline is refused."""
    world = found_world(people=(), document="")
    with refused(RequestRefused, "passphrase-short"):
        founding.export_root(world.services, passphrase=b"x" * (MIN_BYTES - 1), actor=OPERATOR)
    assert founding.export_root(world.services, passphrase=b"x" * MIN_BYTES, actor=OPERATOR)


def test_root_key_is_removed_after_its_export_was_opened():
    """With export and passphrase the key is removed, as an event; then it is gone."""
    world = found_world(people=(), document="")
    pem = founding.export_root(world.services, passphrase=PASSPHRASE, actor=OPERATOR)
    founding.remove_root_key(world.services, exported=pem, passphrase=PASSPHRASE, actor=OPERATOR)
    assert "root-1" not in world.keys.names()
    assert len(world.events(EventType.AUTHORITY_ROOT_REMOVED)) == 1
    with refused(NotFound, "root-key-removed"):
        founding.export_root(world.services, passphrase=PASSPHRASE, actor=OPERATOR)
    with pytest.raises(NotFound):
        founding.remove_root_key(world.services, exported=pem, passphrase=PASSPHRASE, actor=OPERATOR)


@pytest.mark.parametrize(
    ("exported", "passphrase"),
    [(b"", PASSPHRASE), (b"not a key", PASSPHRASE), (b"x" * 70_000, PASSPHRASE), (None, b"the wrong one")],
)
def test_root_key_stays_without_a_readable_export(exported, passphrase):
    """An export that does not open removes nothing."""
    world = found_world(people=(), document="")
    good = founding.export_root(world.services, passphrase=PASSPHRASE, actor=OPERATOR)
    with refused(RequestRefused, "export-unreadable"):
        founding.remove_root_key(
            world.services,
            exported=good if exported is None else exported,
            passphrase=passphrase,
            actor=OPERATOR,
        )
    assert "root-1" in world.keys.names()


def test_export_of_another_key_removes_nothing():
    """An export that opens but holds another key removes nothing."""
    world, other = found_world(people=(), document=""), found_world(people=(), document="")
    pem = founding.export_root(other.services, passphrase=PASSPHRASE, actor=OPERATOR)
    with refused(RequestRefused, "export-of-another-key"):
        founding.remove_root_key(world.services, exported=pem, passphrase=PASSPHRASE, actor=OPERATOR)
    assert "root-1" in world.keys.names()
