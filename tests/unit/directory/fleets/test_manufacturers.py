"""Importing a manufacturer: what is refused, and that no authority is a manufacturer's and a partner's at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from doorward.audit.events import EventType
from doorward.authority import holder_certificates
from doorward.core.certificate import CertificateState
from doorward.core.errors import ConfigurationError, MalformedInput, NotFound, RequestRefused
from doorward.directory.fleets import manufacturers, serials
from doorward.directory.fleets.serials import state_serials
from doorward.partners.importing import import_partner
from doorward.partners.terms import Terms
from doorward.stores.fleet_records import SerialStanding
from doorward.stores.records import AuthorityKind
from tests.support.certificates.issuing import SERVER, CertifiedKey, certify, toy_ca
from tests.support.factory import NEVER, approve, enrol, import_factory, new_factory, pending
from tests.support.interleaving import before_change
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR


def import_(world, name, *anchors, **options):
    """Import these authorities."""
    return manufacturers.import_manufacturer(
        world.services, name, anchors=[one.der for one in anchors], actor=OPERATOR, **options
    )


def test_an_import_is_kept_and_told(world):
    """The authorities, the event, and the list."""
    factory = new_factory()
    done = import_(world, "acme", factory.root, intermediates=[factory.issuing.der])
    assert [one.anchor for one in done.value.authorities] == [True, False]
    event = world.events(EventType.MANUFACTURER_IMPORTED)[0]
    assert event.data["anchors"] == (factory.root.sha256,) or event.data["anchors"] == [factory.root.sha256]
    (listed,) = manufacturers.list_manufacturers(world.services)
    assert listed.manufacturer == done.value.manufacturer
    assert manufacturers.find_manufacturer(world.services, "acme").authorities == listed.authorities


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: toy_ca("Old", not_after=NOON - timedelta(days=1)), "expired"),
        (lambda: toy_ca("Leaf", ca=False), "not-a-ca"),
        (lambda: toy_ca("No use", usage=("crl_sign",)), "cannot-sign-certificates"),
        (lambda: toy_ca("Servers", purposes=(SERVER,)), "purpose-wrong"),
    ],
)
def test_authorities_with_errors_are_refused(world, make, code):
    """The faults of a partner's import are faults here too."""
    with refused(ConfigurationError, code):
        import_(world, "acme", make())


def test_our_own_authority_is_no_manufacturers(world):
    """Each certificate of ours would otherwise be a factory certificate."""
    with world.work.read() as stores:
        own = stores.authorities.current(AuthorityKind.ISSUING)
    with refused(ConfigurationError, "own-authority"):
        manufacturers.import_manufacturer(world.services, "acme", anchors=[own.der], actor=OPERATOR)


def test_no_manufacturer_is_above_or_below_ours(world):
    """One of ours that certified the authority: a certificate below it would have a path to an anchor of both."""
    with world.work.read() as stores:
        own = stores.authorities.current(AuthorityKind.ROOT)
    key = world.services.keys.load(own.key_name)
    ours = CertifiedKey(x509.load_der_x509_certificate(own.der), key)
    below = certify("Acme", ours, not_after=NEVER)
    with refused(ConfigurationError, "own-authority"):
        import_(world, "acme", below)
    with refused(ConfigurationError, "own-authority"):
        import_partner(world.services, "clinic", Terms(), anchors=[below.der], actor=OPERATOR)


@pytest.mark.parametrize("first", ["partner", "manufacturer"])
def test_no_authority_is_a_partners_and_a_manufacturers(world, first):
    """In both orders, and with another certificate of the same key: a door trusts partners."""
    factory = new_factory()
    again = toy_ca("Renewed Root", key=factory.root.key, not_after=NEVER)

    def as_partner(one):
        import_partner(world.services, "clinic", Terms(), anchors=[one.der], actor=OPERATOR)

    def as_manufacturer(one):
        import_(world, "acme", one)

    steps = [as_partner, as_manufacturer] if first == "partner" else [as_manufacturer, as_partner]
    steps[0](factory.root)
    with refused(RequestRefused, "authority-in-use"):
        steps[1](again)


def test_no_authority_is_two_manufacturers(world):
    """Two manufacturers may have two tags: it must be clear which rule judges a device."""
    factory = import_factory(world)
    with refused(RequestRefused, "authority-in-use"):
        import_(world, "other", factory.root)


