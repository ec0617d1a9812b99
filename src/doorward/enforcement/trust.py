"""The authorities that the door of an application names to its clients, if the application trusts partners.

At such a door Envoy asks for a certificate and verifies no chain: TLS proves that the client has the private key, and only
the authorizer judges the certificate (docs/design/0043). Envoy's own verification would refuse some good
certificates of partners, and some of the causes are in the leaf, which is unknown before the handshake. Envoy only gets
the authorities that CertificateRequest names, so that clients find the right certificate.

Not here: judging certificates (`verification`).
Standard: RFC 8446 sections 4.2.4 and 4.3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from doorward.core.errors import MalformedInput
from doorward.verification.path.ca_names import CA_NAMES_LIMIT, count_ca_name_octets
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.name_parsing import parse_name
from doorward.wire.pem import render_pem


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorTrust:
    """The authorities of a door where Envoy verifies no chain.

    `authorities` are PEM, sorted, without duplicates. `named` says whether CertificateRequest lists the names of the
    authorities: a handshake has room for 64 KiB of names. Without names, clients choose among all their certificates.
    """

    authorities: tuple[str, ...]
    named: bool = True

    def __post_init__(self) -> None:
        if not self.authorities:
            raise ValueError(
                "a door needs at least one authority: without one, most clients send no certificate"
            )


def build_trust(own: Sequence[bytes], partners: Sequence[bytes]) -> DoorTrust:
    """Return the authorities of a door that trusts partners.

    Args:
        own: our own issuing authorities, DER; empty if the application does not trust them.
        partners: anchors and intermediates of the trusted partners, DER.

    A certificate that cannot be parsed is left out: no path can contain it. A certificate with a name that Envoy cannot read
    (a malformed UTF8String, BMPString or UniversalString) is left out too, because Envoy would otherwise refuse the
    whole list. Certificates that such an authority issued are still judged, but CertificateRequest does not name the authority.

    Raises:
        ValueError: no certificate is left.
    """
    authorities = []
    for one in (*own, *partners):
        with suppress(MalformedInput):
            parsed = parse_path_certificate(one)
            if not any(parse_name(name).malformed for name in (parsed.subject_der, parsed.issuer_der)):
                authorities.append(parsed)
    pem = {render_pem(one.der) for one in authorities}
    return DoorTrust(
        authorities=tuple(sorted(pem)), named=count_ca_name_octets(authorities) <= CA_NAMES_LIMIT
    )
