"""A person's own certificates: how they stand, names of devices, and a lost one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority.revocation import hold, revoke
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.directory.own_certificates import (
    SHOWN_AFTER_END,
    OwnCertificateStatus,
    find_own_certificate,
    list_own_certificates,
    name_own_device,
    renew_own_certificate,
    report_lost,
)
from tests.support.factor_records import session
from tests.support.refusals import refused
from tests.support.world import OPERATOR, World


def newest(world: World, name: str = "alice") -> str:
    """Issue a certificate and return its id."""
    return world.certificate(world.issue(name)).id


def test_each_certificate_says_how_it_stands(world: World) -> None:
    """Good, held, withdrawn; soon before its end, ended, and not shown any more long after."""
    alice = world.principal("alice").id
    good, held, withdrawn = newest(world), newest(world), newest(world)
    hold(world.services, held, OPERATOR)
    revoke(world.services, withdrawn, RevocationReason.SUPERSEDED, OPERATOR)
    newest(world, "bob")

    def statuses() -> dict[str, OwnCertificateStatus]:
        return {one.record.id: one.status for one in list_own_certificates(world.services, alice)}

    assert statuses() == {
        good: OwnCertificateStatus.GOOD,
        held: OwnCertificateStatus.HELD,
        withdrawn: OwnCertificateStatus.WITHDRAWN,
    }
    end = find_own_certificate(world.services, alice, good).record.not_after
    world.clock.present = end - timedelta(days=10)
    assert statuses()[good] is OwnCertificateStatus.SOON
    world.clock.present = end + timedelta(seconds=1)
    assert statuses()[good] is statuses()[held] is OwnCertificateStatus.ENDED
    assert not any(one.is_usable for one in list_own_certificates(world.services, alice))
    world.clock.present = end + SHOWN_AFTER_END
    assert statuses() == {}


def test_a_device_gets_a_name(world: World) -> None:
    """The name is kept without white space around it, is personal in the record, and can be taken away."""
    alice, certificate = world.principal("alice").id, newest(world)
    assert name_own_device(world.services, alice, certificate, " Büro-Laptop ") == "Büro-Laptop"
    assert find_own_certificate(world.services, alice, certificate).name == "Büro-Laptop"
    (event,) = world.events(EventType.CERTIFICATE_NAMED)
    assert "Büro-Laptop" not in repr(event.data)
    name_own_device(world.services, alice, certificate, "")
    assert find_own_certificate(world.services, alice, certificate).name == ""


@pytest.mark.parametrize("name", ["x" * 65, "two\nlines", "\x00", "turned \u202e round"])
def test_a_name_is_one_short_line(world: World, name: str) -> None:
    """Nothing that would disturb a page or a list."""
    with refused(MalformedInput, "device-name-malformed"):
        name_own_device(world.services, world.principal("alice").id, newest(world), name)


def test_a_lost_device_is_out(world: World) -> None:
    """The certificate is revoked, its sessions end, others stay, and the name survives beside the loss."""
    alice = world.principal("alice").id
    lost, other = newest(world), newest(world)
    name_own_device(world.services, alice, lost, "laptop")
    with world.services.work.change() as stores:
        for certificate in (lost, other):
            stores.sessions.add(session(certificate, principal_id=alice, certificate_id=certificate))
    done = report_lost(world.services, alice, lost)
    assert done.seq == world.head()
    found = find_own_certificate(world.services, alice, lost)
    assert (found.status, found.name) == (OwnCertificateStatus.WITHDRAWN, "laptop")
    assert found.lost_at == world.services.clock.now()
    assert found.record.reason is RevocationReason.KEY_COMPROMISE
    assert find_own_certificate(world.services, alice, other).record.state is CertificateState.VALID
    with world.services.work.read() as stores:
        open_now = stores.sessions.open_at(world.services.clock.now(), alice)
    assert [one.certificate_id for one in open_now] == [other]
    assert [one.actor for one in world.events(EventType.CERTIFICATE_LOST)] == [alice]
    with pytest.raises(RequestRefused):
        report_lost(world.services, alice, lost)


def test_what_a_lost_certificate_was_renewed_to_is_out_too(world: World) -> None:
    """A thief who renewed it in time keeps nothing; the certificate with which Alice comes, and others, stay."""
    alice, first, other = world.principal("alice").id, newest(world), newest(world)
    second, third, present = (
        renew_own_certificate(world.services, of, world.csr(), actor=alice).record.id
        for of in (first, first, other)
    )
    fourth = renew_own_certificate(world.services, second, world.csr(), actor=alice).record.id
    report_lost(world.services, alice, second, present=third)
    usable = {one.record.id for one in list_own_certificates(world.services, alice) if one.is_usable}
    assert usable == {third, other, present}
    assert all(find_own_certificate(world.services, alice, one).lost_at for one in (first, second, fourth))


def test_the_certificate_of_another_is_unknown(world: World) -> None:
    """A person names, sees and revokes no certificate but her own."""
    alice, of_bob = world.principal("alice").id, newest(world, "bob")
    for attempt in (
        lambda: find_own_certificate(world.services, alice, of_bob),
        lambda: name_own_device(world.services, alice, of_bob, "mine"),
        lambda: report_lost(world.services, alice, of_bob),
    ):
        with refused(NotFound, "certificate-unknown"):
            attempt()
    assert (
        find_own_certificate(world.services, world.principal("bob").id, of_bob).status
        is OwnCertificateStatus.GOOD
    )
