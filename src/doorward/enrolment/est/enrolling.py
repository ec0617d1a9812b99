"""The EST operations as use cases: enrol, renew, and the authority's own certificates.

Standard: RFC 7030 sections 4.1 and 4.2; 3.2.3 and 3.3.2 for how clients prove who they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from doorward.authority.issuing import Issued
from doorward.core.errors import RequestRefused
from doorward.enrolment.invitation import redeem
from doorward.stores.prerequisites import require_authority
from doorward.stores.records import AuthorityKind
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


def authority_certificates(services: Services) -> tuple[bytes, ...]:
    """Return the certificates that clients need: issuing authority first, then root; DER.

    Raises:
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        return tuple(
            require_authority(stores, kind).der for kind in (AuthorityKind.ISSUING, AuthorityKind.ROOT)
        )


def enrol(
    services: Services, peer: EstPeer, request: bytes, *, bad_token_error: RequestRefused | None = None
) -> Issued:
    """Issue the first certificate of a device.

    Args:
        services: the ports of this process.
        peer: what the client showed.
        request: PKCS#10, DER or PEM; only its key is used.
        bad_token_error: as for `enrolment.invitation.redeem`.

    Raises:
        RequestRefused: `credentials-missing`; as `enrolment.invitation.redeem`.
        MalformedInput: as `pki.csr.parse_csr`.
        Unavailable: nothing was issued.
    """
    if peer.credentials is not None:
        return redeem(
            services,
            peer.credentials.password,
            request,
            name=peer.credentials.name,
            source_address=peer.source,
            bad_token_error=bad_token_error,
        )
    raise credentials_missing()


def credentials_missing() -> RequestRefused:
    """Return the error for a client that showed nothing that could prove who it is."""
    return RequestRefused(
        "credentials-missing",
        "this needs the token of a one-time link, or the certificate of a device",
        hint="make a link with `doorward invite NAME`; the user name is NAME, and the password is the link's token",
    )
