"""Pre-signed OCSP responses: signed when the state of a certificate changes, and stored in the same transaction.

So a response is never older than the state that it reports, and a request costs no signature.
Not here: answering requests (responder), the format of the responses (pki.ocsp).
Standard: RFC 6960 sections 2.5 and 4.2.2.2; RFC 5019.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from doorward.core.errors import DoorwardError, NotFound, Unavailable
from doorward.core.ports import PrivateKey
from doorward.pki.keys import check_public_key, encode_key_bits
from doorward.pki.ocsp import (
    OcspResponder,
    UpdateWindow,
    build_responder,
    describe_status,
    presign_responses,
)
from doorward.stores.prerequisites import load_key, require_authority, trusted_issuers
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, CertificateRecord, OcspRecord
from doorward.stores.services import Services

HASH_NAMES = ("sha1", "sha256")
"""Hash functions of a CertID. OpenSSL and most clients use SHA-1 to name an issuer; nothing secret depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoritySigner:
    """Signs responses about the certificates of one issuing authority.

    `ends_at` is the end of the responder's own certificate. No response is valid longer, because no client could
    verify it after that.
    """

    authority_id: str
    responder: OcspResponder
    lifetime: timedelta
    ends_at: datetime

    def window(self, now: datetime) -> UpdateWindow:
        """Return the times of a response that is signed now; now must be before `ends_at`."""
        next_update = min(now + self.lifetime, self.ends_at)
        return UpdateWindow(produced_at=now, this_update=now, next_update=next_update)

    def sign(self, record: CertificateRecord, now: datetime) -> tuple[OcspRecord, ...]:
        """Return the responses about a certificate of this authority; empty if the responder's certificate has ended."""
        if now >= self.ends_at:
            return ()
        window = self.window(now)
        status = describe_status(record.state, record.revoked_at, record.reason)
        signed = presign_responses(record.serial, status, responder=self.responder, window=window)
        return tuple(
            OcspRecord(certificate_id=record.id, hash_name=name, der=der, next_update=window.next_update)
            for name, der in (("sha1", signed.sha1), ("sha256", signed.sha256))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspSigner:
    """Signs responses about the certificates of our issuing authorities: more than one during a rollover."""

    authorities: Mapping[str, AuthoritySigner]

    def of(self, authority_id: str) -> AuthoritySigner | None:
        """Return the signer of an issuing authority; None if it is not trusted any more, or its key is not here."""
        return self.authorities.get(authority_id)

    def sign(self, record: CertificateRecord, now: datetime) -> tuple[OcspRecord, ...]:
        """Return the responses about a certificate in its current state.

        Empty if no signer is its issuer's, or if the responder's certificate has ended.
        """
        signer = self.of(record.authority_id)
        return () if signer is None else signer.sign(record, now)


def load_signer(services: Services, stores: Stores) -> OcspSigner:
    """Return the signer. Every issuing authority that is trusted is in it, if its responder is in order.

    Raises:
        NotFound: `not-founded`, or the key of the current authority's responder is not in the key store.
        Unavailable: `keys-unavailable`; `responder-expired`: no client would accept its signatures.
        IntegrityError: the key is not the key of the certificate.
    """
    current = require_authority(stores, AuthorityKind.ISSUING)
    found = {current.id: load_authority_signer(services, stores, current)}
    for one in trusted_issuers(stores):
        if one.id != current.id:
            # What is wrong with another authority's responder must not stop the current one.
            with suppress(DoorwardError):
                found[one.id] = load_authority_signer(services, stores, one)
    return OcspSigner(authorities=found)


def load_authority_signer(services: Services, stores: Stores, issuing: AuthorityRecord) -> AuthoritySigner:
    """Return the signer of one issuing authority; raises as `load_signer`."""
    delegate = stores.authorities.responder(issuing.id)
    if delegate is None:
        raise NotFound("not-founded", "there is no ocsp-responder certificate")
    if delegate.not_after <= services.clock.now():
        raise Unavailable(
            "responder-expired",
            f"the OCSP responder's certificate expired at {delegate.not_after:%Y-%m-%d %H:%M}Z",
            hint="`doorward serve` renews it by itself; read its log to see why it could not",
        )
    key = load_key(services, delegate)
    return AuthoritySigner(
        authority_id=issuing.id,
        responder=_build_responder(issuing.der, delegate.der, key),
        lifetime=services.ocsp_lifetime,
        ends_at=delegate.not_after,
    )


def signer_if_any(services: Services, stores: Stores) -> OcspSigner | None:
    """Return the signer, or None if there is none.

    A revocation or an issue does not wait for it: the refresh job signs the responses later.
    """
    try:
        return load_signer(services, stores)
    except DoorwardError:
        return None


def refresh_horizon(services: Services, stores: Stores, now: datetime) -> datetime:
    """Return the refresh horizon: a response with a nextUpdate before it is signed again.

    It is half of the lifetime that a response signed now would have. So a response that was just signed is never due, not
    even if the end of a responder's certificate shortens its lifetime: the responder that ends first decides.
    """
    require_authority(stores, AuthorityKind.OCSP_RESPONDER)
    delegates = [stores.authorities.responder(one.id) for one in trusted_issuers(stores)]
    ends = [one.not_after for one in delegates if one is not None and one.not_after > now]
    return now + min((services.ocsp_lifetime, *(end - now for end in ends))) / 2 if ends else now


def replace_responses(
    stores: Stores, certificate_id: str, responses: Sequence[OcspRecord], now: datetime
) -> None:
    """Replace the pre-signed responses about a certificate; `responses` as for `store_responses`."""
    stores.status.forget_ocsp(certificate_id)
    store_responses(stores, {certificate_id: responses}, now)


def store_responses(stores: Stores, signed: Mapping[str, Sequence[OcspRecord]], now: datetime) -> None:
    """Store the pre-signed responses about certificates that have none, by the ids of the certificates.

    If there are none for a certificate (this process has no signer), the refresh job signs them later. Until then the
    responder signs on request, if it can.
    """
    stores.status.store_ocsp(*(one for responses in signed.values() for one in responses))
    for certificate_id, responses in signed.items():
        if not responses:
            stores.status.await_ocsp(certificate_id, now)


def issuer_of_ids(stores: Stores) -> dict[tuple[str, bytes, bytes], AuthorityRecord]:
    """Return our issuing authorities by the hashes with which the CertID of a request names an issuer."""
    issuing = [one for one in stores.authorities.list() if one.kind is AuthorityKind.ISSUING]
    return {ids: one for one in reversed(issuing) for ids in _list_ids(one.der)}


@functools.lru_cache(maxsize=8)
def _build_responder(issuer: bytes, delegate: bytes, key: PrivateKey) -> OcspResponder:
    """Build a responder once per key: this verifies the delegation, which costs more than signing two responses."""
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
