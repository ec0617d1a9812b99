"""Where relying parties find what an authority publishes: the addresses baked into certificates.

Not here: serving them (web.status) and what is served (status). One place for both sides, because an
address in a certificate can never be mended.
Standard: RFC 5280 sections 4.2.1.13 and 4.2.2.1; RFC 6960 section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from doorward.core.errors import MalformedInput

OCSP_PATH = "/ocsp"
CRL_PATH = "/crl/{authority_id}.crl"
PARTITION_PATH = "/crl/{authority_id}/{partition}.crl"
AUTHORITY_PATH = "/ca/{authority_id}.cer"

URL_LIMIT = 256
"""Characters of the public address; it is in every certificate three times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationAddresses:
    """`crl` and `ocsp` speak of certificates by this authority; `certificate` is its own, in DER."""

    crl: str
    ocsp: str
    certificate: str


def publication_addresses(status_url: str, authority_id: str, partition: str = "") -> PublicationAddresses:
    """Return the addresses of one authority, with those of one of its lists.

    Args:
        status_url: as `parse_status_url` returns it.
        authority_id: `aut_…`.
        partition: a name by `partitions`; empty for the full list.
    """
    crl = PARTITION_PATH if partition else CRL_PATH
    return PublicationAddresses(
        crl=status_url + crl.format(authority_id=authority_id, partition=partition),
        ocsp=status_url + OCSP_PATH,
        certificate=status_url + AUTHORITY_PATH.format(authority_id=authority_id),
    )


def parse_status_url(text: str) -> str:
    """Return the public address of the status listener without a trailing slash.

    It should be plain `http`: a client that checks the certificate of an `https` address would have
    to ask that address first (RFC 5280 section 8, RFC 6960 section A.1.1).

    Raises:
        MalformedInput: `status-url-malformed`.
    """
    url = text.rstrip("/")
    try:
        parts = urlsplit(url)
        _ = parts.port  # a port that is no number is found only here
    except ValueError:
        parts = urlsplit("")
    plain = url.isascii() and url.isprintable() and not any(char in url for char in ' "<>\\^`{|}')
    bare = not (parts.query or parts.fragment or "@" in parts.netloc or "?" in url or "#" in url)
    if not (
        plain and bare and parts.scheme in ("http", "https") and parts.hostname and len(url) <= URL_LIMIT
    ):
        raise MalformedInput(
            "status-url-malformed",
            "this is not a usable public address for CRL and OCSP",
            hint=f"write it like http://pki.corp.example or http://127.0.0.1:8480, at most {URL_LIMIT} characters",
        )
    return url
