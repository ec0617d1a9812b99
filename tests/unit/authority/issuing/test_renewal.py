"""The gate of renewal, and lines with two holders of keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.authority.issuing import Issued, renew, renewal
from doorward.authority.orders import fill_order, place_order
from doorward.authority.rollover import moving, preparing
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.ports import KeyKind
from doorward.directory import principals as directory
from doorward.directory.removal import remove
from doorward.pki.csr import build_csr
from doorward.stores.line_protocols import SuspectedClone
from doorward.stores.records import CertificateFilter
from doorward.stores.renewal_terms import RenewalTerms
from tests.support.interleaving import ProcessDiedError, before_change, die_at
from tests.support.ports import PlainKeys
from tests.support.refusals import refused
from tests.support.world import OPERATOR, Held, World

LOST = RevocationReason.KEY_COMPROMISE
DEVICE_DAYS = 365


def renewed(world: World, of: Held, request: bytes | None = None, **how: object) -> Issued:
    """Renew a certificate."""
    record = of.record
    return renew(world.services, record, request or world.csr(), actor=record.principal_id or "system", **how)


def later(world: World) -> None:
    """A successor may be renewed now: a third of its life is over."""
    world.clock.turn(days=DEVICE_DAYS / 3)


def holding(world: World, issued: Issued) -> Held:
    """A renewed certificate; its key does not matter."""
    return Held(record=issued.record, chain_der=issued.chain_der, key=world.held[0].key)


def valid_of(world: World, held: Held) -> int:
    """How many certificates of the holder are valid, or were when they ended."""
    with world.work.read() as stores:
        every = stores.certificates.list(CertificateFilter(principal_id=held.record.principal_id))
    return sum(one.state is CertificateState.VALID for one in every)


def suspicions(world: World) -> list[SuspectedClone]:
    """The suspicions that are not cleared."""
    with world.work.read() as stores:
        return list(stores.suspected_clones.list())


def under(world: World, **terms: object) -> None:
    """Put other terms in force."""
    world.services = replace(world.services, renewal=RenewalTerms(**terms))


# the line


def test_the_same_key_again_gives_the_same_certificate(world):
    """A lost answer is repeated: no second certificate is intended, signed or recorded."""
    sensor, request = world.issue("sensor-1"), world.csr()
    first, again = renewed(world, sensor, request), renewed(world, sensor, request)
    assert again.record == first.record
    assert again.chain_der == first.chain_der
    assert (first.is_new, again.is_new) == (True, False)
    assert (
        len(world.events(EventType.CERTIFICATE_INTENDED)) == 2
    )  # that of the first certificate, and one renewal


def test_another_key_for_an_older_certificate_is_a_suspected_clone(world):
    """It is refused, the newest certificate of the line is named, and nothing is issued."""
    sensor = world.issue("sensor-1")
    second = renewed(world, sensor)
    later(world)
    third = renewed(world, holding(world, second))
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, sensor)
    assert valid_of(world, sensor) == 3
    (event,) = world.events(EventType.CERTIFICATE_CLONE_SUSPECTED)
    assert (event.data["certificate"], event.data["shown"]) == (third.record.id, sensor.record.id)
    assert event.data["principal"] == world.principal("sensor-1").id
    (found,) = suspicions(world)
    assert (found.certificate_id, found.shown_id, found.number) == (third.record.id, sensor.record.id, 1)


def test_an_operators_wrong_choice_is_no_clone(world):
    """An operator names a certificate and has not its key: the refusal is all."""
    sensor = world.issue("sensor-1")
    renewed(world, sensor)
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, sensor, is_proven=False)
    assert suspicions(world) == []


def test_a_line_is_told_once_an_hour(world):
    """Every further try is counted; the next event has the number of those that were not told."""
    sensor = world.issue("sensor-1")
    renewed(world, sensor)
    for _ in range(5):
        with refused(RequestRefused, "renewal-superseded"):
            renewed(world, sensor)
    assert len(world.events(EventType.CERTIFICATE_CLONE_SUSPECTED)) == 1
    assert (suspicions(world)[0].number, suspicions(world)[0].untold) == (5, 4)
    world.clock.turn(hours=1)
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, sensor)
    assert [one.data["number"] for one in world.events(EventType.CERTIFICATE_CLONE_SUSPECTED)] == [1, 5]
    assert (suspicions(world)[0].number, suspicions(world)[0].untold) == (6, 0)


def test_a_suspicion_follows_the_line_until_an_operator_decides(world):
    """It moves to the next certificate of the line; `cert release` ends it, and so does the revocation."""
    for end in ("release", "revoke"):
        sensor = world.issue("sensor-1")
        second = renewed(world, sensor)
        with refused(RequestRefused, "renewal-superseded"):
            renewed(world, sensor)
        later(world)
        third = renewed(world, holding(world, second))
        (found,) = suspicions(world)
        assert found.certificate_id == third.record.id
        state = CertificateState.VALID if end == "release" else CertificateState.REVOKED
        done = revocation.ensure_state(world.services, third.record.id, state, actor=OPERATOR)
        assert suspicions(world) == []
        assert bool(done.notes) is (end == "release")
    assert len(world.events(EventType.CERTIFICATE_CLONE_CLEARED)) == 1


def test_a_revoked_line_is_not_suspected_again(world):
    """An operator has decided; the old device may go on trying."""
    sensor = world.issue("sensor-1")
    revocation.revoke(world.services, renewed(world, sensor).record.id, LOST, OPERATOR)
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, sensor)
    assert suspicions(world) == []


def test_a_suspected_line_is_held_if_the_settings_say_so(world):
    """The newest certificate is put on hold; another certificate of the same device is not, and a release ends both."""
    under(world, hold_suspected_clones=True)
    sensor, other = world.issue("sensor-1"), world.issue("sensor-1")
    newest = renewed(world, sensor).record
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, sensor)
    with world.work.read() as stores:
        states = [
            stores.certificates.get(one).state for one in (sensor.record.id, newest.id, other.record.id)
        ]
    assert states == [CertificateState.VALID, CertificateState.ON_HOLD, CertificateState.VALID]
    revocation.ensure_state(world.services, newest.id, CertificateState.VALID, actor=OPERATOR)
    assert suspicions(world) == []
    later(world)
    assert renewed(world, Held(record=newest, chain_der=(), key=sensor.key)).record.replaces == newest.id


def test_nothing_is_held_without_the_setting_nor_of_a_person(world):
    """By default the thief of an old key cannot stop a device; a person is never held."""
    sensor, alice = world.issue("sensor-1"), world.issue("alice")
    newest = renewed(world, sensor).record
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, sensor)
    under(world, hold_suspected_clones=True)
    own = renewed(world, alice).record
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, alice)
    with world.work.read() as stores:
        assert {stores.certificates.get(one.id).state for one in (newest, own)} == {CertificateState.VALID}


def test_a_persons_certificate_may_branch_at_the_portal_only(world):
    """One certificate in two browsers has two successors at the portal; on every other route it has one."""
    alice = world.issue("alice")
    renewed(world, alice, may_branch=True)
    renewed(world, alice, may_branch=True)
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, alice)
    sensor = world.issue("sensor-1")
    renewed(world, sensor, may_branch=True)
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, sensor, may_branch=True)


def test_a_withdrawn_successor_is_not_handed_out_again(world):
    """If the successor was revoked, the same key gets no certificate."""
    sensor, request = world.issue("sensor-1"), world.csr()
    first = renewed(world, sensor, request)
    revocation.revoke(world.services, first.record.id, LOST, OPERATOR)
    with refused(RequestRefused, "certificate-not-renewable"):
        renewed(world, sensor, request)


def test_of_two_requests_at_once_one_certificate_becomes_valid(world):
    """With the same key both get the same one; with another key the second is a suspected clone."""
    sensor, request = world.issue("sensor-1"), world.csr()
    made: list[Issued] = []
    before_change(world, 2, lambda: made.append(renewed(world, sensor, request)))
    assert renewed(world, sensor, request).record == made[0].record
    other, made = world.issue("sensor-1"), []
    world.work.__dict__.pop("change")
    before_change(world, 2, lambda: made.append(renewed(world, other)))
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, other)
    assert valid_of(world, sensor) == 4
    assert [one.shown_id for one in suspicions(world)] == [other.record.id]


def test_a_death_between_intent_and_certificate_locks_no_client_out(world):
    """The next request with the same key succeeds; the intent never becomes valid."""
    sensor, request = world.issue("sensor-1"), world.csr()
    die_at(world, 2)
    with pytest.raises(ProcessDiedError):
        renewed(world, sensor, request)
    world.work.__dict__.pop("change")
    assert renewed(world, sensor, request).record.replaces == sensor.record.id
    assert valid_of(world, sensor) == 2


# the key


def test_a_key_that_was_certified_is_refused(world):
    """The old key, another principal's, a server's and an authority's own: none gets a new certificate."""
    sensor, ledger = world.issue("sensor-1"), world.issue("ledger")
    server = PlainKeys().generate(KeyKind.P256)
    order = place_order(
        world.services, world.gateway().id, "apps", ["payments.corp.example"], build_csr(server, "x")
    )
    fill_order(world.services, order.id, actor="system")
    with world.work.read() as stores:
        authorities = [world.keys.load(one.key_name) for one in stores.authorities.list()]
    assert len(authorities) == 3
    for key in (sensor.key, ledger.key, server, *authorities):
        with refused(RequestRefused, "key-used-before"):
            renewed(world, sensor, build_csr(key, "sensor-1"))
    assert valid_of(world, sensor) == 1