def as_partner_(world, *anchors, **options):
    """Import these authorities as a partner's."""
    ders = [one.der for one in anchors]
    import_partner(world.services, "clinic", Terms(), anchors=ders, actor=OPERATOR, **options)


@pytest.mark.parametrize("first", ["partner", "manufacturer"])
@pytest.mark.parametrize("above", ["partner", "manufacturer"])
def test_no_partner_is_nested_with_a_manufacturer(world, first, above):
    """Root here and sub CA there, in both orders: a factory certificate below both would open a door."""
    factory = new_factory()
    root, below = factory.root, factory.issuing
    theirs, makers = (root, below) if above == "partner" else (below, root)
    steps = [lambda: as_partner_(world, theirs), lambda: import_(world, "acme", makers)]
    if first == "manufacturer":
        steps.reverse()
    steps[0]()
    with refused(RequestRefused, "authority-in-use"):
        steps[1]()


@pytest.mark.parametrize("first", ["partner", "manufacturer"])
def test_an_intermediate_is_a_step_between_the_two(world, first):
    """The manufacturer's root certifies its intermediate, and this one certifies the partner's anchor."""
    root = toy_ca("Acme Root", not_after=NEVER)
    middle = root.issuing("Acme Middle", path_length=1, not_after=NEVER)
    theirs = middle.issuing("Acme Devices", not_after=NEVER)
    steps = [
        lambda: as_partner_(world, theirs),
        lambda: import_(world, "acme", root, intermediates=[middle.der]),
    ]
    if first == "manufacturer":
        steps.reverse()
    steps[0]()
    with refused(RequestRefused, "authority-in-use"):
        steps[1]()


def test_an_old_signature_hides_no_nesting(world):
    """The signature of an anchor is not used, so it may be one that no path accepts."""
    factory = new_factory()
    old = factory.root.issuing("Acme Old", hash_algorithm=hashes.SHA224())
    import_(world, "acme", factory.root)
    with refused(RequestRefused, "authority-in-use"):
        as_partner_(world, old)


@pytest.mark.parametrize("upper_first", [True, False])
def test_no_manufacturer_is_nested_in_another(world, upper_first):
    """A device below both would choose its rules by the chain that it shows."""
    factory = new_factory()
    order = [factory.root, factory.issuing] if upper_first else [factory.issuing, factory.root]
    import_(world, "acme", order[0])
    with refused(RequestRefused, "authority-in-use"):
        import_(world, "other", order[1])


def test_unrelated_authorities_are_imported_side_by_side(world):
    """Also with equal names, and two below one root that is imported nowhere: no path leads from one to the other."""
    shared = toy_ca("Shared Root", not_after=NEVER)
    import_(world, "acme", shared.issuing("One"), new_factory("Same").root)
    import_(world, "other", shared.issuing("Two"), new_factory("Same").root)
    namesake = new_factory("Same")
    as_partner_(world, shared.issuing("Three"), namesake.root, intermediates=[namesake.issuing.der])
    import_(world, "last", shared.issuing("Four"))


def test_a_comparison_has_a_limit(world):
    """Authorities that share one name cost a verification for each pair, in a transaction that others wait for."""
    same = [toy_ca("Same") for _ in range(30)]
    import_(world, "acme", *same[:15])
    with refused(RequestRefused, "authority-in-use"):
        import_(world, "other", *same[15:])


@pytest.mark.parametrize("most", [0, -1, 100_001])
def test_the_limit_is_in_range(world, most):
    """At least one device may wait."""
    with refused(RequestRefused, "limit-refused"):
        import_(world, "acme", new_factory().root, most_pending=most)


def test_what_cannot_be_imported(world):
    """Nothing, too much, other bytes, a bad name, a name that is taken."""
    factory = import_factory(world)
    with refused(MalformedInput, "anchor-missing"):
        import_(world, "other")
    with refused(MalformedInput, "import-too-large"):
        import_(world, "other", *[factory.root] * 51)
    with refused(MalformedInput, "certificate-malformed"):
        manufacturers.import_manufacturer(world.services, "other", anchors=[b"x"], actor=OPERATOR)
    with refused(MalformedInput, "name-malformed"):
        import_(world, "Acme", new_factory().root)
    with refused(RequestRefused, "name-taken"):
        import_(world, "acme", new_factory().root)
    with refused(NotFound, "manufacturer-unknown"):
        manufacturers.remove_manufacturer(world.services, "other", actor=OPERATOR)


