"""OCSP answers made ahead: signed when a certificate's state changes, stored in the same transaction.

So what is handed out is never older than the state that it tells, and asking costs no signature.
Not here: answering (status), the answers' form (pki.ocsp).
Standard: RFC 6960 sections 2.5 and 4.2.2.2; RFC 5019.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from doorward.core.errors import DoorwardError, Unavailable
from doorward.core.ports import PrivateKey
from doorward.pki.keys import check_public_key, encode_key_bits
from doorward.pki.ocsp import (
    OcspResponder,
    UpdateWindow,
    build_responder,
    describe_status,
    presign_responses,
)
from doorward.stores.prerequisites import load_key, require_authority
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, CertificateRecord, OcspRecord
from doorward.stores.services import Services

HASH_NAMES = ("sha1", "sha256")
"""How clients name an issuer (CertID): OpenSSL and most others with SHA-1, on which no secret rests here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSigner:
    """Signs answers about the certificates of one issuing authority.

    `ends_at` is the end of the responder's own certificate: no answer outlives it, because nobody could
    verify it any more.
    """

    authority_id: str
    responder: OcspResponder
    lifetime: timedelta
    ends_at: datetime

    def window(self, now: datetime) -> UpdateWindow:
        """Return the times of an answer that is made now, which lies before `ends_at`."""
        next_update = min(now + self.lifetime, self.ends_at)
        return UpdateWindow(produced_at=now, this_update=now, next_update=next_update)

    def sign(self, record: CertificateRecord, now: datetime) -> tuple[OcspRecord, ...]:
        """Return the answers about a certificate in its present state; none for another issuer's, or too late."""
        if record.authority_id != self.authority_id or now >= self.ends_at:
            return ()
        window = self.window(now)
        status = describe_status(record.state, record.revoked_at, record.reason)
        signed = presign_responses(record.serial, status, responder=self.responder, window=window)
        return tuple(
            OcspRecord(certificate_id=record.id, hash_name=name, der=der, next_update=window.next_update)
            for name, der in (("sha1", signed.sha1), ("sha256", signed.sha256))
        )


def load_signer(services: Services, stores: Stores) -> AnswerSigner:
    """Return the signer of the current issuing authority.

    Raises:
        NotFound: `not-founded`, or the responder's key is not in the store.
        Unavailable: `keys-unavailable`; `responder-expired`: nobody would take what it signs.
        IntegrityError: key and certificate do not belong together.
    """
    issuing = require_authority(stores, AuthorityKind.ISSUING)
    delegate = require_authority(stores, AuthorityKind.OCSP_RESPONDER)
    if delegate.not_after <= services.clock.now():
        raise Unavailable(
            "responder-expired",
            f"the OCSP responder's certificate ended {delegate.not_after:%Y-%m-%d %H:%M}Z",
            hint="`doorward serve` renews it by itself; its log says what hinders it",
        )
    key = load_key(services, delegate)
    return AnswerSigner(
        authority_id=issuing.id,
        responder=_build_responder(issuing.der, delegate.der, key),
        lifetime=services.ocsp_lifetime,
        ends_at=delegate.not_after,
    )


def signer_if_any(services: Services, stores: Stores) -> AnswerSigner | None:
    """Return the signer, or None where it cannot be had.

    Neither a revocation nor a certificate waits for it: the refresh job signs their answers later.
    """
    try:
        return load_signer(services, stores)
    except DoorwardError:
        return None


def refresh_horizon(services: Services, stores: Stores, now: datetime) -> datetime:
    """Return until when an answer must be good that needs no new one yet.

    Half of the time that one signed now would have: an answer just signed is never due, also where the
    responder's own end cuts its time short.
    """
    delegate = require_authority(stores, AuthorityKind.OCSP_RESPONDER)
    return now + max(timedelta(0), min(services.ocsp_lifetime, delegate.not_after - now)) / 2


def replace_answers(
    stores: Stores, certificate_id: str, answers: Sequence[OcspRecord], now: datetime
) -> None:
    """Put new answers in the old ones' place.

    Without new ones (no signer here), the refresh job signs them; until then requests are answered live or not.
    """
    if not answers:
        stores.status.await_ocsp(certificate_id, now)
        return
    stores.status.forget_ocsp(certificate_id)
    for answer in answers:
        stores.status.store_ocsp(answer)


def find_issuer(stores: Stores, hash_name: str, name_hash: bytes, key_hash: bytes) -> AuthorityRecord | None:
    """Return the issuing authority that a request's CertID means."""
    for authority in stores.authorities.list():
        asked = (hash_name, name_hash, key_hash)
        if authority.kind is AuthorityKind.ISSUING and asked in _list_ids(authority.der):
            return authority
    return None


@functools.lru_cache(maxsize=8)
def _build_responder(issuer: bytes, delegate: bytes, key: PrivateKey) -> OcspResponder:
    """Building verifies the delegation, which costs more than two answers: once for each key is enough."""
    return build_responder(
        x509.load_der_x509_certificate(issuer), key, x509.load_der_x509_certificate(delegate)
    )


@functools.lru_cache(maxsize=8)
def _list_ids(der: bytes) -> frozenset[tuple[str, bytes, bytes]]:
    """Return the CertID hashes of an issuer (RFC 6960 section 4.1.1)."""
    certificate = x509.load_der_x509_certificate(der)
    name = certificate.subject.public_bytes()
    bits = encode_key_bits(check_public_key(certificate.public_key())[0])
    return frozenset((word, _digest(word, name), _digest(word, bits)) for word in HASH_NAMES)


def _digest(word: str, data: bytes) -> bytes:
    return hashlib.new(word, data, usedforsecurity=False).digest()
