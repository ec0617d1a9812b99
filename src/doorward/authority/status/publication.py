"""The addresses of CRL, OCSP and authority certificates that are written into certificates.

Not here: serving them (web.status), the content (crls, responder). Issuing and serving both use this module, because an
address in a certificate can never be changed.
Standard: RFC 5280 sections 4.2.1.13 and 4.2.2.1; RFC 6960 section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from doorward.audit.values import printable
from doorward.core.errors import MalformedInput

OCSP_PATH = "/ocsp"
CRL_PATH = "/crl/{authority_id}.crl"
PARTITION_PATH = "/crl/{authority_id}/{partition}.crl"
AUTHORITY_PATH = "/ca/{authority_id}.cer"

URL_LIMIT = 256
"""Characters of the public address; every certificate contains this address three times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationAddresses:
    """`crl` and `ocsp` cover the certificates issued by this authority; `certificate` is its own certificate in DER."""

    crl: str
    ocsp: str
    certificate: str


def publication_addresses(status_url: str, authority_id: str, partition: str = "") -> PublicationAddresses:
    """Return the addresses of one authority and of one of its CRLs.

    Args:
        status_url: as `parse_status_url` returns it.
        authority_id: `aut_…`.
        partition: the name of a partition; empty for the full CRL.
    """
    crl = PARTITION_PATH if partition else CRL_PATH
    return PublicationAddresses(
        crl=status_url + crl.format(authority_id=authority_id, partition=partition),
        ocsp=status_url + OCSP_PATH,
        certificate=status_url + AUTHORITY_PATH.format(authority_id=authority_id),
    )


def parse_status_url(text: str) -> str:
    """Return the public address of the status listener without a trailing slash.

    It should be plain `http`: to check the certificate of an `https` address, a client would have to
    fetch from the same address first (RFC 5280 section 8, RFC 6960 section A.1.1).

    Raises:
        MalformedInput: `status-url-malformed`.
    """
    url = text.rstrip("/")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if the port is not a number
    except ValueError:
        parts = urlsplit("")
    plain = url.isascii() and url.isprintable() and not any(char in url for char in ' "<>\\^`{|}')
    bare = not (parts.query or parts.fragment or "@" in parts.netloc or "?" in url or "#" in url)
    if not (
        plain and bare and parts.scheme in ("http", "https") and parts.hostname and len(url) <= URL_LIMIT
    ):
        raise MalformedInput(
            "status-url-malformed",
            f"{printable(text, URL_LIMIT)} is not a plain http or https address without query, user name and fragment",
            hint=f"write it like http://pki.corp.example or http://127.0.0.1:8480, at most {URL_LIMIT} characters",
        )
    return url