def test_a_key_that_is_certified_meanwhile_is_refused(world):
    """If another principal gets a certificate for this key during the renewal, the renewal does not become valid."""
    sensor, ledger, key = world.issue("sensor-1"), world.issue("ledger"), PlainKeys().generate(KeyKind.P256)
    before_change(world, 2, lambda: renewed(world, ledger, build_csr(key, "x")))
    with refused(RequestRefused, "key-used-before"):
        renewed(world, sensor, build_csr(key, "x"))
    assert valid_of(world, sensor) == 1


def test_a_malformed_request_changes_nothing(world):
    """It is refused, and the certificate can be renewed afterwards."""
    sensor = world.issue("sensor-1")
    with refused(MalformedInput, "csr-malformed"):
        renewed(world, sensor, b"nonsense")
    assert renewed(world, sensor).record.replaces == sensor.record.id


# the way back


@pytest.mark.parametrize(("name", "life"), [("sensor-1", 365), ("ledger", 90)])
def test_a_sleeper_comes_back_once(world, name, life):
    """A certificate that ended within the period is renewed, once, to a new key; one second later it is not."""
    held = world.issue(name)
    world.clock.turn(days=life + 30)
    with refused(RequestRefused, "key-used-before"):
        renewed(world, held, build_csr(held.key, name))
    assert renewed(world, held).record.replaces == held.record.id
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, held)


