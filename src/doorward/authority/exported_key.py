"""Writing a private key as encrypted PEM to keep it offline, and reading it back.

Not here: which key may be exported (founding). The library `cryptography` writes the same structure, but always with
2,048 rounds of PBKDF2, a number from the year 2000. An attacker who gets the file of a root's key can try passphrases
for years, so this module uses more rounds.
Standard: RFC 8018 sections 6.2 and A.4 (PBES2: PBKDF2 with HMAC-SHA-256, AES-256-CBC), RFC 5958
section 3, RFC 7468 section 11.
"""

from __future__ import annotations

import base64
import textwrap
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.padding import PKCS7

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.ports import PrivateKey, RandomSource
from doorward.pki.der import NULL, encode_integer, encode_octets, encode_oid, encode_sequence
from doorward.pki.keys import check_public_key, encode_public_key

ROUNDS = 600_000
"""OWASP (2023) for PBKDF2 with HMAC-SHA-256."""

EXPORT_LIMIT = 64 * 1024
"""Bytes of PEM; an RSA key of 16,384 bits is below 13 KB."""

_PBES2, _PBKDF2 = encode_oid("1.2.840.113549.1.5.13"), encode_oid("1.2.840.113549.1.5.12")
_HMAC_SHA256 = encode_sequence(encode_oid("1.2.840.113549.2.9"), NULL)
_AES256_CBC = encode_oid("2.16.840.1.101.3.4.1.42")
_BLOCK = 16


def encrypt_private_key(key: PrivateKey, passphrase: bytes, random: RandomSource) -> bytes:
    """Return a private key as PKCS#8 in PEM, encrypted.

    Args:
        key: any key that the library can write; a key in a hardware token cannot be exported.
        passphrase: of any strength; the caller checks the strength.
        random: source of the salt and the initialisation vector.
    """
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    salt, vector = random.token(_BLOCK), random.token(_BLOCK)
    derived = PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt, iterations=ROUNDS).derive(passphrase)
    padder = PKCS7(_BLOCK * 8).padder()
    encryptor = Cipher(AES256(derived), CBC(vector)).encryptor()
    sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    parameters = encode_sequence(encode_octets(salt), encode_integer(ROUNDS), _HMAC_SHA256)
    scheme = encode_sequence(
        encode_sequence(_PBKDF2, parameters), encode_sequence(_AES256_CBC, encode_octets(vector))
    )
    der = encode_sequence(encode_sequence(_PBES2, scheme), encode_octets(sealed))
    lines = textwrap.wrap(base64.b64encode(der).decode("ascii"), 64)
    label = "ENCRYPTED PRIVATE KEY"
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode("ascii")


def open_exported_key(exported: bytes, passphrase: bytes) -> PrivateKey:
    """Return the private key in an encrypted PEM; the caller must not store it.

    Raises:
        MalformedInput: `export-unreadable`: larger than 64 KiB, not an encrypted key, or a wrong passphrase.
    """
    try:
        key = serialization.load_pem_private_key(exported[:EXPORT_LIMIT], passphrase)
        check_public_key(key.public_key())
    except Exception as fault:  # the library may raise any exception; a parser must be total
        raise MalformedInput(
            "export-unreadable",
            "the file is not an exported key, or the passphrase does not open it",
            hint="name the file that `doorward ca export --root --out FILE` wrote, and the passphrase that was given then",
        ) from fault
    return cast("PrivateKey", key)  # check_public_key has checked the kind of the key


def open_export_of_certificate(
    certificate: bytes, exported: bytes, passphrase: bytes, *, hint: str
) -> PrivateKey:
    """Return the private key in an exported file, after a check that it is the key of this certificate.

    Args:
        certificate: DER, issued by this installation.
        exported: the result of `encrypt_private_key`, at most 64 KiB.
        passphrase: the passphrase of the exported file.
        hint: what to do next, for the error.

    Raises:
        RequestRefused: `export-unreadable`, `export-of-another-key`.
    """
    try:
        key = open_exported_key(exported, passphrase)
    except MalformedInput as fault:
        raise RequestRefused(fault.code, fault.detail, hint=hint) from fault
    certified, _ = check_public_key(x509.load_der_x509_certificate(certificate).public_key())
    if encode_public_key(key.public_key()) != encode_public_key(certified):
        raise RequestRefused(
            "export-of-another-key",
            "the key in the exported file is not the key of the current root",
            hint=hint,
        )
    return key
