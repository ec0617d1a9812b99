"""The facts of a certificate that we issued or trust, as other rooms keep them.

Not for certificates that a peer presented: those are hostile input (verification.parsing).
Standard: RFC 5280 section 4.1.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from doorward.core.certificate import CertificateFacts
from doorward.core.certificate_names import render_distinguished_name, render_general_name
from doorward.pki.keys import check_public_key
from doorward.pki.profiles import NO_REV_AVAIL


def describe_certificate(certificate: x509.Certificate, key_kind: str = "") -> CertificateFacts:
    """Return the facts of a certificate.

    Args:
        certificate: ours.
        key_kind: if the caller has already checked the key (decoding a key again costs 30 microseconds).

    Raises:
        MalformedInput: `key-kind-refused` or `key-weak`: a key that we would never have certified.
    """
    der = certificate.public_bytes(serialization.Encoding.DER)
    names: tuple[x509.GeneralName, ...] = ()
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = tuple(extension.value)
    return CertificateFacts(
        sha256=hashlib.sha256(der).hexdigest(),
        serial=certificate.serial_number,
        issuer=render_distinguished_name(certificate.issuer),
        subject=render_distinguished_name(certificate.subject),
        san=tuple(render_general_name(name) for name in names),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key_kind=key_kind or check_public_key(certificate.public_key())[1],
        der=der,
    )


def has_revocation_information(der: bytes) -> bool:
    """Return whether revocation information is published about a certificate: it has no noRevAvail.

    True also for bytes that are no certificate, such as those of an intended one.

    Standard: RFC 9608 section 2.
    """
    try:
        extensions = x509.load_der_x509_certificate(der).extensions
    except ValueError:
        return True
    return all(extension.oid != NO_REV_AVAIL for extension in extensions)
