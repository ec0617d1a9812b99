"""The EST operations as use cases: enrol, renew, keys made here, and the authority's own certificates.

    enrol    a token, if there is one; otherwise as `reenrol`
    reenrol  the shown certificate: if it is ours, it is renewed (enrolment.renewal); otherwise it is judged as one of a
             factory (directory.fleets.admission)
Old clients do not distinguish the two operations as RFC 7030 does: strongSwan sends each request with a certificate to
`simplereenroll`. So what was shown decides, and not the path.

Standard: RFC 7030 sections 4.1, 4.2 and 4.4; 3.2.3 and 3.3.2 for how clients prove who they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from doorward.authority.issuing import Issued
from doorward.core.errors import RequestRefused
from doorward.core.ports import PrivateKey
from doorward.directory.fleets import admission
from doorward.directory.fleets.judging import is_of_manufacturer
from doorward.enrolment.est.key_generation import GeneratedKeyClaim
from doorward.enrolment.invitation import redeem
from doorward.enrolment.renewal import renew
from doorward.pki.csr import build_csr, find_key_kind
from doorward.stores.prerequisites import require_authority, trusted_issuers
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, CertificateRecord
from doorward.stores.roots import cross_certificates, trusted_roots
from doorward.stores.services import Services
from doorward.wire.est import BasicCredentials


@dataclass(frozen=True, slots=True, kw_only=True)
class EstPeer:
    """What a client showed.

    Args:
        credentials: from the Authorization field; None if there is none.
        chain: DER, leaf first, as shown in TLS, which proved the key of the leaf and nothing else; empty if none was shown.
        source: the client's address, for events.
    """

    credentials: BasicCredentials | None = None
    chain: tuple[bytes, ...] = ()
    source: str = ""


class Recognised(Enum):
    """Who certified what a client showed."""

    OURS = "ours"
    FACTORY = "factory"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedKey:
    """A key that was made for a device: PKCS#8, DER, not encrypted; it is in no store and in no event."""

    pkcs8: bytes = field(repr=False)
    issued: Issued


def authority_certificates(services: Services) -> tuple[bytes, ...]:
    """Return the certificates that clients need: issuing authorities, the one that issues first, then the root; DER.

    During a rollover both issuing authorities are among them; if it replaces the root, both roots, NewWithOld and OldWithNew.

    Raises:
        NotFound: `not-founded`.

    Standard: RFC 7030 section 4.1.3; RFC 4210 section 4.4.
    """
    with services.work.read() as stores:
        require_authority(stores, AuthorityKind.ROOT)
        every = (*trusted_issuers(stores), *trusted_roots(stores), *cross_certificates(stores))
        return tuple(one.der for one in every)


def recognise(services: Services, peer: EstPeer) -> Recognised:
    """Say who certified the certificate that a client showed, for counting; whether it is good is judged later.

    A stranger costs one look into the inventory and `directory.fleets.judging.is_of_manufacturer`.
    """
    if not peer.chain:
        return Recognised.NEITHER
    with services.work.read() as stores:
        if _find_own(stores, peer) is not None:
            return Recognised.OURS
        return Recognised.FACTORY if is_of_manufacturer(stores, peer.chain) else Recognised.NEITHER


def enrol(
    services: Services, peer: EstPeer, request: bytes, bad_token_error: RequestRefused | None = None
) -> Issued:
    """Issue a certificate by a token, or by the shown certificate.

    Args:
        services: the ports of this process.
        peer: what the client showed.
        request: PKCS#10, DER or PEM; only its key is used.
        bad_token_error: as for `enrolment.invitation.redeem`.

    Raises:
        EnrolmentPending: an operator has to approve the device first (`directory.fleets.admission`).
        RequestRefused: `credentials-missing`; as `enrolment.invitation.redeem` and as `reenrol`.
        MalformedInput: as `pki.csr.parse_csr`.
        Unavailable: nothing was issued.
    """
    if peer.credentials is None:
        return reenrol(services, peer, request)
    return redeem(
        services,
        peer.credentials.password,
        request,
        name=peer.credentials.name,
        source_address=peer.source,
        bad_token_error=bad_token_error,
    )


def reenrol(
    services: Services,
    peer: EstPeer,
    request: bytes,
    bad_token_error: RequestRefused | None = None,  # noqa: ARG001  as `enrol`
) -> Issued:
    """Issue a certificate by the shown certificate: renew ours, or admit a factory's; a token is not looked at.

    Raises:
        EnrolmentPending: as above.
        RequestRefused: `credentials-missing`; as `enrolment.renewal.renew` and `directory.fleets.admission.enrol`.
        MalformedInput: as `pki.csr.parse_csr`.
    """
    if not peer.chain:
        raise credentials_missing()
    with services.work.read() as stores:
        own = _find_own(stores, peer)
    if own is not None:
        return renew(services, own, request, actor=own.principal_id or "system")
    return admission.enrol(services, peer.chain, request, source=peer.source)


def generate(
    services: Services, peer: EstPeer, request: bytes, bad_token_error: RequestRefused | None = None
) -> GeneratedKey:
    """Make a key for a device with a token, and its certificate; no key is made before the token is found good.

    Args:
        services: the ports of this process.
        peer: what the client showed; a certificate is not enough.
        request: its key is not certified and may be a weak one: it says which kind of key the device can use.
        bad_token_error: as for `enrolment.invitation.redeem`.

    Raises:
        RequestRefused: `credentials-missing`; `key-generation-refused` if it is no device; as `enrolment.invitation.redeem`.
        MalformedInput: as `pki.csr.find_key_kind`.
    """
    if peer.credentials is None:
        raise credentials_missing()
    kind, keys = find_key_kind(request), list[PrivateKey]()

    def make() -> bytes:
        keys.append(services.factory.generate(kind))
        return build_csr(keys[0], "generated")

    issued = redeem(
        services,
        peer.credentials.password,
        make,
        name=peer.credentials.name,
        source_address=peer.source,
        bad_token_error=bad_token_error,
        claimed=GeneratedKeyClaim,
    )
    return GeneratedKey(
        pkcs8=keys[0].private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), issued=issued
    )


def _find_own(stores: Stores, peer: EstPeer) -> CertificateRecord | None:
    """Return the certificate of the inventory that was shown, byte for byte."""
    return stores.certificates.by_sha256(hashlib.sha256(peer.chain[0]).hexdigest())


def credentials_missing() -> RequestRefused:
    """Return the error for a client that showed nothing that could prove who it is."""
    return RequestRefused(
        "credentials-missing",
        "this needs the token of a one-time link, or the certificate of a device",
        hint="make a link with `doorward invite NAME`; the user name is NAME, and the password is the link's token",
    )
