"""How long the names of authorities are in a CertificateRequest, and how long they may be.

A server names the authorities that it takes certificates of. TLS has 64 KiB for the list; Java's clients take
no handshake message above 32 KiB. A door that hears hundreds of authorities would be shut to them.
Standard: RFC 8446 section 4.2.4, RFC 5246 section 7.4.4.
"""

from __future__ import annotations

from collections.abc import Iterable

from doorward.verification.path.certificate import PathCertificate

CA_NAMES_LIMIT = 65_535
"""Of the whole list, in either version of TLS."""

CA_NAMES_LIMIT_OF_JAVA = 32_768 - 256
"""What `jdk.tls.maxHandshakeMessageSize` leaves for names by default, beside the rest of the message."""

_LENGTH_OCTETS = 2


def count_ca_name_octets(authorities: Iterable[PathCertificate]) -> int:
    """Return how many octets the names of these authorities take, each name once."""
    names = {one.subject_der for one in authorities}
    return sum(len(name) + _LENGTH_OCTETS for name in names)