@pytest.mark.parametrize(("name", "life"), [("sensor-1", 365 + 30), ("ledger", 90 + 30), ("alice", 90)])
def test_after_the_period_there_is_no_way_back(world, name, life):
    """A person has no period: the portal is the way back."""
    held = world.issue(name)
    world.clock.turn(days=life, seconds=1)
    with refused(RequestRefused, "certificate-not-renewable") as refusal:
        renewed(world, held)
    assert f"doorward invite {name}" in refusal.value.hint


def test_the_period_is_a_setting(world):
    """0 days is no way back."""
    under(world, device_after_end=timedelta(0), service_after_end=timedelta(days=1))
    sensor, ledger = world.issue("sensor-1"), world.issue("ledger")
    world.clock.turn(days=90, hours=12)
    assert renewed(world, ledger).record.replaces == ledger.record.id
    world.clock.turn(days=275)
    with refused(RequestRefused, "certificate-not-renewable"):
        renewed(world, sensor)


def test_an_ended_certificate_opens_nothing_and_can_be_revoked(world):
    """It is refused at the door, and its revocation ends the way back."""
    sensor = world.issue("sensor-1")
    world.clock.turn(days=366)
    assert "certificate-expired" in [one.value for one in world.decide(sensor.der, "sensors").verdict.reasons]
    revocation.revoke(world.services, sensor.record.id, LOST, OPERATOR)
    with refused(RequestRefused, "certificate-not-renewable"):
        renewed(world, sensor)


def test_a_sleeper_is_not_renewed_by_an_older_certificate(world):
    """Only the newest of its line comes back."""
    sensor = world.issue("sensor-1")
    world.clock.turn(days=300)
    newest = renewed(world, sensor)
    world.clock.turn(days=90)
    with refused(RequestRefused, "renewal-superseded"):
        renewed(world, sensor)
    world.clock.turn(days=300)
    assert renewed(world, holding(world, newest)).record.replaces == newest.record.id


# standing


def withdraw_principal(world: World) -> None:
    """Suspend the device."""
    directory.suspend(world.services, "sensor-1", actor=OPERATOR)


def remove_principal(world: World) -> None:
    """Remove the device."""
    remove(world.services, "sensor-1", actor=OPERATOR)


