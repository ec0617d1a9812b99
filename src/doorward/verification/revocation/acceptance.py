"""Whether a CRL or an OCSP answer that was fetched may take the place of the one at hand.

Whoever sent it is not trusted: a dead, lying or taken-over server must not be able to do more than withhold.
A CRL:
1. parses, and is usable (crl);
2. is signed by an authority of this partner that may sign CRLs and has a good path to an anchor of it;
3. speaks of now: its times are in order, it has begun, and it has not ended longer ago than may be;
4. is of an issuer that somebody takes it from at its address: whoever names an address chooses who answers
   there, and could else hand out an old list of another authority (RFC 5280 section 6.3.3 (b));
5. is of the same issuer, kind and scope as the one at hand, as long as that one may be used: a list that is
   genuine too but speaks of others would make the revoked unknown. One that may be used no more bars none of
   them: or a list that was taken by mistake would keep the right one out for ever;
6. is not older than the one at hand, where it is of the same issuer, kind and scope: its time never goes back, its
   number does not while the one at hand may be used and is by the same key. An authority that is built anew begins
   its numbers anew. Other lists count for themselves.
An OCSP answer: what `ocsp` asks of an answer about this very certificate, and step 6 for its time. One that
says that the responder does not know the certificate is genuine too, and takes the place of a better one.

Not here: what it says of anybody. That is judged at each connection again, the signer's own status with it.
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
    """What may be kept, by its own words: `number` of a CRL, `status` of an OCSP answer's certificate with its `reason`.

    `crl` is the list, if it is one.
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
    """Return what a CRL says of itself, where it may be kept.

    Args:
        der: what was fetched.
        before: the one at hand in DER; empty where there is none.
        store: the authorities of the partner.
        is_named: whether a verified certificate that names its address takes it from there (`sources.may_serve`);
            asked only of what is genuine and speaks of now, for it may cost a look at all of the partner's certificates.
        inputs: as for its paths; purpose and policies do not concern signers of CRLs.
        now: aware, UTC.
        rules: see `CrlRules`.

    Raises (with `ended` in the context of one that has only ended):
        MalformedInput: step 1: `crl-too-large`, `crl-malformed`, `crl-unusable`.
        RequestRefused: `evidence-not-signed`, `evidence-not-in-time`, `evidence-of-another`,
            `evidence-replaced`, `evidence-replayed`.
    """
    crl = parse_crl(der)
    if not any(
        is_signature_valid(signer.key, crl.signed, rules.strength)
        for signer in _signers(crl, store, inputs, now)
    ):
        raise RequestRefused("evidence-not-signed", "no authority that may sign this CRL signed it")
    if crl.next_update < crl.this_update or crl.this_update > now + rules.skew:
        raise RequestRefused("evidence-not-in-time", "this CRL begins later, or ends before it begins")
    if now > usable_until(crl.next_update, rules.grace):
        raise RequestRefused("evidence-not-in-time", "this CRL is out of date", ended=True)
    if not is_named(crl):
        raise RequestRefused(
            "evidence-of-another",
            "no certificate that names this address takes a CRL of this issuer from it",
            hint="ask the partner: another authority's list lies there, or the certificates name another issuer",
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
            raise RequestRefused("evidence-replaced", "this CRL is for others than the one at hand")
        return
    counted = in_use and crl.authority_key_id == kept.authority_key_id  # each key may count for itself
    if crl.this_update < kept.this_update or (counted and crl.number < kept.number):
        raise RequestRefused("evidence-replayed", "this CRL is older than the one at hand")


def _kind(crl: Crl) -> tuple[CanonicalName, Scope, bool]:
    """Whose it is, whom it speaks of, and whether it is a delta: what its number is counted by (5.2.3)."""
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
    """Return what an OCSP answer says, where it may be kept.

    Args:
        der: what was fetched.
        before: this update of the one at hand; None where there is none.
        certificate: that it is to be about.
        issuer: who signed that, good in a path.
        now: aware, UTC.
        rules: see `OcspRules`.

    Raises:
        MalformedInput: `ocsp-answer-unfit`: steps 1 to 6 of `ocsp`.
        Unavailable: `ocsp-responder-failed`: it is no answer, but a failure of the responder.
        RequestRefused: `evidence-replayed`.
    """
    try:
        found = verify_response(certificate, issuer, der, now, rules)
    except ResponderFailed as failure:
        raise Unavailable("ocsp-responder-failed", str(failure)) from None
    except (ResponseRejected, WorkExceeded) as rejected:
        why = f"this OCSP answer cannot be believed: {rejected}"
        raise MalformedInput("ocsp-answer-unfit", why, ended=isinstance(rejected, ResponseExpired)) from None
    if before is not None and found.this_update < before:
        raise RequestRefused("evidence-replayed", "this OCSP answer is older than the one at hand")
    return AcceptedEvidence(
        this_update=found.this_update, next_update=found.next_update, status=found.status, reason=found.reason
    )
