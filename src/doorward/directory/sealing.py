"""Encryption of secrets that must be readable again: TOTP secrets, private session keys.

A sealed value is stored in the database and can be decrypted only with the key store, so a copy of the database alone is
not enough.

    sealed = version byte 1 || nonce, 12 bytes || AES-256-GCM of the secret, with its tag
    key = HKDF-SHA-256 of the raw seed of the key `secrets-1` of the key store
    associated data = version, tenant, context: a value that was copied into another row or another use is not decrypted

The key `secrets-1` is an Ed25519 key, because the key store holds signing keys; it never signs. It is made when it is
first needed.
Not here: passwords and recovery codes, of which only hashes are stored (`factors`).
Standard: NIST SP 800-38D (GCM, random nonces: at most 2**32 values for one key), RFC 5869 (HKDF).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError, NotFound, RequestRefused, Unavailable
from doorward.core.ports import KeyKind, KeyStore, PrivateKey
from doorward.stores.services import Services

SECRETS_KEY = "secrets-1"
NONCE_BYTES = 12
_VERSION = b"\x01"
_KEY_BYTES = 32
_INFO = b"doorward sealed secrets 1"


def seal(services: Services, secret: bytes, *, context: str) -> bytes:
    """Return a secret, encrypted for one place in the database; it is 29 bytes longer.

    Args:
        services: with keys; the key is made if there is none yet.
        secret: any bytes.
        context: name of the place, such as `factor:fct_…`.

    Raises:
        Unavailable: `keys-locked`: this process has no key store.
    """
    keys = _require_keys(services)
    try:
        key = keys.load(SECRETS_KEY)
    except NotFound:
        key = _make(services, keys)
    nonce = services.random.token(NONCE_BYTES)
    return _VERSION + nonce + _cipher(key).encrypt(nonce, secret, _associated(context, _VERSION))


def open_sealed(services: Services, sealed: bytes, *, context: str) -> bytes:
    """Return the secret that was encrypted for this place.

    Raises:
        Unavailable: `keys-locked`: this process has no key store.
        IntegrityError: `secret-unreadable`: it was altered, belongs to another place, or was encrypted with another key
            store.
    """
    keys = _require_keys(services)
    version, nonce, rest = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        return _cipher(keys.load(SECRETS_KEY)).decrypt(nonce, rest, _associated(context, version))
    except (InvalidTag, NotFound, ValueError):
        raise IntegrityError(
            "secret-unreadable",
            f"the secret of {context} cannot be decrypted with the key {SECRETS_KEY} of the key store",
            hint="restore the key store that belongs to this database; for one person: `doorward factor reset NAME`",
        ) from None


def _require_keys(services: Services) -> KeyStore:
    if services.keys is None:
        raise Unavailable(
            "keys-locked",
            "this process has no keys, so it can neither encrypt nor decrypt secrets",
            hint="run this in `doorward serve`, which opens the key store",
        )
    return services.keys


def _make(services: Services, keys: KeyStore) -> PrivateKey:
    try:
        keys.store(SECRETS_KEY, services.factory.generate(KeyKind.ED25519))
    except RequestRefused as refusal:
        if refusal.code != "key-exists":
            raise
    return keys.load(SECRETS_KEY)  # another process may have been first


def _cipher(key: PrivateKey) -> AESGCM:
    if not isinstance(key, Ed25519PrivateKey):
        raise IntegrityError("secrets-key-foreign", f"the key {SECRETS_KEY} is not an Ed25519 key")
    seed = key.private_bytes_raw()
    return AESGCM(HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_INFO).derive(seed))


def _associated(context: str, version: bytes) -> bytes:
    return version + f"{TENANT}\n{context}".encode()
