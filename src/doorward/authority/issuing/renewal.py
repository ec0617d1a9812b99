"""Renewal: which certificate may be renewed, and to which key. One gate for every route.

The portal, the operator, the enrolment host and EST come here with the certificate that was authenticated, so that no route
can forget a rule. The rules, each checked in the transaction of the intent and once more in the one in which the new
certificate becomes valid:

    1. The certificate is ours, is a principal's, and is neither revoked nor on hold.
    2. Its principal is active, and no partner's.
    3. It has not ended; a device's or service's may have ended as long ago as the terms allow.
    4. It is the newest of its line. With the same key as before, the certificate that was issued then is returned
       (`AlreadyRenewed`): a client is not locked out by a lost answer, and a repeated request issues nothing. This holds also
       after the authority of the old certificate was retired, which revokes the old one: the answer may have been lost before.
       It does not hold if an operator revoked the old certificate, or if its key did not prove the request.
    5. No certificate ever had the new key: not the old one, no other principal's, none of our own authorities or servers.
    6. A certificate that was itself made by a renewal has lived a third of its life, or a rollover replaces it: otherwise the
       thief of one key would get certificate after certificate, each with a key of its own to hide (`require_due`). An
       operator may renew at any time.
    7. The principal has not renewed too often within a day.

A person may have imported one certificate into several programs. So at the portal and by an operator, a person's
certificate may have several successors (`may_branch`).
If an older certificate of a line is to be renewed with another key, two parties have keys of this line: see `authority.line`.
Not here: the proof of possession of the old key (enrolment.renewal), issuing (certificates).
Standard: docs/design/0078.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.authority.inventory import require_certificate
from doorward.authority.issuing.registration import require_active
from doorward.authority.rollover.schedule import must_renew
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import Principal, PrincipalKind
from doorward.core.errors import RequestRefused
from doorward.pki.keys import digest_key_of
from doorward.stores.partner_records import PARTNER_PROFILE
from doorward.stores.prerequisites import replaced_issuer
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.stores.renewal_terms import RenewalTerms
from doorward.verification.validity import ends_at

_DAY = timedelta(days=1)
_LEFT = frozenset({RevocationReason.SUPERSEDED, RevocationReason.CESSATION_OF_OPERATION})
"""Why a certificate is revoked if its authority is retired (`rollover.leaving`)."""

SOONEST_PART = 3
"""A successor is renewed after a third of its life at the earliest. No setting: clients renew at two thirds (`pki.lifecycle`),
so an honest one is never early, and the thief of a key gets three successors in one life at most."""


class AlreadyRenewed(Exception):
    """The certificate was renewed before with the same key; `record` is the successor, which is valid."""

    def __init__(self, record: CertificateRecord) -> None:
        super().__init__(record.id)
        self.record = record


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A certificate that may be renewed, and its holder.

    Args:
        record: the certificate.
        principal: its holder.
        answer: if the certificate left with its authority: the successor that was issued for this very request. Then this
            may be returned, and nothing may be issued.
    """

    record: CertificateRecord
    principal: Principal
    answer: CertificateRecord | None = None


def require_standing(
    stores: Stores, certificate_id: str, now: datetime, terms: RenewalTerms, *, proven_key: str = ""
) -> Renewal:
    """Check the rules 1 to 3: certificate and holder are in good standing.

    Args:
        stores: of the transaction.
        certificate_id: the certificate to renew.
        now: aware, UTC.
        terms: as in the settings.
        proven_key: the digest of the requested key, if the requester has proved the key of the certificate. Then the answer
            to this very request is found again (rule 4), also if the certificate left with its authority.

    Raises:
        NotFound: `certificate-unknown`, `principal-unknown`.
        RequestRefused: `certificate-not-renewable`, with the reason in words; `principal-suspended`,
            `principal-removed`, `principal-of-a-partner`.
    """
    # 1. ours, a principal's, valid
    record = require_certificate(stores, certificate_id)
    if record.profile == PARTNER_PROFILE:
        raise _not_renewable(record, "a partner's authority issued it, and renews it")
    if not record.principal_id:
        raise _not_renewable(
            record, "it belongs to a server: gateways renew their certificates by themselves"
        )
    answer = _find_answer(stores, record, proven_key)
    if record.state is not CertificateState.VALID and answer is None:
        raise _not_renewable(record, f"its state is {record.state.value}", may_invite=True)
    # 2. the principal
    principal = require_active(stores, record.principal_id)
    # 3. the dates
    after_end = terms.after_end(principal.kind)
    if now >= ends_at(record.not_after) + after_end:
        limit = f" more than {after_end.days} days ago" if after_end else ""
        raise _not_renewable(record, f"it has expired{limit}", may_invite=True)
    return Renewal(record=record, principal=principal, answer=answer)


