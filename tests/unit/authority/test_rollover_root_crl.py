"""After a rollover the root's CRL lists the authority that left; two processes may finish the same rollover."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509

from doorward.authority import founding
from doorward.authority.rollover import leaving, moving, preparing
from doorward.authority.status import root_crl
from doorward.core.certificate import RevocationReason
from doorward.stores.authority_protocols import RolloverState
from doorward.stores.records import AuthorityKind
from tests.support.ports import NOON
from tests.support.world import OPERATOR, found_world
from tests.unit.authority.test_rollover import PASSPHRASE, draining, rollover_of

REASONS = {
    RevocationReason.SUPERSEDED: x509.ReasonFlags.superseded,
    RevocationReason.CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    RevocationReason.CA_COMPROMISE: x509.ReasonFlags.ca_compromise,
}


@pytest.fixture
def world():
    """A founded authority."""
    return found_world()


def listed(world):
    """Return serial number, moment and reason of each entry of the root's newest CRL, and its number."""
    with world.work.read() as stores:
        root = stores.authorities.current(AuthorityKind.ROOT)
        crl = x509.load_der_x509_crl(stores.status.crl(root.id).der)
    assert crl.is_signature_valid(x509.load_der_x509_certificate(root.der).public_key())
    entries = [
        (
            one.serial_number,
            one.revocation_date_utc,
            one.extensions.get_extension_for_class(x509.CRLReason).value.reason,
        )
        for one in crl
    ]
    return entries, crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def serial_of(world, authority_id):
    """Return the serial number of an authority's certificate."""
    with world.work.read() as stores:
        return x509.load_der_x509_certificate(stores.authorities.get(authority_id).der).serial_number


def retire(world, **more):
    """Retire the old authority, and finish."""
    leaving.retire(world.services, actor=OPERATOR, abandon_missing=True, **more)
    return leaving.finish_leaving(world.services, actor=OPERATOR)


@pytest.mark.parametrize(
    ("compromised", "reason"),
    [(False, RevocationReason.SUPERSEDED), (True, RevocationReason.CA_COMPROMISE)],
)
def test_a_retired_authority_is_listed_at_once(world, compromised, reason):
    """The root's CRL has its serial number, the moment of the retirement and the reason; then no further CRL is due."""
    made = draining(world)
    world.clock.turn(hours=3)
    moment = world.clock.now()
    retire(world, compromised=compromised)
    assert listed(world) == ([(serial_of(world, made.old_id), moment, REASONS[reason])], 2)
    assert root_crl.root_list_due(world.services) is False
    assert root_crl.unlisted_authorities(world.services) == ()


def test_a_withdrawn_authority_is_listed(world):
    """Also a certificate that was never used was signed by the root, and its key may have been copied."""
    made = preparing.prepare(world.services, actor=OPERATOR).value
    moving.undo(world.services, actor=OPERATOR)
    leaving.finish_leaving(world.services, actor=OPERATOR)
    entry = (serial_of(world, made.new_id), NOON, REASONS[RevocationReason.CESSATION_OF_OPERATION])
    assert listed(world)[0] == [entry]


def test_with_an_offline_root_a_person_signs_the_list(world):
    """The rollover ends without the root's key; the authority counts as unlisted until the export has signed."""
    pem = founding.export_root(world.services, passphrase=PASSPHRASE, actor=OPERATOR)
    made = draining(world)
    founding.remove_root_key(world.services, exported=pem, passphrase=PASSPHRASE, actor=OPERATOR)
    assert retire(world).state is RolloverState.RETIRED
    assert listed(world) == ([], 1)
    assert [one.id for one in root_crl.unlisted_authorities(world.services)] == [made.old_id]
    assert root_crl.root_list_due(world.services) is False
    root_crl.renew_exported_root_list(world.services, exported=pem, passphrase=PASSPHRASE, actor=OPERATOR)
    assert [one[0] for one in listed(world)[0]] == [serial_of(world, made.old_id)]
    assert root_crl.unlisted_authorities(world.services) == ()


def test_a_list_without_a_retired_authority_is_due_at_once(world):
    """An authority that was retired before root CRLs listed any is listed by the next look of `serve`."""
    made = draining(world)
    with world.work.change() as stores:
        stores.authorities.retire(made.old_id, NOON, RevocationReason.SUPERSEDED)
    assert root_crl.root_list_due(world.services) is True
    assert root_crl.renew_root_list(world.services, actor="system").number == 2
    assert [one[0] for one in listed(world)[0]] == [serial_of(world, made.old_id)]
    assert root_crl.renew_root_list(world.services, actor="system") is None


def test_an_authority_is_listed_until_one_list_after_its_end(world):
    """An entry leaves the CRL only after a CRL was made after the certificate's end (RFC 5280 section 3.3)."""
    made = draining(world)
    retire(world)
    with world.work.read() as stores:
        end = stores.authorities.get(made.old_id).not_after
    world.clock.turn(days=(end - world.clock.now()).days + 1)
    assert root_crl.unlisted_authorities(world.services) == ()
    for number, count in ((3, 1), (4, 0)):
        root_crl.renew_root_list(world.services, actor="system")
        assert (len(listed(world)[0]), listed(world)[1]) == (count, number)
        world.clock.turn(days=183)


class Meanwhile:
    """A unit of work in which something happens before one of its changes."""

    def __init__(self, work, number, act):
        self._work, self._left, self._act = work, number, act

    def __getattr__(self, name):
        return getattr(self._work, name)

    def change(self, **more):
        self._left -= 1
        if not self._left:
            self._act()
        return self._work.change(**more)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_command_and_serve_may_finish_together(world, number):
    """If `serve` finishes before any change of the command, the command finds the rollover retired; nothing is refused."""
    world.issue("alice")
    draining(world)
    leaving.retire(world.services, actor=OPERATOR, abandon_missing=True)

    def serve():
        leaving.finish_leaving(world.services, actor="system")

    work = Meanwhile(world.work, number, serve)
    done = leaving.finish_leaving(replace(world.services, work=work), actor=OPERATOR)
    assert done.state is RolloverState.RETIRED
    assert rollover_of(world) is None
    assert "issuing-1" not in world.keys.names()
