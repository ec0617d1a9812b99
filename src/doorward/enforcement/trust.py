"""Whose certificates finish a handshake with a door, and how closely Envoy looks at them.

Not here: judging them (`verification`): the authorizer asks every question again, and strictly. Envoy is
a first sieve that must never refuse what is good. Intermediates are given to it as trusted, as anchors
are: it then needs no certificate but the leaf from the peer, and has no path to choose.

Two things Envoy gets wrong in the other direction (measured, docs/standards.md):
1. a name constraint about IP addresses makes it refuse good certificates;
2. of several authorities with one name and different keys it tries one.
Where one of them can happen the sieve is taken out: TLS then proves possession of the key and no more,
and the authorizer alone judges.
Standard: RFC 5280 sections 4.2.1.10 and 6.1; RFC 8446 section 4.3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding

from doorward.core.errors import MalformedInput
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.path.constraints import IP


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What one door is told.

    Args:
        authorities: PEM, sorted, each once; their names go into CertificateRequest.
        verified: whether Envoy verifies that one of them vouches for the leaf.
    """

    authorities: tuple[str, ...]
    verified: bool = True

    def __post_init__(self) -> None:
        if not self.authorities:
            raise ValueError("a door that trusts no authority would not check the handshake")


def build_trust(own: Sequence[bytes], partners: Sequence[bytes]) -> Trust:
    """Return what a door is told that partners' authorities may vouch at.

    Args:
        own: our own issuing authorities, DER; empty where they may not vouch here.
        partners: anchors and intermediates of the partners that may, DER.

    A certificate that does not parse is left out: nobody could be judged by it.

    Raises:
        ValueError: none is left.
    """
    every = []
    for one in (*own, *partners):
        with suppress(MalformedInput):
            every.append(parse_path_certificate(one))
    pem = {one.certificate.public_bytes(Encoding.PEM).decode("ascii") for one in every}
    return Trust(authorities=tuple(sorted(pem)), verified=not any(map(_misleads, every)) and _is_plain(every))


def _misleads(authority: PathCertificate) -> bool:
    """Point 1."""
    subtrees = authority.subtrees
    return subtrees is not None and IP in subtrees.permitted.keys() | subtrees.excluded.keys()


def _is_plain(authorities: Sequence[PathCertificate]) -> bool:
    """Point 2: whether each name stands for one key."""
    keys = {one.subject: one.key_bits for one in authorities}
    return all(keys[one.subject] == one.key_bits for one in authorities)
