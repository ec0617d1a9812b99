"""The gateway's own assertion key: ES256, made at the first start, kept in a file that only its user may read.

Not here: TLS server keys (server_certificates), and issuing keys, which a gateway never has. Losing this key is
harmless: the next start makes a new one, and applications read its public key from `/jwks.json`.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from doorward.core.errors import IntegrityError
from doorward.core.ports import KeyFactory, KeyKind
from doorward.gateway.ballast import BALLAST


def load_assertion_key(path: Path, factory: KeyFactory) -> EllipticCurvePrivateKey:
    """Return the key in `path`; make one if the file does not exist.

    Raises:
        IntegrityError: `assertion-key-damaged` if the file holds anything else.
    """
    if not path.exists():
        _make(path, factory)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise IntegrityError(
            "assertion-key-damaged",
            f"{path} holds no P-256 key",
            hint="move the file away: the next start makes a new key",
        )
    return key


def _make(path: Path, factory: KeyFactory) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = factory.generate(KeyKind.P256).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    BALLAST.replace_file(path, pem, durable=True)
