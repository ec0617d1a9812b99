"""A private key as encrypted PEM, with a key derivation that is slow enough for a key kept offline.

Not here: reading one back; every library and openssl do. `cryptography` writes the same structure
with 2,048 rounds, a number of the year 2000, and cannot be told another.
Standard: RFC 8018 sections 6.2 and A.4 (PBES2 with PBKDF2 and AES-256-CBC), RFC 5958, RFC 7468.
"""

from __future__ import annotations

import base64
import os
import textwrap

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.padding import PKCS7

ROUNDS = 600_000
"""OWASP (2023) for PBKDF2 with HMAC-SHA-256."""
_BLOCK = 16

_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")
_HMAC_SHA256 = bytes.fromhex("300c06082a864886f70d02090500")
_AES256_CBC = bytes.fromhex("060960864801650304012a")


def encrypt_pkcs8(plain: bytes, passphrase: bytes) -> bytes:
    """Return PEM with the label ENCRYPTED PRIVATE KEY.

    Args:
        plain: PKCS#8 DER of the key.
        passphrase: as bytes; its strength is the caller's business.

    Standard: RFC 5958 section 3; RFC 7468 section 11.
    """
    salt, vector = os.urandom(_BLOCK), os.urandom(_BLOCK)
    key = PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt, iterations=ROUNDS).derive(passphrase)
    padder = PKCS7(_BLOCK * 8).padder()
    encryptor = Cipher(AES256(key), CBC(vector)).encryptor()
    sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    derivation = _sequence(_PBKDF2, _sequence(_octets(salt), _integer(ROUNDS), _HMAC_SHA256))
    scheme = _sequence(_AES256_CBC, _octets(vector))
    der = _sequence(_sequence(_PBES2, _sequence(derivation, scheme)), _octets(sealed))
    lines = textwrap.wrap(base64.b64encode(der).decode("ascii"), 64)
    label = "ENCRYPTED PRIVATE KEY"
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode("ascii")


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:  # noqa: PLR2004  # X.690 section 8.1.3: one octet up to here, else the octets that follow
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _octets(content: bytes) -> bytes:
    return _tagged(0x04, content)


def _integer(number: int) -> bytes:
    return _tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))
