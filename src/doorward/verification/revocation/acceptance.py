"""Whether a fetched CRL or OCSP response may replace the one that is stored.

The sender is not trusted: an offline, lying or compromised server must not be able to do more than withhold evidence.
A CRL is accepted if it
1. parses, and is usable (crl);
2. is signed by an authority of this partner that may sign CRLs and has a good path to one of its anchors;
3. is current: its times are in order, it has begun, and it has not expired longer ago than the grace time;
4. is from an issuer from which a certificate accepts CRLs at this address. The maker of a certificate chooses the
   address and who answers there, and could otherwise serve an old CRL of another authority (RFC 5280 section
   6.3.3 (b));
5. has the issuer, kind and scope of the stored one, if that one may still be used: a genuine CRL about other
   certificates would make the status of the revoked ones unknown. A stored CRL that may no longer be used does not
   exclude others, because otherwise a CRL that was accepted by mistake would exclude the right one for ever;
6. is not older than the stored one of the same issuer, kind and scope: its time never goes back. Its number does not
   go back while the stored one may be used and has the same key; an authority that is set up again restarts its
   numbers. CRLs of other kinds are independent.
An OCSP response is accepted if `ocsp` verifies it for this certificate, and by step 6 for its time. A response that
says that the responder does not know the certificate is genuine too, and replaces a better one.

Not here: the status of a certificate. It is judged again at each connection, with the status of the signer.
Standard: RFC 5280 sections 5.1.2.4, 5.1.2.5, 5.2.3 and 6.3.3 (b), (f), (g); RFC 6960 section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from doorward.core.entities import Outcome
from doorward.core.errors import MalformedInput, RequestRefused, Unavailable
from doorward.verification.path.building import WorkExceeded, judge_path
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.names import CanonicalName
from doorward.verification.path.policies import PolicyInputs
from doorward.verification.path.signatures import is_signature_valid
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.crl import Crl, Scope, parse_crl, parse_crl_outline
from doorward.verification.revocation.crl_judging import CrlRules
from doorward.verification.revocation.ocsp import (
    OcspRules,
    ResponderFailed,
    ResponseExpired,
    ResponseRejected,
    verify_response,
)
from doorward.verification.revocation.status import RevocationStatus, usable_until


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedEvidence:
    """Evidence that may be stored: the times in it, `number` of a CRL, `status` and `reason` of an OCSP response.

    `crl` is the CRL, if it is one.
    """

    this_update: datetime
    next_update: datetime | None
    number: int | None = None
    status: RevocationStatus | None = None
    reason: str = ""
    crl: Crl | None = field(default=None, compare=False)


def accept_crl(
    der: bytes,
    before: bytes,
    store: TrustStore,
    *,
    is_named: Callable[[Crl], bool],
    inputs: PathInputs,
    now: datetime,
    rules: CrlRules,
) -> AcceptedEvidence:
    """Return the accepted CRL.

    Args:
        der: the fetched CRL.
        before: the stored one in DER; empty if there is none.
        store: the authorities of the partner.
        is_named: whether a verified certificate that names the address accepts the CRL from there
            (`sources.may_serve`); called only for a genuine and current CRL, because it may need to look at all
            certificates of the partner.
        inputs: as for the partner's paths; purpose and policies are ignored for signers of CRLs.
        now: aware, UTC.
        rules: see `CrlRules`.

    Raises (with `ended` in the context if the CRL has only expired):
        MalformedInput: step 1: `crl-too-large`, `crl-malformed`, `crl-unusable`.
        RequestRefused: `evidence-not-signed`, `evidence-not-in-time`, `evidence-of-another`,
            `evidence-replaced`, `evidence-replayed`.
    """
    crl = parse_crl(der)
    if not any(
        is_signature_valid(signer.key, crl.signed, rules.strength)
        for signer in _signers(crl, store, inputs, now)
    ):
        raise RequestRefused("evidence-not-signed", "no authority that may sign this CRL has signed it")
    if crl.next_update < crl.this_update or crl.this_update > now + rules.skew:
        detail = "this CRL is from the future, or ends before it begins"
        raise RequestRefused("evidence-not-in-time", detail)
    if now > usable_until(crl.next_update, rules.grace):
        raise RequestRefused("evidence-not-in-time", "this CRL has expired", ended=True)
    if not is_named(crl):
        raise RequestRefused(
            "evidence-of-another",
            "the certificates that name this address do not accept a CRL of this issuer from it",
            hint="ask the partner: the address serves another authority's CRL, or the certificates name another issuer",
        )
    if before:
        _check_successor(crl, parse_crl_outline(before), now, rules.grace)
    return AcceptedEvidence(
        this_update=crl.this_update, next_update=crl.next_update, number=crl.number, crl=crl
    )


def _signers(crl: Crl, store: TrustStore, inputs: PathInputs, now: datetime) -> Iterator[PathCertificate]:
    """Step 2."""
    inputs = replace(inputs, purpose=None, policies=PolicyInputs())
    for candidate in store.find_by_subject(crl.issuer):
        if candidate.key_usage is not None and not candidate.key_usage.crl_sign:
            continue
        if store.is_anchor(candidate) or judge_path(candidate, store, inputs, now).outcome is Outcome.GOOD:
            yield candidate


def _check_successor(crl: Crl, kept: Crl, now: datetime, grace: timedelta) -> None:
    """Steps 5 and 6."""
    in_use = now <= usable_until(kept.next_update, grace)
    if _kind(crl) != _kind(kept):
        if in_use:
            raise RequestRefused(
                "evidence-replaced", "this CRL is about other certificates than the stored one"
            )
        return
    counted = in_use and crl.authority_key_id == kept.authority_key_id  # each key may have its own numbers
    if crl.this_update < kept.this_update or (counted and crl.number < kept.number):
        raise RequestRefused("evidence-replayed", "this CRL is older than the stored one")


def _kind(crl: Crl) -> tuple[CanonicalName, Scope, bool]:
    """Return issuer, scope, and whether it is a delta: CRLs with equal values share a sequence of numbers (5.2.3)."""
    return crl.issuer, crl.scope, crl.base is not None


def accept_ocsp_response(
    der: bytes,
    before: datetime | None,
    certificate: PathCertificate,
    issuer: PathCertificate,
    *,
    now: datetime,
    rules: OcspRules,
) -> AcceptedEvidence:
    """Return the accepted OCSP response.

    Args:
        der: the fetched response.
        before: this update of the stored one; None if there is none.
        certificate: that it must be about.
        issuer: of the certificate, good in a path.
        now: aware, UTC.
        rules: see `OcspRules`.

    Raises:
        MalformedInput: `ocsp-answer-unfit`: steps 1 to 6 of `ocsp`.
        Unavailable: `ocsp-responder-failed`: the responder reported a failure.
        RequestRefused: `evidence-replayed`.
    """
    try:
        found = verify_response(certificate, issuer, der, now, rules)
    except ResponderFailed as failure:
        raise Unavailable("ocsp-responder-failed", str(failure)) from None
    except (ResponseRejected, WorkExceeded) as rejected:
        why = f"this OCSP response is not accepted: {rejected}"
        raise MalformedInput("ocsp-answer-unfit", why, ended=isinstance(rejected, ResponseExpired)) from None
    if before is not None and found.this_update < before:
        raise RequestRefused("evidence-replayed", "this OCSP response is older than the stored one")
    return AcceptedEvidence(
        this_update=found.this_update, next_update=found.next_update, status=found.status, reason=found.reason
    )
