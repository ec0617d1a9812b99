"""A new certificate by passkey, for a person without a usable certificate: it has ended, or the device was lost.

Browsers do not send a certificate that has ended, so the passkey must identify the person.
1. Parse the browser's answer; find its passkey and check that the challenge is ours. 2. Check the passkey, with user
verification. 3. Mark the challenge and the passkey's counter as used. 4. If the person says that the device is lost, revoke
the certificates that are still valid. 5. Issue by the claim: the person is active, and the last certificate ended at most
`within` ago, by itself or because its own holder reported it lost.

The peer gets one code for all faults in 1 to 3, `passkey-refused`; the event has the reasons. Passwords, TOTP and recovery
codes cannot be used here: only an answer of WebAuthn is parsed, and only a passkey is found by its credential id.
Not here: HTTP and limits on tries (web), the checks of a passkey (factors.webauthn).
Standard: WebAuthn Level 3 section 7.2; docs/design/0072.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.audit.events import EventType, printable
from doorward.authority.issuing import Entitlement, Issued, entitlement_of, issue
from doorward.authority.status.ocsp_responses import signer_if_any
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

RENEWAL_PERIOD = timedelta(days=30)
"""How long after the end of the last certificate a passkey gives a new one, if the settings do not say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyClaim:
    """A checked passkey as a claim (`authority.issuing.claims`) to one certificate of its person.

    Args:
        factor_id: id of the passkey.
        holder: id of the principal, which is also the actor.
        name: of the principal.
        within: how long ago the last certificate may have ended.
    """

    factor_id: str
    holder: str
    name: str
    within: timedelta

    @property
    def actor(self) -> str:
        """The person, as the passkey identified them."""
        return self.holder

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        """Return the entitlement of the person.

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
        """Write the event with the passkey; the answer is used already, and `settle` allows one certificate."""
        event = new_event(
            services,
            EventType.RENEWAL_GRANTED,
            actor=self.holder,
            data={"certificate": record.id, "principal": self.holder, "factor": self.factor_id},
            personal={"name": printable(self.name)},
        )
        stores.outbox.add(event)

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:  # noqa: ARG002  as the claim has it
        """Refuse if another certificate became valid since the intent: of two calls one succeeds."""
        require_lately_ended(stores, self.holder, services.clock.now(), self.within)


def require_lately_ended(
    stores: Stores, principal_id: str, now: datetime, within: timedelta
) -> CertificateRecord:
    """Return the last certificate of a principal, if a passkey may replace it.

    Raises:
        RequestRefused: `renewal-not-due` if a certificate is valid; `renewal-held` if one is on hold;
            `renewal-withdrawn` if the last one was revoked without a report of loss by its holder;
            `renewal-too-late`; `renewal-without-certificate` if there never was a certificate.
    """
    records = list(own_records(stores, principal_id))
    if any(one.state is CertificateState.VALID and not has_ended(one.not_after, now) for one in records):
        raise RequestRefused(
            "renewal-not-due",
            "you have a certificate that is still valid",
            hint="renew on the device that has it; if that device is lost, say so on this page",
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
    """Return when a certificate that is no longer valid ended or was revoked."""
    revoked = record.revoked_at if record.state is CertificateState.REVOKED else None
    return min(revoked, record.not_after) if revoked is not None else record.not_after


class PasskeyRenewer:
    """Gives people without a certificate a new one by passkey.

    Args:
        services: of a process that may sign.
        within: how long ago the last certificate may have ended.
    """

    def __init__(self, services: Services, *, within: timedelta = RENEWAL_PERIOD) -> None:
        self._services = services
        self._within = within
        self._challenges = Challenges(services.random)

    def ask(self, party: RelyingParty) -> dict[str, object]:
        """Return WebAuthn's request options: any passkey for the portal, with user verification."""
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
        """Issue a certificate for a passkey's answer and a certificate request.

        Args:
            answer: JSON of the browser's `PublicKeyCredential.toJSON()`.
            request: PKCS#10, PEM or DER; only its key is used.
            party: the portal.
            lost: whether the person says that the device with the valid certificate is lost.
            source: the network address of the request, for the event.
            if_wrong: the error for a wrong answer after too many from this address; no event is written then.

        Raises:
            MalformedInput: `webauthn-malformed`, and as `pki.csr.parse_csr`.
            RequestRefused: `passkey-refused`, and as `PasskeyClaim.examine`.
        """
        services, now = self._services, self._services.clock.now()
        parse_csr(request)  # a malformed request must neither use the challenge nor revoke a certificate
        # 1. known
        parsed = parse_authentication(answer)
        factor, principal = self._find(parsed)
        faults = [] if factor is not None else ["passkey-unknown"]
        if not self._challenges.is_open(parsed.client_data.challenge, now):
            faults.append("challenge-wrong")
        if (
            not parsed.user_handle
        ):  # without a caller, the passkey must identify the person (section 7.2, step 6)
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
        """Mark challenge and counter as used; of two callers with the same answer one succeeds."""
        if not self._challenges.use(answer.client_data.challenge, now):
            return False
        with self._services.work.change(traffic=True) as stores:
            return stores.factors.use(factor.id, expected=factor.counter, counter=counter, at=now)

    def _lose(self, principal_id: str) -> None:
        """Revoke the valid certificates and note the loss; only if the person is entitled to a new certificate.

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
        """Record the reasons and return the error, which is the same for every reason."""
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
