"""Which authorities a door names to its peers, if partners' people may come.

Not here: judging certificates (`verification`). At a door that trusts a partner Envoy asks for a
certificate and verifies no chain: TLS proves that the peer has the private key, and the authorizer alone
judges (docs/design/0043). Envoy's own check refuses good certificates of partners, and some of the
reasons lie in the leaf, so that they cannot be foreseen here.

What is left to tell Envoy is which authorities to name in CertificateRequest, so that clients find the right certificate.
Standard: RFC 8446 sections 4.2.4 and 4.3.2.
"""

from __future__ import annotations

import textwrap
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from doorward.core.errors import MalformedInput
from doorward.verification.path.ca_names import CA_NAMES_LIMIT, count_ca_name_octets
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.name_parsing import parse_name


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorTrust:
    """What a door with an unverified chain is told.

    `authorities` are PEM, sorted, each once; `named` says whether peers are told their names: more than
    64 KiB of them fit into no handshake, and peers then choose among all certificates that they have.
    """

    authorities: tuple[str, ...]
    named: bool = True

    def __post_init__(self) -> None:
        if not self.authorities:
            raise ValueError("a door that names no authority gets no certificate of most clients")


def build_trust(own: Sequence[bytes], partners: Sequence[bytes]) -> DoorTrust:
    """Return what a door is told that partners' authorities may vouch at.

    Args:
        own: our own issuing authorities, DER; empty where they may not vouch here.
        partners: anchors and intermediates of the partners that may, DER.

    A certificate that does not parse is left out: no path leads through it. One with a name that Envoy does not read
    (a UTF8String, BMPString or UniversalString that is none) is left out too, or Envoy would take none of them: its
    holders are judged as ever, and their clients do not find the name among those that are asked for.

    Raises:
        ValueError: none is left.
    """
    every = []
    for one in (*own, *partners):
        with suppress(MalformedInput):
            read = parse_path_certificate(one)
            if not any(parse_name(name).malformed for name in (read.subject_der, read.issuer_der)):
                every.append(read)
    pem = {_as_pem(one.der) for one in every}
    return DoorTrust(authorities=tuple(sorted(pem)), named=count_ca_name_octets(every) <= CA_NAMES_LIMIT)


def _as_pem(der: bytes) -> str:
    lines = textwrap.wrap(b64encode(der).decode("ascii"), 64)
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])
