"""A new certificate by passkey: who gets one, when, and who does not."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from doorward.audit.events import EventType
from doorward.authority.issuing import Issued
from doorward.authority.revocation import hold, revoke
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.directory.challenges import LIFETIME, MOST_USED, Challenges
from doorward.directory.own_certificates import list_own_certificates, report_lost
from doorward.directory.passkey_renewal import PasskeyClaim, PasskeyRenewer
from doorward.directory.principals import suspend
from doorward.factors.verdict import FactorFault
from doorward.factors.webauthn import (
    RelyingParty,
)
from doorward.wire.base64url import render_base64url
from tests.support.passkeys import PRESENT, SoftAuthenticator, enrol_passkey
from tests.support.ports import NOON, FakeRandom
from tests.support.world import OPERATOR, World, found_world

HOST = "portal.corp.example"
PARTY = RelyingParty(id=HOST, origin=f"https://{HOST}", name="Corp")
DAY = timedelta(days=1)


@dataclass(kw_only=True)
class Setting:
    """Alice with one certificate and one passkey, and what renews by passkey."""

    world: World
    renewer: PasskeyRenewer
    authenticator: SoftAuthenticator

    @property
    def alice(self) -> str:
        """Alice's id."""
        return self.world.principal("alice").id

    def answer(self, **wrong: Any) -> str:
        """Use the passkey for a fresh question."""
        return self.authenticator.get(self.renewer.ask(PARTY), **wrong)

    def renew(self, answer: str = "", **more: Any) -> Issued:
        """Ask for a certificate with a fresh answer, or that one."""
        return self.renewer.renew(answer or self.answer(), self.world.csr(), party=PARTY, **more)

    def refused(self, answer: str = "", **more: Any) -> str:
        """Ask, and return the code of the refusal."""
        with pytest.raises(RequestRefused) as error:
            self.renew(answer, **more)
        return error.value.code

    def end(self, later: timedelta = timedelta(seconds=1)) -> None:
        """Let Alice's newest certificate end, so long ago."""
        self.world.clock.present = (
            list_own_certificates(self.world.services, self.alice)[0].record.not_after + later
        )

    def valid(self) -> int:
        """Return how many certificates of Alice the door would let in."""
        return sum(one.is_usable for one in list_own_certificates(self.world.services, self.alice))

    def reasons(self) -> list[str]:
        """Return the reasons of the last recorded refusal."""
        return list(self.world.events(EventType.RENEWAL_REFUSED)[-1].data["reasons"])


@pytest.fixture
def setting() -> Setting:
    """Alice with a certificate and a passkey."""
    world = found_world()
    world.issue("alice")
    authenticator = SoftAuthenticator(origin=PARTY.origin)
    enrol_passkey(world.services, world.principal("alice"), PARTY, authenticator)
    return Setting(world=world, renewer=PasskeyRenewer(world.services), authenticator=authenticator)


def test_an_ended_certificate_is_renewed(setting: Setting) -> None:
    """The new one is Alice's, says that it follows the ended one, and the record names the passkey."""
    setting.end(timedelta(days=29))
    issued = setting.renew()
    assert issued.record.subject_name == "alice"
    assert issued.record.replaces
    assert setting.valid() == 1
    (granted,) = setting.world.events(EventType.RENEWAL_GRANTED)
    assert granted.data["certificate"] == issued.record.id


def test_a_valid_certificate_is_not_doubled(setting: Setting) -> None:
    """A passkey alone brings no second certificate while one is good."""
    assert setting.refused() == "renewal-not-due"
    assert setting.valid() == 1


def test_a_passkey_that_names_no_person_is_refused(setting: Setting) -> None:
    """There is no caller, so the passkey must identify the person (WebAuthn section 7.2, step 6)."""
    setting.end()
    assert setting.refused(setting.answer(named=False)) == "passkey-refused"
    assert setting.reasons() == [FactorFault.USER.value]


