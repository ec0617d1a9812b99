"""One-time invitations: one link, one certificate."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from doorward.audit.events import EventType
from doorward.core.certificate import CertificateState
from doorward.core.errors import MalformedInput, NotFound, RequestRefused, Unavailable
from doorward.directory import invitations, inviting, removal
from doorward.directory import principals as directory
from doorward.enrolment import invitation
from doorward.stores.records import CertificateFilter
from tests.support.interleaving import ProcessDiedError, before_change, die_at
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR


def invite(world, name="alice", **options):
    """Invite somebody."""
    return inviting.invite(world.services, name, actor=OPERATOR, **options)


def redeem(world, token, csr=None):
    """Redeem a token from a fixed address."""
    return invitation.redeem(world.services, token, csr or world.csr(), source_address="192.0.2.9")


def stored(world, invited):
    """The invitation as it is now."""
    with world.work.read() as stores:
        return stores.invitations.by_token(invited.record.token_sha256)


def assert_invalid(world, token, why):
    """Assert the one refusal, and return it with its event."""
    with refused(RequestRefused, "invitation-invalid") as refusal:
        redeem(world, token)
    event = world.events(EventType.INVITATION_REFUSED)[-1]
    assert event.data["reason"] == why
    assert event.personal["source"] == "192.0.2.9"
    return refusal.value, event


def certificates(world, name="alice"):
    """Return all records of a principal's certificates."""
    with world.work.read() as stores:
        return stores.certificates.list(CertificateFilter(principal_id=stores.directory.by_name(name).id))


def test_link_becomes_a_certificate(world):
    """Redeeming issues the invited principal's certificate, and the invitation has its id."""
    invited = invite(world)
    issued = redeem(world, invited.token)
    certificate = x509.load_der_x509_certificate(issued.chain_der[0])
    assert certificate.subject.rfc4514_string() == "CN=alice"
    assert issued.record.state is CertificateState.VALID
    record = stored(world, invited)
    assert (record.used_at, record.certificate_id) == (NOON, issued.record.id)
    event = world.events(EventType.INVITATION_REDEEMED)[-1]
    assert event.actor == event.data["invitation"] == invited.record.id
    assert event.data["certificate"] == issued.record.id


def test_link_works_once(world):
    """A used token is refused, and makes no second certificate."""
    invited = invite(world)
    redeem(world, invited.token)
    _, event = assert_invalid(world, invited.token, "invitation-used")
    assert event.data["invitation"] == invited.record.id
    assert len(certificates(world)) == 1


def test_link_expires(world):
    """A token is refused from its end on."""
    invited = invite(world)
    world.clock.turn(hours=24)
    assert_invalid(world, invited.token, "invitation-expired")
    assert stored(world, invited).used_at is None


@pytest.mark.parametrize("token", ["", "A" * 43, "A" * 100_000, "\ud800", "zwölf", "a b"])
def test_unknown_tokens_are_refused(world, token):
    """Any other text is refused."""
    _, event = assert_invalid(world, token, "invitation-unknown")
    assert event.actor == "system"


def test_every_fault_looks_the_same(world):
    """The peer cannot distinguish unknown, used, voided and expired tokens; the operator can."""
    used = invite(world)
    redeem(world, used.token)
    voided, expired = invite(world), invite(world, lifetime=timedelta(minutes=1))
    world.clock.turn(minutes=1)
    words = {
        (error.code, error.detail, error.hint, tuple(error.context))
        for error, _ in (
            assert_invalid(world, "A" * 43, "invitation-unknown"),
            assert_invalid(world, used.token, "invitation-used"),
            assert_invalid(world, voided.token, "invitation-voided"),
            assert_invalid(world, expired.token, "invitation-expired"),
        )
    }
    assert len(words) == 1


@pytest.mark.parametrize("csr", [b"nonsense", b"x" * 20_000])
def test_malformed_request_does_not_burn_the_token(world, csr):
    """After a malformed request the token can be used again."""
    invited = invite(world)
    with pytest.raises(MalformedInput):
        redeem(world, invited.token, csr)
    assert stored(world, invited).used_at is None
    assert redeem(world, invited.token).record.state is CertificateState.VALID


def voidings(world):
    """Return (invitation, reason) of the voided invitations."""
    events = world.events(EventType.INVITATION_VOIDED)
    assert all(event.actor == OPERATOR and event.personal["name"] == "alice" for event in events)
    return [(event.data["invitation"], event.data["reason"]) for event in events]


def test_an_invitation_voids_the_one_before_it(world):
    """A new invitation voids the earlier one, which may have been lost in a mailbox."""
    first, second = invite(world), invite(world)
    other = invite(world, "bob")
    assert (first.notes, second.notes, other.notes) == ((), ("1 open link was withdrawn",), ())
    assert voidings(world) == [(first.record.id, "superseded")]
    assert_invalid(world, first.token, "invitation-voided")
    assert stored(world, first).voided_at == NOON
    assert redeem(world, second.token)


