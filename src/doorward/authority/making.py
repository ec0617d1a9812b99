"""Keys, names and records of our own authority certificates, for the founding and for a rollover.

Not here: the certificates themselves (issuing).
Standard: RFC 5280 section 4.1.2.6.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from doorward.audit.events import EventType
from doorward.authority.issuing import certify_responder
from doorward.core.certificate import CertificateFacts
from doorward.core.entities import TENANT
from doorward.core.names import COMMON_NAME_LIMIT
from doorward.core.ports import KeyKind, KeyStore, PrivateKey
from doorward.stores.events import new_event
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord
from doorward.stores.services import Services


def new_key(services: Services, stores: Stores, keys: KeyStore, word: str) -> tuple[str, PrivateKey]:
    """Make a key, store it under the next free name (`choose_key_name`), and return its name and the key."""
    name = choose_key_name(stores, keys, word)
    key = services.factory.generate(KeyKind.P256)
    keys.store(name, key)
    return name, key


def choose_key_name(stores: Stores, keys: KeyStore, word: str) -> str:
    """Return `word` with the next free number; nothing is stored.

    The number of a key that was destroyed is not used again: the common name of its certificate contains it, and two
    authorities of one name would be one issuer for relying parties (RFC 5280 section 4.1.2.4).
    """
    every = {
        *keys.names(),
        *(one.key_name for one in stores.authorities.list()),
        *(one.key_name for one in stores.rollovers.list()),
    }
    taken = [int(name.removeprefix(f"{word}-")) for name in every if _is_numbered(name, word)]
    return f"{word}-{max(taken, default=0) + 1}"


def build_common_name(trust_domain: str, word: str, key_name: str) -> str:
    """Return a common name that no other certificate of this authority has (RFC 5280 section 4.1.2.6)."""
    tail = f" {word} {key_name.rpartition('-')[2]}"
    return trust_domain[: COMMON_NAME_LIMIT - len(tail)].rstrip(".-") + tail


def build_record(
    services: Services,
    kind: AuthorityKind,
    facts: CertificateFacts,
    key_name: str,
    *,
    now: datetime,
    issuer_id: str = "",
    current: bool = True,
) -> AuthorityRecord:
    """Return the record of a new authority certificate; the arguments are as in `AuthorityRecord`."""
    return AuthorityRecord(
        id=services.new_id("aut"),
        tenant=TENANT,
        kind=kind,
        der=facts.der,
        key_name=key_name,
        created_at=now,
        not_after=facts.not_after,
        current=current,
        issuer_id=issuer_id,
    )


def add_authority(
    services: Services, stores: Stores, authority: AuthorityRecord, facts: CertificateFacts, *, actor: str
) -> None:
    """Add an authority certificate and its event, in the caller's transaction."""
    stores.authorities.add(authority)
    event = new_event(
        services,
        EventType.AUTHORITY_CREATED,
        actor=actor,
        at=authority.created_at,
        data={
            "authority": authority.id,
            "kind": authority.kind.value,
            "sha256": facts.sha256,
            "subject": facts.subject,
            "key_kind": facts.key_kind,
            "not_before": facts.not_before,
            "not_after": facts.not_after,
        },
    )
    stores.outbox.add(event)


def add_responder(
    services: Services,
    stores: Stores,
    keys: KeyStore,
    issuing: AuthorityRecord,
    issuing_key: PrivateKey,
    *,
    trust_domain: str,
    actor: str,
    now: datetime,
) -> AuthorityRecord:
    """Make the key and the certificate of an issuing authority's OCSP responder, and add it, in the caller's transaction."""
    name, key = new_key(services, stores, keys, "ocsp")
    minted = certify_responder(
        services,
        common_name=build_common_name(trust_domain, "OCSP", name),
        public_key=key.public_key(),
        issuer=x509.load_der_x509_certificate(issuing.der),
        issuer_key=issuing_key,
        now=now,
    )
    responder = build_record(
        services, AuthorityKind.OCSP_RESPONDER, minted.facts, name, issuer_id=issuing.id, now=now
    )
    add_authority(services, stores, responder, minted.facts, actor=actor)
    return responder


def _is_numbered(name: str, word: str) -> bool:
    return name.startswith(f"{word}-") and name.removeprefix(f"{word}-").isdigit()
