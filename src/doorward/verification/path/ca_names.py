"""The size of the list of authority names in a CertificateRequest, and its limits.

A server sends the names of the authorities that it trusts. TLS limits the list to 64 KiB, and Java clients refuse
handshake messages above 32 KiB. So they could not connect to a door that trusts hundreds of authorities.
Standard: RFC 8446 section 4.2.4, RFC 5246 section 7.4.4.
"""

from __future__ import annotations

from collections.abc import Iterable

from doorward.verification.path.certificate import PathCertificate

CA_NAMES_LIMIT = 65_535
"""Octets of the whole list, in TLS 1.2 and 1.3."""

CA_NAMES_LIMIT_OF_JAVA = 32_768 - 256
"""Octets that the default `jdk.tls.maxHandshakeMessageSize` leaves for names, next to the rest of the message."""

_LENGTH_OCTETS = 2


def count_ca_name_octets(authorities: Iterable[PathCertificate]) -> int:
    """Return how many octets the names of these authorities need, each name once."""
    names = {one.subject_der for one in authorities}
    return sum(len(name) + _LENGTH_OCTETS for name in names)