def test_its_devices_are_counted_by_state(world, factory):
    """The list says how many wait and how many are enrolled."""
    pending(world, factory, factory.device("SN-1"))
    approve(world, pending(world, factory, factory.device("SN-2")), "sensor-2")
    second = factory.device("SN-3")
    approve(world, pending(world, factory, second), "sensor-3")
    enrol(world, factory, second)
    found = manufacturers.find_manufacturer(world.services, "acme")
    assert {state.value: count for state, count in found.devices} == {
        "pending": 1,
        "approved": 1,
        "enrolled": 1,
    }


def test_devices_are_revoked_with_their_manufacturer_if_asked(world, factory):
    """Every certificate of its devices, renewed ones included, and no other; the rest stays as without the option."""
    device = factory.device("SN-1")
    approve(world, pending(world, factory, device), "sensor-2")
    record = enrol(world, factory, device).record
    world.issue("sensor-2")
    kept = world.issue("sensor-1")
    pending(world, factory, factory.device("SN-2"))
    done = manufacturers.remove_manufacturer(world.services, "acme", revoke_devices=True, actor=OPERATOR)
    assert "2 certificates of its devices were revoked" in done.notes
    with world.work.read() as stores:
        assert stores.certificates.get(record.id).state is CertificateState.REVOKED
    assert world.certificate(kept).state is CertificateState.VALID


def test_every_page_of_a_device_is_revoked_with_its_manufacturer(world, factory, monkeypatch):
    """The newest certificates are on the last page; what ended longer ago than any renewal allows is left as it is."""
    monkeypatch.setattr(holder_certificates, "PAGE", 2)
    device = factory.device("SN-1")
    approve(world, pending(world, factory, device), "sensor-2")
    record = enrol(world, factory, device).record
    world.clock.turn(days=(record.not_after - world.clock.now()).days + 365)
    held = [world.issue("sensor-2") for _ in range(5)]
    world.clock.turn(days=1)
    done = manufacturers.remove_manufacturer(world.services, "acme", revoke_devices=True, actor=OPERATOR)
    assert "5 certificates of its devices were revoked" in done.notes
    assert {world.certificate(one).state for one in held} == {CertificateState.REVOKED}
    with world.work.read() as stores:
        assert stores.certificates.get(record.id).state is CertificateState.VALID


def test_a_removal_forgets_no_bar_by_accident(world, factory):
    """Nothing is removed or revoked without `forget_barred`, also if the bar comes during the removal."""
    device = factory.device("SN-1")
    approve(world, pending(world, factory, device), "sensor-2")
    record = enrol(world, factory, device).record

    def bar():
        world.work.__dict__.pop("change", None)
        state_serials(world.services, "acme", ["SN-2"], SerialStanding.BARRED, actor=OPERATOR)

    before_change(world, 1, bar)
    with refused(RequestRefused, "barred-serials"):
        manufacturers.remove_manufacturer(world.services, "acme", actor=OPERATOR)
    with refused(RequestRefused, "barred-serials"):
        manufacturers.remove_manufacturer(world.services, "acme", revoke_devices=True, actor=OPERATOR)
    with world.work.read() as stores:
        assert stores.certificates.get(record.id).state is CertificateState.VALID
        assert stores.manufacturers.by_name("acme") is not None
    manufacturers.remove_manufacturer(world.services, "acme", forget_barred=True, actor=OPERATOR)


def test_what_is_issued_during_the_revocation_is_revoked_too(world, factory):
    """A device enrols between the pages of revocations and the removal."""
    device = factory.device("SN-1")
    approve(world, pending(world, factory, device), "sensor-2")
    issued = []

    def enrol_now():
        del world.work.change
        issued.append(enrol(world, factory, device).record)

    before_change(world, 2, enrol_now)
    manufacturers.remove_manufacturer(world.services, "acme", revoke_devices=True, actor=OPERATOR)
    with world.work.read() as stores:
        assert stores.certificates.get(issued[0].id).state is CertificateState.REVOKED


def test_a_file_of_serial_numbers():
    """One on each line; blank lines, spaces around and a byte order mark are left out."""
    assert serials.read_serial_file(b"\xef\xbb\xbfSN-1\r\n\r\n SN-2 \n") == ["SN-1", "SN-2"]
    with refused(MalformedInput, "file-not-utf8"):
        serials.read_serial_file(b"\xff\xfeS\x00")
