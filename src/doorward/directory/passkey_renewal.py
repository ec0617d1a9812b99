"""A new certificate by passkey, for a person without a usable one: it ended, or the device was lost.

Browsers do not send a certificate that has ended, so the door cannot know who stands there: the passkey says it.
1. The answer of the browser is parsed, and belongs to a passkey that we know and to a challenge that is ours. 2. The
passkey is checked, with its user verified. 3. The challenge and the passkey's counter are used up. 4. If the person
says that the device is lost, what is still valid is revoked. 5. The certificate is issued by the claim: the person is
active, and the last certificate ended at most so many days ago, by itself or because its own holder lost it.

What fails in 1 to 3 is one word to the peer, `passkey-refused`; the event says which. Password, TOTP and recovery
codes cannot come here: only an answer of WebAuthn is parsed, and only a passkey is found by its credential id.
Not here: the HTTP around it and how many may try (web), the checks of a passkey (factors.webauthn).
Standard: WebAuthn Level 3 section 7.2; docs/design/0072.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.audit.events import EventType, printable
from doorward.authority.issuing import Entitlement, Issued, entitlement_of, issue
from doorward.authority.status.answers import signer_if_any
from doorward.core.certificate import CertificateState
from doorward.core.entities import Principal
from doorward.core.errors import RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.directory.challenges import Challenges
from doorward.directory.own_certificates import own_records, revoke_lost_within
from doorward.factors.verdict import FactorFault
from doorward.factors.webauthn import (
    AuthenticationAnswer,
    RelyingParty,
    build_authentication_options,
    check_authentication,
    parse_authentication,
    parse_passkey,
)
from doorward.pki.csr import parse_csr
from doorward.stores.events import new_event
from doorward.stores.factor_records import FactorRecord
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services
from doorward.verification.validity import has_ended
from doorward.wire.base64url import render_base64url

WITHIN = timedelta(days=30)
"""How long after the end of the last certificate a passkey brings a person back, if the settings say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyClaim:
    """A passkey that was checked, as a claim (`authority.issuing.claims`) to one certificate of its person.

    Args:
        factor_id: of the passkey.
        holder: the principal's id, who is also who acts.
        name: the principal's.
        within: how long ago the last certificate may have ended.
    """

    factor_id: str
    holder: str
    name: str
    within: timedelta

    @property
    def actor(self) -> str:
        """The person: the passkey said who it is."""
        return self.holder

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        """Return the person's right.

        Raises:
            RequestRefused: `passkey-refused` if the passkey was removed meanwhile; as `require_lately_ended`, and
                as `authority.issuing.entitlement_of`.
        """
        if stores.factors.get(self.factor_id) is None:
            raise _refused()
        return entitlement_of(
            stores, self.holder, replaces=require_lately_ended(stores, self.holder, now, self.within).id
        )

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Note by which passkey: the answer was used up before, and `settle` lets one certificate come of it."""
        event = new_event(
            services,
            EventType.RENEWAL_GRANTED,
            actor=self.holder,
            data={"certificate": record.id, "principal": self.holder, "factor": self.factor_id},
            personal={"name": printable(self.name)},
        )
        stores.outbox.add(event)

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:  # noqa: ARG002  as the claim has it
        """Refuse if another certificate became valid since the intent: of two calls one wins."""
        require_lately_ended(stores, self.holder, services.clock.now(), self.within)


def require_lately_ended(
    stores: Stores, principal_id: str, now: datetime, within: timedelta
) -> CertificateRecord:
    """Return the certificate that a principal had last, if a passkey may bring another.

    Raises:
        RequestRefused: `renewal-not-due` while one is valid; `renewal-held` while one is on hold;
            `renewal-withdrawn` if the last one was revoked, and not because its own holder lost it;
            `renewal-too-late`; `renewal-without-certificate` if there never was one.
    """
    records = list(own_records(stores, principal_id))
    if any(one.state is CertificateState.VALID and not has_ended(one.not_after, now) for one in records):
        raise RequestRefused(
            "renewal-not-due",
            "you have a certificate that is still valid",
            hint="use it, and renew it from there; if its device is lost, say so on this page",
        )
    _require_no_hold(records)
    if not records:
        raise RequestRefused(
            "renewal-without-certificate", "you have had no certificate yet", hint="ask for an invitation"
        )
    last = max(records, key=_end_of)
    if last.state is CertificateState.REVOKED:
        note = stores.holder_notes.of([last.id]).get(last.id)
        if note is None or note.lost_at is None:
            raise RequestRefused(
                "renewal-withdrawn",
                "your certificate was withdrawn by an administrator",
                hint="ask the help desk for an invitation",
            )
    if now - _end_of(last) > within:
        raise RequestRefused(
            "renewal-too-late",
            f"your certificate ended more than {within.days} days ago",
            hint="ask the help desk for an invitation",
        )
    return last


def _require_no_hold(records: Sequence[CertificateRecord]) -> None:
    if any(one.state is CertificateState.ON_HOLD for one in records):
        raise RequestRefused(
            "renewal-held", "your certificate is on hold", hint="ask the help desk why, and when it ends"
        )


def _end_of(record: CertificateRecord) -> datetime:
    """Return when a certificate that is of no use any more came to its end."""
    revoked = record.revoked_at if record.state is CertificateState.REVOKED else None
    return min(revoked, record.not_after) if revoked is not None else record.not_after


class PasskeyRenewer:
    """Gives people without a certificate a new one by passkey.

    Args:
        services: of a process that may sign.
        within: how long ago the last certificate may have ended.
    """

    def __init__(self, services: Services, *, within: timedelta = WITHIN) -> None:
        self._services = services
        self._within = within
        self._challenges = Challenges(services.random)

    def ask(self, party: RelyingParty) -> dict[str, object]:
        """Return what the browser is asked: any passkey of the portal, with its user verified."""
        return build_authentication_options(
            party, challenge=self._challenges.make(self._services.clock.now())
        )

    def renew(
        self,
        answer: str,
        request: bytes,
        *,
        party: RelyingParty,
        lost: bool = False,
        source: str = "",
        if_wrong: RequestRefused | None = None,
    ) -> Issued:
        """Turn a passkey's answer and a request into a certificate.

        Args:
            answer: JSON of the browser's `PublicKeyCredential.toJSON()`.
            request: PKCS#10, PEM or DER; only its key counts.
            party: the portal.
            lost: the person says that the device with a certificate that is still valid is lost.
            source: where the request came from, for the record.
            if_wrong: what a wrong answer is answered with, without an event of its own: too many came from there.

        Raises:
            MalformedInput: `webauthn-malformed`, and as `pki.csr.parse_csr`.
            RequestRefused: `passkey-refused`, and as `PasskeyClaim.examine`.
        """
        services, now = self._services, self._services.clock.now()
        parse_csr(request)  # what cannot become a certificate must use nothing up, and revoke nothing
        # 1. known
        parsed = parse_authentication(answer)
        factor, principal = self._find(parsed)
        faults = [] if factor is not None else ["passkey-unknown"]
        if not self._challenges.is_open(parsed.client_data.challenge, now):
            faults.append("challenge-wrong")
        if (
            not parsed.user_handle
        ):  # without a caller the passkey itself has to say whose it is (section 7.2, step 6)
            faults.append(FactorFault.USER.value)
        if factor is None or principal is None or faults:
            raise if_wrong or self._refuse(faults, factor, principal, source)
        # 2. checked
        verdict = check_authentication(
            parsed,
            party,
            parsed.client_data.challenge,
            passkey=parse_passkey(factor.secret),
            counter=factor.counter,
            user_handle=factor.principal_id.encode("ascii"),
        )
        if verdict.found is None:
            raise if_wrong or self._refuse([one.value for one in verdict.faults], factor, principal, source)
        # 3. used up
        if not self._use(parsed, factor, verdict.found, now):
            raise if_wrong or self._refuse(["challenge-used"], factor, principal, source)
        # 4. lost
        if lost:
            self._lose(factor.principal_id)
        # 5. issued
        claim = PasskeyClaim(
            factor_id=factor.id, holder=principal.id, name=principal.name, within=self._within
        )
        return issue(services, request, claim)

    def _find(self, answer: AuthenticationAnswer) -> tuple[FactorRecord | None, Principal | None]:
        with self._services.work.read() as stores:
            found = stores.factors.by_credential(render_base64url(answer.credential_id))
            factor = found if found is not None and found.kind is FactorKind.WEBAUTHN else None
            return factor, stores.directory.get(factor.principal_id) if factor is not None else None

    def _use(self, answer: AuthenticationAnswer, factor: FactorRecord, counter: int, now: datetime) -> bool:
        """Use the challenge and the counter up; of two callers with one answer one gets on."""
        if not self._challenges.use(answer.client_data.challenge, now):
            return False
        with self._services.work.change(traffic=True) as stores:
            return stores.factors.use(factor.id, expected=factor.counter, counter=counter, at=now)

    def _lose(self, principal_id: str) -> None:
        """Revoke what is still valid, and note that its holder lost it; nothing for who gets no other certificate.

        Raises:
            RequestRefused: `renewal-held`, and as `authority.issuing.entitlement_of`.
        """
        services, now = self._services, self._services.clock.now()
        with services.work.change() as stores:
            entitlement_of(stores, principal_id)
            _require_no_hold(list(own_records(stores, principal_id)))
            signer = signer_if_any(services, stores)
            valid = [
                one
                for one in own_records(stores, principal_id)
                if one.state is CertificateState.VALID and not has_ended(one.not_after, now)
            ]
            for record in valid:
                revoke_lost_within(services, stores, signer, record, now=now)

    def _refuse(
        self,
        faults: Sequence[str],
        factor: FactorRecord | None,
        principal: Principal | None,
        source: str,
    ) -> RequestRefused:
        """Record the reasons and return the one error that every peer gets."""
        services = self._services
        event = new_event(
            services,
            EventType.RENEWAL_REFUSED,
            actor=principal.id if principal else "system",
            data={
                "reasons": list(faults),
                "principal": principal.id if principal else "",
                "factor": factor.id if factor else "",
            },
            personal={"name": printable(principal.name if principal else ""), "source": printable(source)},
        )
        services.work.record([event])
        return _refused()


def _refused() -> RequestRefused:
    return RequestRefused(
        "passkey-refused",
        "this passkey was not accepted",
        hint="try again, with the passkey that you made here; or ask the help desk for an invitation",
    )