@pytest.mark.parametrize("moment", [0, 1, 2])
@pytest.mark.parametrize("withdraw", [withdraw_principal, remove_principal])
def test_a_holder_who_is_withdrawn_gets_nothing(world, moment, withdraw):
    """Before the renewal, before the intent and before the certificate becomes valid: nothing becomes valid."""
    sensor = world.issue("sensor-1")
    if moment:
        before_change(world, moment, lambda: withdraw(world))
    else:
        withdraw(world)
    with pytest.raises(RequestRefused) as refusal:
        renewed(world, sensor)
    assert refusal.value.code in {"principal-suspended", "principal-removed", "certificate-not-renewable"}
    assert valid_of(world, sensor) <= 1


def test_a_server_does_not_renew_here(world):
    """A gateway's certificate belongs to no principal."""
    order = place_order(world.services, world.gateway().id, "apps", ["payments.corp.example"], world.csr())
    issued = fill_order(world.services, order.id, actor="system")
    with refused(RequestRefused, "certificate-not-renewable"):
        renewed(world, Held(record=issued.record, chain_der=(), key=PlainKeys().generate(KeyKind.P256)))


# how often


def test_a_line_is_renewed_when_it_is_due(world):
    """A stolen key gets one certificate, and the next one after a third of its life; the same request is answered."""
    request = world.csr()
    first = world.issue("sensor-1")
    second = holding(world, renewed(world, first, request))
    with refused(RequestRefused, "renewal-too-early") as refusal:
        renewed(world, second)
    seconds = refusal.value.context["retry_after_seconds"]
    assert DEVICE_DAYS / 3 - 1 < seconds / 86400 < DEVICE_DAYS / 3
    assert renewed(world, first, request).record.id == second.record.id
    world.clock.turn(seconds=seconds - 1)
    with refused(RequestRefused, "renewal-too-early"):
        renewed(world, second)
    world.clock.turn(seconds=1)
    assert renewed(world, second).record.replaces == second.record.id
    assert len(world.events(EventType.CERTIFICATE_INTENDED)) == 3


def test_an_operator_renews_at_any_time(world):
    """The operator has no stolen key; and a person at the portal is bounded by the number of valid certificates."""
    second = holding(world, renewed(world, world.issue("sensor-1")))
    third = renewed(world, second, is_proven=False, may_branch=True)
    with refused(RequestRefused, "renewal-too-early"):
        renewed(world, holding(world, third), may_branch=True)
    alice = holding(world, renewed(world, world.issue("alice"), may_branch=True))
    assert renewed(world, alice, may_branch=True).is_new


def test_a_rollover_renews_early(world):
    """What an authority issued that is being replaced is renewed at any time; its successor is not of this authority."""
    second = holding(world, renewed(world, world.issue("sensor-1")))
    preparing.prepare(world.services, actor=OPERATOR)
    moving.activate(world.services, actor=OPERATOR)
    moving.drain(world.services, actor=OPERATOR)
    third = holding(world, renewed(world, second))
    assert third.record.authority_id != second.record.authority_id
    with refused(RequestRefused, "renewal-too-early"):
        renewed(world, third)


def test_a_chain_that_ends_soon_renews_early(world, monkeypatch):
    """If an authority above it ends before the certificate, the moment that the agent is told is early enough."""
    second = holding(world, renewed(world, world.issue("sensor-1")))
    for moment, is_early in ((world.clock.now() + timedelta(seconds=1), True), (world.clock.now(), False)):
        monkeypatch.setattr(renewal, "must_renew", lambda *_, moment=moment: moment)
        if is_early:
            with refused(RequestRefused, "renewal-too-early"):
                renewed(world, second)
        else:
            assert renewed(world, second).is_new


def test_renewals_of_a_day_are_limited(world):
    """Beyond the limit the answer says when the next one is possible; another principal is not affected."""
    under(world, most_per_day=3)
    sensor, ledger = world.issue("sensor-1"), world.issue("ledger")
    for _ in range(3):
        renewed(world, world.issue("sensor-1"))
        world.clock.turn(hours=1)
    with refused(RequestRefused, "renewals-too-many") as refusal:
        renewed(world, sensor)
    assert refusal.value.context["retry_after_seconds"] == 21 * 3600
    assert renewed(world, ledger).record.replaces == ledger.record.id
    world.clock.turn(hours=21, seconds=1)
    assert renewed(world, sensor).record.replaces == sensor.record.id


def test_the_usual_limit_leaves_room_for_short_lives():
    """Eight instances of a service with certificates of one hour renew every 40 minutes."""
    assert RenewalTerms().most_per_day >= 8 * 36
