"""Persons with second factors, on the world of `tests.support.world`.

    people = found_world(FactorWorld)
    alice = people.comes("alice")            # with a certificate by invitation, and the right to a first factor
    people.set_password(alice)
    people.passkey(alice, shown=people.shown(PASSWORD))

Password hashes cost next to nothing. Time stands still until `people.clock.turn(...)`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import timedelta

from doorward.authority import issuing
from doorward.core.factor_kinds import FactorKind
from doorward.core.ports import KeyKind
from doorward.core.shown_factors import ShownFactors
from doorward.directory.callers import Caller
from doorward.directory.factors import checking, enrolling, passkeys
from doorward.directory.factors.context import FactorContext
from doorward.directory.invitations import hash_token
from doorward.directory.inviting import InvitationClaim, invite
from doorward.factors import totp
from doorward.factors.password import PasswordCost
from doorward.factors.webauthn import RelyingParty
from doorward.pki.csr import build_csr
from doorward.stores.factor_records import FactorRecord
from doorward.stores.records import CertificateRecord
from tests.support.passkeys import SoftAuthenticator
from tests.support.ports import PlainKeys
from tests.support.world import OPERATOR, World

PARTY = RelyingParty(id="portal.corp.example", origin="https://portal.corp.example:8443", name="Corp")
CHEAP = PasswordCost(memory_kibibytes=8, passes=1)
GOOD_PASSWORD = "gravel otter lantern quilt"
NOTHING = ShownFactors()


@dataclass(kw_only=True)
class FactorWorld(World):
    """A world, what the use cases of factors need, and what people hold in their hands."""

    factors: FactorContext = field(init=False)
    browsers: dict[str, SoftAuthenticator] = field(default_factory=dict)
    apps: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.factors = FactorContext(
            services=self.services, party=PARTY, cost=CHEAP, known_words=("meridian",)
        )

    def comes(self, name: str, *, invited: bool = True, source: str = "192.0.2.7") -> Caller:
        """Somebody with a new certificate, by an invitation or by an operator's word."""
        if not invited:
            return self.caller(name, self.issue(name).record, source)
        invitation = invite(self.services, name, actor=OPERATOR)
        with self.work.read() as stores:
            found = stores.invitations.by_token(hash_token(invitation.token))
        assert found is not None
        claim = InvitationClaim(invitation=found, name=name)
        request = build_csr(PlainKeys().generate(KeyKind.P256), name)
        return self.caller(name, issuing.issue(self.services, request, claim).record, source)

    def caller(self, name: str, record: CertificateRecord, source: str = "192.0.2.7") -> Caller:
        """Who comes with that certificate."""
        principal = self.principal(name)
        return Caller(
            principal_id=principal.id,
            name=name,
            kind=principal.kind,
            certificate_id=record.id,
            certificate_sha256=record.sha256,
            not_after=record.not_after,
            expires_at=record.not_after,
            source=source,
        )

    def shown(self, *kinds: FactorKind, ago: timedelta = timedelta(0)) -> ShownFactors:
        """A session that has shown these factors so long ago."""
        return ShownFactors.of(dict.fromkeys(kinds, self.clock.now() - ago))

    def set_password(
        self, who: Caller, text: str = GOOD_PASSWORD, *, shown: ShownFactors = NOTHING, token: str = ""
    ) -> FactorRecord:
        """Enrol a password."""
        return enrolling.set_password(self.factors, who, text, shown=shown, token=token)

    def passkey(
        self, who: Caller, *, shown: ShownFactors = NOTHING, token: str = "", name: str = ""
    ) -> FactorRecord:
        """Enrol a passkey in the person's browser."""
        browser = self.browsers.setdefault(who.name, SoftAuthenticator(origin=PARTY.origin))
        asked = enrolling.begin_passkey(self.factors, who, shown=shown, token=token)
        answer = browser.create(asked.options)
        return enrolling.finish_passkey(
            self.factors, who, asked.id, answer, name=name, shown=shown, token=token
        )

    def app(self, who: Caller, *, shown: ShownFactors = NOTHING, token: str = "") -> FactorRecord:
        """Enrol an authenticator app."""
        offer = enrolling.begin_totp(self.factors, who, shown=shown, token=token)
        self.apps[who.name] = base64.b32decode(offer.secret)
        return enrolling.finish_totp(
            self.factors, who, offer.id, self.code(who), name="phone", shown=shown, token=token
        )

    def code(self, who: Caller) -> str:
        """What the person's app shows now."""
        return totp.render_totp(self.apps[who.name], totp.step_at(self.clock.now()))

    def use_passkey(self, who: Caller, **wrong: object) -> checking.CheckedFactor:
        """Show a passkey, with mistakes on request."""
        asked = passkeys.begin_check(self.factors, who)
        answer = self.browsers[who.name].get(asked.options, **wrong)  # type: ignore[arg-type]
        return passkeys.check_passkey(self.factors, who, asked.id, answer)

    def use_password(self, who: Caller, text: str = GOOD_PASSWORD) -> checking.CheckedFactor:
        """Type a password."""
        return checking.check_password(self.factors, who, text)

    def kinds(self, who: Caller) -> list[FactorKind]:
        """What is kept of a person, strongest first."""
        with self.work.read() as stores:
            kept = [one.kind for one in stores.factors.of_principal(who.principal_id)]
        return sorted(kept, key=lambda kind: -kind.strength)

    def epoch(self, who: Caller) -> str:
        """The session epoch of a person at an application."""
        with self.work.read() as stores:
            return stores.epochs.of(who.principal_id, "app_a")
