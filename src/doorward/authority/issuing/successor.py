"""Issuing the successor of a certificate: what every route of renewal calls.

Not here: who may call it for which certificate (the portal, the command line, enrolment.renewal, EST), the rules (renewal).
"""

from __future__ import annotations

from doorward.authority.issuing.certificates import issue
from doorward.authority.issuing.claims import Condition, RenewalClaim, no_condition
from doorward.authority.issuing.renewal import AlreadyRenewed
from doorward.authority.issuing.steps import Issued
from doorward.authority.line import find_newest, suspect_clone
from doorward.authority.revocation import hold_within
from doorward.authority.status.ocsp_responses import signer_if_any
from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.pki.csr import parse_csr
from doorward.pki.keys import digest_public_key
from doorward.stores.prerequisites import issuing_chain
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services


def renew(
    services: Services,
    certificate: CertificateRecord,
    request: bytes,
    *,
    actor: str,
    may_branch: bool = False,
    is_proven: bool = True,
    condition: Condition = no_condition,
) -> Issued:
    """Issue the successor of a certificate, or return the one that was issued before for the same key.

    Args:
        services: of a process that may sign.
        certificate: the one that authenticated the requester, and no other of the same holder.
        request: PKCS#10, PEM or DER; only its key counts.
        actor: who asks.
        may_branch: allow several successors of a person's certificate: at the portal, and by an operator.
        is_proven: whether the requester has the key of the certificate; an operator names it only, a wrong choice is no
            sign of a clone, and no renewal is too early.
        condition: a rule of the route, checked with the others.

    Raises:
        MalformedInput: as `pki.csr.parse_csr`.
        NotFound: `certificate-unknown`, `principal-unknown`.
        RequestRefused: `certificate-not-renewable`, `renewal-superseded` (with the suspicion of a clone),
            `key-used-before`, `renewal-too-early`, `renewals-too-many`, and as `issue`.
        Unavailable: as `issue`.
    """
    claim = RenewalClaim(
        actor=actor,
        certificate=certificate,
        terms=services.renewal,
        may_branch=may_branch,
        key=_find_key(request),
        is_by_operator=not is_proven,
        condition=condition,
    )
    try:
        return issue(services, request, claim)
    except AlreadyRenewed as found:
        return _find_issued(services, found.record)
    except RequestRefused as refusal:
        if is_proven and refusal.code == "renewal-superseded":
            _suspect(services, certificate, actor)
        raise


def _find_key(request: bytes) -> str:
    """Return the digest of the requested key; empty if there is none, and `issue` refuses the request with its event."""
    try:
        return digest_public_key(parse_csr(request).public_key)
    except MalformedInput:
        return ""


def _find_issued(services: Services, record: CertificateRecord) -> Issued:
    with services.work.read() as stores:
        chain = issuing_chain(stores, record.authority_id)
        return Issued(record=record, chain_der=(record.der, *chain), seq=stores.changes.head(), is_new=False)


def _suspect(services: Services, shown: CertificateRecord, actor: str) -> None:
    """Record the suspicion; if the settings say so, put the newest certificate of the line on hold, not a person's."""
    now = services.clock.now()
    with services.work.read() as stores:
        near = find_newest(stores, shown)
    if near.state is CertificateState.REVOKED:  # an operator has decided
        return
    with services.work.change(traffic=True) as stores:
        newest = suspect_clone(services, stores, shown, near=near, actor=actor, now=now)
        principal = stores.directory.get(newest.principal_id)
        is_person = principal is None or principal.kind is PrincipalKind.PERSON
        if (
            services.renewal.hold_suspected_clones
            and not is_person
            and newest.state is CertificateState.VALID
        ):
            signer = signer_if_any(services, stores)
            hold_within(services, stores, signer, newest.id, actor=actor, now=now)