def _find_answer(stores: Stores, record: CertificateRecord, key: str) -> CertificateRecord | None:
    """Return the successor for this key if the certificate was revoked because its authority was retired; otherwise None."""
    authority = stores.authorities.get(record.authority_id)
    if not key or record.reason not in _LEFT or authority is None or authority.retired_at is None:
        return None
    for one in stores.certificates.successors(record.id):
        above = stores.authorities.get(one.authority_id)
        if one.spki_sha256 == key and one.state is CertificateState.VALID:
            return one if above is not None and above.retired_at is None else None
    return None


def require_newest(stores: Stores, renewal: Renewal, key: str, *, may_branch: bool) -> None:
    """Check the rules 4 and 5: the certificate is the newest of its line, and the key is new.

    Args:
        stores: of the transaction.
        renewal: from `require_standing`.
        key: SHA-256 of the new SubjectPublicKeyInfo, lower-case hex.
        may_branch: allow several successors of a person's certificate.

    Raises:
        AlreadyRenewed: it was renewed before with this key.
        RequestRefused: `renewal-superseded`, `key-used-before`; `certificate-not-renewable`: the certificate that was
            issued for this key was withdrawn.
    """
    record = renewal.record
    # 4. the newest of its line
    made = [
        one for one in stores.certificates.successors(record.id) if one.state is not CertificateState.INTENDED
    ]
    for one in made:
        if one.spki_sha256 == key:
            if one.state is not CertificateState.VALID:
                raise _not_renewable(record, f"its successor {one.id} is {one.state.value}", may_invite=True)
            raise AlreadyRenewed(one)
    if made and not (may_branch and renewal.principal.kind is PrincipalKind.PERSON):
        raise RequestRefused(
            "renewal-superseded",
            f"{record.id} was renewed already, with another key: {made[-1].id} is newer",
            hint=f"renew the newest certificate; if its key is lost: doorward invite {record.subject_name}",
        )
    # 5. a new key
    own = (digest_key_of(one.der) for one in stores.authorities.list())
    if stores.certificates.has_key(key) or key in own:
        raise RequestRefused(
            "key-used-before",
            "a certificate with this key was issued before",
            hint="make a new key for each certificate",
        )


def require_due(stores: Stores, renewal: Renewal, now: datetime) -> None:
    """Check rule 6; raise `RequestRefused` (`renewal-too-early`) if a successor is to be renewed soon after it was made.

    A first certificate may be renewed at once: a device may have got it with a key that was made elsewhere. A
    person's certificate that may branch is bounded by the number of valid ones instead (the portal).
    """
    record = renewal.record
    due = record.not_before + (record.not_after - record.not_before) / SOONEST_PART
    if not record.replaces or now >= due or record.authority_id == replaced_issuer(stores):
        return
    early = must_renew(stores, record, now)
    if early is not None and now >= early:
        return
    raise RequestRefused(
        "renewal-too-early",
        f"{record.id} was itself made by a renewal, and may be renewed from {due:%Y-%m-%d %H:%M} UTC on",
        hint=f"keep using it; an operator can renew it now: doorward cert renew {record.id}",
        retry_after_seconds=max(1, round((due - now).total_seconds())),
    )


def require_seldom(stores: Stores, renewal: Renewal, now: datetime, terms: RenewalTerms) -> None:
    """Check rule 7; raise `RequestRefused` (`renewals-too-many`) if the principal renewed too often within a day."""
    renewed = stores.certificates.renewed_since(renewal.principal.id, now - _DAY)
    if len(renewed) >= terms.most_per_day:
        free = renewed[-terms.most_per_day] + _DAY
        raise RequestRefused(
            "renewals-too-many",
            f"{renewal.principal.name} renewed {len(renewed)} certificates within a day, and the limit is {terms.most_per_day}",
            hint="find out which program renews again and again; the setting renewals_per_day changes the limit",
            retry_after_seconds=max(1, round((free - now).total_seconds())),
        )


def _not_renewable(record: CertificateRecord, why: str, *, may_invite: bool = False) -> RequestRefused:
    hint = f"invite its holder again: doorward invite {record.subject_name}" if may_invite else ""
    return RequestRefused("certificate-not-renewable", f"{record.id} cannot be renewed: {why}", hint=hint)