def test_it_is_too_late_after_some_days(setting: Setting) -> None:
    """The configured number of days counts, from the end of the certificate."""
    setting.end(timedelta(days=30, seconds=1))
    assert setting.refused() == "renewal-too-late"
    setting.renewer = PasskeyRenewer(setting.world.services, within=timedelta(days=31))
    assert setting.renew()


def test_a_lost_laptop_is_replaced(setting: Setting) -> None:
    """After her own report Alice gets a new certificate at once, and the lost one stays revoked."""
    lost = list_own_certificates(setting.world.services, setting.alice)[0].record
    report_lost(setting.world.services, setting.alice, lost.id)
    assert setting.renew().record.replaces == lost.id
    assert setting.valid() == 1


def test_the_loss_can_be_reported_with_the_passkey(setting: Setting) -> None:
    """On a new device the same act revokes the lost one's certificate and brings a new one."""
    issued = setting.renew(lost=True)
    first = list_own_certificates(setting.world.services, setting.alice)[1]
    assert first.lost_at is not None
    assert first.record.state is CertificateState.REVOKED
    assert issued.record.replaces == first.record.id
    assert setting.valid() == 1


def test_what_an_administrator_revoked_stays_away(setting: Setting) -> None:
    """Also with the reason that a loss has, and also if the person calls it lost."""
    certificate = list_own_certificates(setting.world.services, setting.alice)[0].record
    revoke(setting.world.services, certificate.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    assert setting.refused() == "renewal-withdrawn"
    assert setting.refused(lost=True) == "renewal-withdrawn"


def test_a_certificate_on_hold_is_not_gone_around(setting: Setting) -> None:
    """An administrator looks into something; also if the person calls it lost."""
    certificate = list_own_certificates(setting.world.services, setting.alice)[0].record
    hold(setting.world.services, certificate.id, OPERATOR)
    setting.world.issue("alice")
    assert setting.refused(lost=True) == "renewal-held"
    assert setting.valid() == 1


def test_a_suspended_person_gets_none(setting: Setting) -> None:
    """The passkey still says who it is, and the directory says no; nothing is revoked for nothing."""
    suspend(setting.world.services, "alice", actor=OPERATOR)
    assert setting.refused(lost=True) == "principal-suspended"
    assert setting.valid() == 1
    setting.end()
    assert setting.refused() == "principal-suspended"


def test_who_never_had_a_certificate_gets_none(setting: Setting) -> None:
    """A passkey renews; it begins nothing."""
    with setting.world.services.work.change() as stores:
        (mine,) = stores.factors.of_principal(setting.alice)
        stores.factors.remove(mine.id)
        stores.factors.add(replace(mine, principal_id=setting.world.principal("bob").id))
    setting.authenticator.keys[0].user_handle = setting.world.principal("bob").id.encode()
    assert setting.refused() == "renewal-without-certificate"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"flags": PRESENT}, "user-not-verified"),
        ({"rp_id": "corp.example"}, "relying-party-wrong"),
        ({"origin": "https://evil.example"}, "origin-wrong"),
        ({"crossOrigin": True}, "not-top-level"),
        ({"type": "webauthn.create"}, "client-data-type-wrong"),
        ({"challenge": render_base64url(b"c" * 32)}, "challenge-wrong"),
        ({"challenge": render_base64url(b"c" * 40)}, "challenge-wrong"),
    ],
)
def test_a_wrong_answer_is_one_word(setting: Setting, wrong: dict[str, Any], reason: str) -> None:
    """The peer hears `passkey-refused`, the record says why, and nothing is issued."""
    setting.end()
    assert setting.refused(setting.answer(**wrong)) == "passkey-refused"
    assert reason in setting.reasons()
    assert setting.valid() == 0


def test_an_answer_works_once(setting: Setting) -> None:
    """Also if what came of it was lost at once, and an authenticator does not count."""
    setting.authenticator.counting = False
    setting.end()
    answer = setting.answer()
    issued = setting.renew(answer)
    report_lost(setting.world.services, setting.alice, issued.record.id)
    assert setting.refused(answer) == "passkey-refused"
    assert setting.reasons() == ["challenge-wrong"]


