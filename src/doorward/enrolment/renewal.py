"""Renewal at the enrolment host: a proof by the old key and a new request become a certificate; and reports of agents.

TLS does not authenticate the client here: its certificate may have ended, and then no TLS client shows it. So the client
proves possession of the key with a signature over a nonce of ours and the whole request (`pki.proof`). The identity is the
certificate of this key and nothing else: no name, serial number or principal in the request is read.

    1. The nonce is ours, of this process, and at most five minutes old; otherwise `nonce-stale`.
    2. The inventory has exactly this certificate; 3. its key made the signature. Otherwise `proof-invalid`, the same for
       both. In this order a stranger's key verifies nothing: a signature by RSA of 8192 bits costs milliseconds. The time
       tells which certificates exist, but only to a peer that has the certificate, with our signature in it.
    4. A person with a second factor renews at the portal, which asks for it.
    5. The gate of every route decides (authority.issuing.renewal).

A repeated request is answered with the same certificate, so a recorded request gives nothing to its finder.
`renew` is the part behind the proof, for a server that authenticates the certificate in TLS.
Not here: HTTP and limits on tries (web.renewal).
Standard: docs/design/0078.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.audit.events import EventType, printable
from doorward.authority.issuing import Issued
from doorward.authority.issuing import renew as issue_successor
from doorward.authority.issuing.renewal import require_standing
from doorward.authority.rollover.schedule import must_renew
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.directory.challenges import Challenges
from doorward.directory.device_facts import parse_facts, record_facts
from doorward.directory.factors.change_rules import kinds_of
from doorward.pki.lifecycle import renewal_time
from doorward.pki.proof import ProofUse, check_proof
from doorward.stores.events import new_event
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services
from doorward.wire.base64url import parse_base64url, render_base64url

SOONEST = timedelta(minutes=1)
LATEST = timedelta(hours=6)
"""When an agent reports again: a forced renewal (a rollover, a new lifetime) reaches it within this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenMessage:
    """A message with a proof that is not checked yet.

    Args:
        certificate: the sender's present certificate, DER.
        nonce: from `make_nonce`.
        message: a PKCS#10 request in DER, or facts in JSON.
        signature: by the key of the certificate, as `pki.proof` describes it.
    """

    certificate: bytes
    nonce: str
    message: bytes
    signature: bytes

    @property
    def sha256(self) -> str:
        """The digest of the certificate, lower-case hex."""
        return hashlib.sha256(self.certificate).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAnswer:
    """The answer to a report.

    Args:
        renew_now: whether to renew at once.
        renew_at: when to renew otherwise.
        check_again: when to report again.
        reason: why to renew now: `due`, or `rollover` (an authority of its chain is replaced or ends); otherwise empty.
    """

    renew_now: bool
    renew_at: datetime
    check_again: timedelta
    reason: str


