"""The `Client-Cert` field: a client certificate on its way from the gateway to an application.

Not here: judging the certificate, and removing a field that the client itself sent (enforcement removes it on
every route before it adds the gateway's own).
Standard: RFC 9440 section 2, RFC 8941 section 3.3.5 (byte sequences).
"""

from __future__ import annotations

import base64
import binascii

from doorward.core.errors import MalformedInput

MAX_DER_BYTES = 16 * 1024
"""Precedent: OpenSSL accepts handshake messages of 100 KiB; a client certificate has 1 to 4 KiB."""

MAX_FIELD_CHARACTERS = 4 * ((MAX_DER_BYTES + 2) // 3) + 2


def render_client_cert(der: bytes) -> str:
    """Return the value of the `Client-Cert` field for one certificate.

    Args:
        der: the certificate, DER, 1 to 16384 bytes.

    Returns:
        A byte sequence: base64 between colons.

    Raises:
        MalformedInput: `client-cert-malformed` if the size is out of range.

    Standard: RFC 9440 section 2.1.
    """
    if not 0 < len(der) <= MAX_DER_BYTES:
        raise MalformedInput(
            "client-cert-malformed",
            f"a certificate has 1 to {MAX_DER_BYTES} bytes, and this one has {len(der)}",
        )
    return f":{base64.b64encode(der).decode('ascii')}:"


def parse_client_cert(value: str) -> bytes:
    """Return the DER bytes of a `Client-Cert` field; they are not parsed here.

    Args:
        value: the field value, at most 21850 characters; spaces around it are ignored.

    Returns:
        1 to 16384 bytes.

    Raises:
        MalformedInput: `client-cert-malformed` for anything else: parameters, wrong padding, other alphabets, or a
            list (a server that joins two fields would pass on two identities).

    Standard: RFC 9440 section 2.1. Deliberately stricter than RFC 8941 section 4.2.7, which lets a
        parser accept missing padding: one certificate has one spelling.
    """
    text = value.strip(" ")
    if len(text) > MAX_FIELD_CHARACTERS:
        raise MalformedInput(
            "client-cert-malformed", f"Client-Cert is longer than {MAX_FIELD_CHARACTERS} characters"
        )
    if len(text) < 2 or text[0] != ":" or text[-1] != ":":  # noqa: PLR2004 - the two colons
        raise MalformedInput("client-cert-malformed", "Client-Cert is not one byte sequence (RFC 8941)")
    try:
        der = base64.b64decode(text[1:-1].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise MalformedInput("client-cert-malformed", "Client-Cert is not base64") from None
    if render_client_cert(der) != text:
        raise MalformedInput("client-cert-malformed", "Client-Cert is not base64 in its canonical spelling")
    return der