def test_an_answer_that_is_refused_uses_up_nothing(setting: Setting) -> None:
    """A stranger who sees a challenge cannot spend it for the person."""
    setting.end()
    asked = setting.renewer.ask(PARTY)
    forged = json.loads(setting.authenticator.get(asked))
    forged["response"]["signature"] = render_base64url(b"forged")
    assert setting.refused(json.dumps(forged)) == "passkey-refused"
    assert setting.renew(setting.authenticator.get(asked))


def test_a_challenge_ends(setting: Setting) -> None:
    """Five minutes after it was made."""
    setting.end()
    answer = setting.answer()
    setting.world.clock.present += LIFETIME + timedelta(seconds=1)
    assert setting.refused(answer) == "passkey-refused"


def test_a_removed_passkey_is_unknown(setting: Setting) -> None:
    """So is every other factor: only an answer of a passkey that is enrolled is looked at."""
    setting.end()
    with setting.world.services.work.change() as stores:
        (mine,) = stores.factors.of_principal(setting.alice)
        stores.factors.remove(mine.id)
        stores.factors.add(replace(mine, kind=FactorKind.TOTP))
    assert setting.refused() == "passkey-refused"
    assert setting.reasons() == ["passkey-unknown"]


def claim_of(setting: Setting) -> PasskeyClaim:
    """Return the claim that Alice's checked passkey is."""
    with setting.world.services.work.read() as stores:
        (mine,) = stores.factors.of_principal(setting.alice)
    return PasskeyClaim(factor_id=mine.id, holder=setting.alice, name="alice", within=timedelta(days=30))


def test_of_two_renewals_at_once_one_wins(setting: Setting) -> None:
    """Another certificate became valid between the intent and the signature: this one is not handed out."""
    setting.end()
    claim, services = claim_of(setting), setting.world.services
    issued = setting.renew()
    with pytest.raises(RequestRefused) as error, services.work.change() as stores:
        claim.settle(services, stores, issued.record)
    assert error.value.code == "renewal-not-due"


def test_a_passkey_that_was_removed_meanwhile_gives_nothing(setting: Setting) -> None:
    """The claim looks again in the transaction of the intent."""
    setting.end()
    claim = claim_of(setting)
    with setting.world.services.work.change() as stores:
        stores.factors.remove(claim.factor_id)
        with pytest.raises(RequestRefused) as error:
            claim.examine(stores, setting.world.clock.now())
    assert error.value.code == "passkey-refused"


@pytest.mark.parametrize("text", ["hunter2", '{"password": "hunter2"}', '{"code": "123456"}', "{}"])
def test_no_other_factor_is_read(setting: Setting, text: str) -> None:
    """A password, a code of TOTP and a recovery code have no place in the answer."""
    setting.end()
    with pytest.raises(MalformedInput) as error:
        setting.renew(text)
    assert error.value.code == "webauthn-malformed"
    assert setting.valid() == 0


def test_a_broken_request_revokes_nothing(setting: Setting) -> None:
    """Even with the word that the device is lost."""
    with pytest.raises(MalformedInput):
        setting.renewer.renew(setting.answer(), b"not a request", party=PARTY, lost=True)
    assert setting.valid() == 1


def test_a_flood_of_wrong_answers_makes_no_events(setting: Setting) -> None:
    """Beyond the limit the web says so instead, and nothing is recorded singly."""
    too_many = RequestRefused("too-many-attempts", "too many")
    assert setting.refused(setting.answer(flags=PRESENT), if_wrong=too_many) == "too-many-attempts"
    assert setting.world.events(EventType.RENEWAL_REFUSED) == []


def test_used_challenges_are_remembered_within_bounds() -> None:
    """Each is used by one caller; another process's challenge is not ours, and memory has a limit."""
    mine, other = Challenges(FakeRandom("mine")), Challenges(FakeRandom("other"))
    made = mine.make(NOON)
    assert mine.use(made, NOON)
    assert not mine.use(made, NOON)
    assert not other.is_open(mine.make(NOON), NOON)
    for _ in range(MOST_USED):
        assert mine.use(mine.make(NOON), NOON)
    assert len(mine._used) == MOST_USED