class RenewalByProof:
    """Renewals and reports by proof of possession. Safe between threads.

    Args:
        services: the ports of a process that may sign.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._nonces = Challenges(services.random)

    def make_nonce(self) -> tuple[str, datetime]:
        """Return a new nonce in base64url, and the time; nothing is stored."""
        now = self._services.clock.now()
        return render_base64url(self._nonces.make(now)), now

    def require_proof(
        self,
        shown: ProvenMessage,
        use: ProofUse,
        *,
        source: str = "",
        if_wrong: RequestRefused | None = None,
    ) -> CertificateRecord:
        """Return the certificate of the inventory that made the proof: steps 1 to 3.

        Args:
            shown: what the peer sent.
            use: renewal or report.
            source: address of the peer, for the event.
            if_wrong: the error for a wrong proof, raised without an event, if this source was wrong too often.

        Raises:
            MalformedInput: `nonce-stale`.
            RequestRefused: `proof-invalid`.
        """
        # 1. the nonce
        if not self._is_fresh(shown.nonce):
            raise MalformedInput(
                "nonce-stale",
                "this nonce is not known here, or is older than five minutes",
                hint="fetch a new one from /renew/nonce and sign again",
            )
        # 2. the certificate
        with self._services.work.read() as stores:
            record = stores.certificates.by_sha256(shown.sha256)
        # 3. the signature
        if record is not None and check_proof(
            shown.signature,
            use,
            nonce=shown.nonce,
            certificate=shown.certificate,
            message=shown.message,
        ):
            return record
        raise if_wrong or self._refuse(record, source)

    def renew(self, record: CertificateRecord, request: bytes) -> Issued:
        """Issue the successor of a certificate that `require_proof` returned: steps 4 and 5; raises as `renew`."""
        # A server's certificate and a partner's may have no principal; the gate refuses them.
        return renew(self._services, record, request, actor=record.principal_id or "system")

    def report(self, record: CertificateRecord, facts: bytes) -> ReportAnswer:
        """Record the facts of an agent; say whether it should renew.

        Args:
            record: from `require_proof`.
            facts: JSON, as received.

        Raises:
            MalformedInput: `facts-malformed`.
            RequestRefused: as `authority.issuing.renewal.require_standing`: this certificate cannot be renewed any more.
        """
        told = parse_facts(facts)
        now = self._services.clock.now()
        with self._services.work.read() as stores:
            require_standing(stores, record.id, now, self._services.renewal)
            early = must_renew(stores, record, now)
        record_facts(self._services, record.id, told)
        usual = renewal_time(record.not_before, record.not_after, record.sha256)
        due = usual if early is None else min(usual, early)
        reason = "due" if due == usual else "rollover"
        return ReportAnswer(
            renew_now=now >= due,
            renew_at=due,
            check_again=min(max(due - now, SOONEST), LATEST),
            reason=reason if now >= due else "",
        )

    def _is_fresh(self, nonce: str) -> bool:
        try:
            challenge = parse_base64url(nonce, code="nonce-stale", what="the nonce")
        except MalformedInput:
            return False
        return self._nonces.is_open(challenge, self._services.clock.now())

    def _refuse(self, record: CertificateRecord | None, source: str) -> RequestRefused:
        """Record the refusal and return the one error that every peer gets."""
        event = new_event(
            self._services,
            EventType.RENEWAL_REFUSED,
            actor="system",
            data={
                "reasons": ["proof-invalid"],
                "certificate": record.id if record else "",
                "principal": record.principal_id if record else "",
            },
            personal={
                "name": printable(record.subject_name) if record else "",
                "source": printable(source),
            },
        )
        self._services.work.record([event])
        return RequestRefused(
            "proof-invalid",
            "the signature is not by the key of a certificate that was issued here",
            hint="send the certificate exactly as it was issued, and sign with its key",
        )


def renew(services: Services, certificate: CertificateRecord | str, request: bytes, *, actor: str) -> Issued:
    """Issue the successor of a certificate that the requester's key has authenticated: steps 4 and 5.

    Args:
        services: of a process that may sign.
        certificate: the certificate that was authenticated, or the SHA-256 of its DER in lower-case hex.
        request: PKCS#10, PEM or DER; only its key counts.
        actor: who asks; the id of the principal.

    Raises:
        RequestRefused: `proof-invalid`: the inventory has no such certificate; as `authority.issuing.renew`.
        MalformedInput: as `pki.csr.parse_csr`.
    """
    with services.work.read() as stores:
        record = stores.certificates.by_sha256(certificate) if isinstance(certificate, str) else certificate
        if record is None:
            raise RequestRefused(
                "proof-invalid", "this certificate was not issued here", hint="ask for an invitation"
            )
    # 4. a person with a second factor, also one who enrols it meanwhile; 5. the gate
    return issue_successor(services, record, request, actor=actor, condition=_require_no_factor)


def _require_no_factor(stores: Stores, record: CertificateRecord) -> None:
    principal = stores.directory.get(record.principal_id)
    if principal is None or principal.kind is not PrincipalKind.PERSON:
        return
    if kinds_of(stores, principal.id):
        raise RequestRefused(
            "certificate-not-renewable",
            f"{principal.name} has a second factor, and renews where it can be asked for",
            hint="renew at the portal",
        )