def test_suspending_voids_the_link_for_good(world):
    """After a suspension and a resumption the old link stays void."""
    invited = invite(world)
    done = directory.suspend(world.services, "alice", actor=OPERATOR)
    assert done.notes == ("1 open link was withdrawn",)
    assert voidings(world) == [(invited.record.id, "principal-suspended")]
    assert_invalid(world, invited.token, "invitation-voided")
    assert directory.resume(world.services, "alice", actor=OPERATOR).notes == ()
    assert_invalid(world, invited.token, "invitation-voided")
    assert certificates(world) == []


def test_used_and_expired_invitations_are_not_voided(world):
    """Only an open invitation is voided: the log has one end for each link."""
    redeem(world, invite(world).token)
    invite(world, lifetime=timedelta(minutes=1))
    world.clock.turn(minutes=1)
    assert invite(world).notes == ()
    assert voidings(world) == []


def test_a_link_is_withdrawn_by_its_id(world):
    """An operator lists the open links and withdraws one; doing it twice changes nothing."""
    invited, other = invite(world), invite(world, "bob")
    names = [(record.id, name) for record, name in invitations.list_open(world.services)]
    assert sorted(names) == sorted([(invited.record.id, "alice"), (other.record.id, "bob")])
    assert invitations.list_open(world.services, "alice") == [(invited.record, "alice")]
    record = invitations.withdraw(world.services, invited.record.id, actor=OPERATOR)
    assert record == stored(world, invited)
    assert voidings(world) == [(invited.record.id, "withdrawn")]
    assert_invalid(world, invited.token, "invitation-voided")
    assert invitations.list_open(world.services, "alice") == []
    assert invitations.withdraw(world.services, invited.record.id, actor=OPERATOR) == record
    assert len(voidings(world)) == 1


def test_only_open_invitations_are_withdrawn(world):
    """An unknown id and a used link are refused, and nothing is recorded."""
    with refused(NotFound, "invitation-unknown"):
        invitations.withdraw(world.services, "inv_nobody", actor=OPERATOR)
    with pytest.raises(NotFound):
        invitations.list_open(world.services, "nobody")
    used = invite(world)
    redeem(world, used.token)
    with pytest.raises(RequestRefused) as refusal:
        invitations.withdraw(world.services, used.record.id, actor=OPERATOR)
    assert "invitation-used" in refusal.value.detail
    assert voidings(world) == []


def test_withdrawn_between_look_and_claim(world):
    """A link that is withdrawn while it is redeemed gives no certificate, and the event has the reason."""
    invited = invite(world)
    before_change(world, 1, lambda: invitations.withdraw(world.services, invited.record.id, actor=OPERATOR))
    assert_invalid(world, invited.token, "invitation-voided")
    assert certificates(world) == []


def test_removed_principal_has_no_invitation_left(world):
    """The invitation of a removed person is void, also for a new person with this name."""
    invited = invite(world)
    removal.remove(world.services, "alice", actor=OPERATOR)
    from doorward.core.entities import PrincipalKind

    directory.add_principal(world.services, PrincipalKind.PERSON, "alice", actor=OPERATOR)
    assert_invalid(world, invited.token, "invitation-voided")
    assert voidings(world) == [(invited.record.id, "principal-removed")]
    assert certificates(world) == []


def test_one_of_two_simultaneous_attempts_wins(world):
    """If two redeem one token at once, one gets a certificate, the other the usual refusal."""
    invited = invite(world)
    winners = []
    before_change(world, 1, lambda: winners.append(redeem(world, invited.token)))
    assert_invalid(world, invited.token, "invitation-used")
    assert [one.id for one in certificates(world)] == [winners[0].record.id]


@pytest.mark.parametrize(("moment", "used", "rows"), [(1, False, 0), (2, True, 1)])
def test_death_while_redeeming_makes_no_certificate(world, moment, used, rows):
    """A crash before the claim leaves the token open; after it the token is used."""
    invited = invite(world)
    die_at(world, moment)
    with pytest.raises(ProcessDiedError):
        redeem(world, invited.token)
    assert (stored(world, invited).used_at is not None) is used
    kept = certificates(world)
    assert len(kept) == rows
    assert all(one.state is CertificateState.INTENDED for one in kept)


def test_missing_database_uses_no_token(world):
    """If the database cannot be read, the token can be used later."""
    invited = invite(world)
    world.work.broken = Unavailable("store-unavailable", "away")
    with pytest.raises(Unavailable):
        redeem(world, invited.token)
    world.work.broken = None
    assert stored(world, invited).used_at is None
