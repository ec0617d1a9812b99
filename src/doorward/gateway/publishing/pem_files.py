"""Certificates and keys in PEM files that an operator names; what is wrong with a file is said with its path.

Not here: whether a certificate may be used (portal_certificate, upstream_files, pairs).
Standard: RFC 7468.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.utils import CryptographyDeprecationWarning

__all__ = ["certificates_in", "key_in"]


def certificates_in(data: bytes, file: Path) -> list[x509.Certificate]:
    """Return the certificates of a file, at least one.

    Raises:
        ValueError: with the path; there is no certificate, or one of them cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # A system's store may have an old root with the serial number 0: not for the operator's log.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return x509.load_pem_x509_certificates(data)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{file} has no certificates in PEM, or one of them is damaged") from None


def key_in(data: bytes, file: Path) -> PrivateKeyTypes:
    """Return the private key of a file.

    Raises:
        ValueError: the message names the file, and has no part of the key.
    """
    try:
        return load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{file} has no private key in PEM, or the key is damaged or encrypted") from None
