"""Signed assertions as compact JWS, and their keys as JWK. A peer can choose neither algorithm nor key.

Not here: the claims of an assertion (gateway), and session cookies. The algorithm is ES256, fixed in this file:
`alg` in a token is compared with it and never selects an algorithm. That stops `none`, RSA/HMAC confusion and keys
in the header (`jwk`, `jku`, `x5u`): a header with any other member is refused.
Standard: RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518 section 3.4 (ES256), RFC 7519 (JWT),
RFC 7638 (thumbprint), RFC 8725 (best practice: 3.1 algorithm, 3.9 audience, 3.11 explicit type).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.wire.base64url import parse_base64url, render_base64url
from doorward.wire.json_object import parse_json_object

ALGORITHM = "ES256"
ASSERTION_TYPE = "doorward-assertion+jwt"
"""Explicit typing: a session cookie, which is signed with the same kind of key, is not accepted as an assertion."""

MAX_TOKEN_CHARACTERS = 8 * 1024
"""Precedent: nginx and Envoy accept header lines of about 8 KiB by default."""

MAX_JWK_CHARACTERS = 4 * 1024
MAX_KEY_SET_CHARACTERS = 256 * 1024
MAX_KEYS = 512
"""One key for each gateway, and a second one while it is replaced: enough for 256 gateways."""

LEEWAY = timedelta(seconds=5)
"""A gateway refuses to start if its clock differs by more than this."""

MAX_NUMERIC_DATE = 2**53
"""RFC 7493 section 2.2: some JSON parsers do not read larger whole numbers exactly. It also refuses `1e999`."""

_ECDSA, _COORDINATE_BYTES = ECDSA(SHA256()), 32
_JWK_MEMBERS = ("kty", "crv", "x", "y")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """Public P-256 keys by RFC 7638 thumbprint, which is also the `kid`."""

    keys: Mapping[str, EllipticCurvePublicKey]


def _malformed(detail: str) -> NoReturn:
    raise MalformedInput("jose-malformed", detail) from None


def _object(text: bytes | str, what: str) -> dict[str, Any]:
    return parse_json_object(text, code="jose-malformed", what=what)


def _base64url(text: str, what: str) -> bytes:
    return parse_base64url(text, code="jose-malformed", what=what)


def thumbprint(key: EllipticCurvePublicKey) -> str:
    """Return the RFC 7638 SHA-256 thumbprint of a P-256 key, base64url, 43 characters."""
    return ECKey.import_key(_p256(key)).thumbprint()


def _p256(key: EllipticCurvePublicKey) -> EllipticCurvePublicKey:
    if key.curve.name != SECP256R1.name:
        raise ValueError("ES256 takes P-256 keys only")
    return key


def render_jwk(key: EllipticCurvePublicKey) -> dict[str, str]:
    """Return the public JWK of a P-256 key, with `kid` (thumbprint), `use` and `alg`.

    Raises:
        ValueError: the key is on another curve (a fault of the caller, not of a peer).

    Standard: RFC 7517 section 4, RFC 7518 section 6.2.
    """
    members = ECKey.import_key(_p256(key)).as_dict(private=False)
    public = {name: str(members[name]) for name in _JWK_MEMBERS}
    return public | {"kid": thumbprint(key), "use": "sig", "alg": ALGORITHM}


def parse_jwk(value: Mapping[str, object] | str) -> EllipticCurvePublicKey:
    """Return the P-256 public key of a JWK, as JSON text (at most 4096 characters) or as its members.

    Members that are not part of the point are ignored. A JWK with the private member `d` is refused: a published
    private key is compromised.

    Raises:
        MalformedInput: `jose-malformed`.

    Standard: RFC 7517 section 4, RFC 7518 section 6.2.
    """
    if isinstance(value, str):
        if len(value) > MAX_JWK_CHARACTERS:
            _malformed(f"a JWK is longer than {MAX_JWK_CHARACTERS} characters")
        value = _object(value, "a JWK")
    if value.get("kty") != "EC" or value.get("crv") != "P-256" or "d" in value:
        _malformed("a JWK is not a public P-256 key")
    if value.get("use", "sig") != "sig" or value.get("alg", ALGORITHM) != ALGORITHM:
        _malformed(f"a JWK is not for {ALGORITHM} signatures")
    point: dict[str, str | list[str]] = {"kty": "EC", "crv": "P-256"}
    for name in ("x", "y"):
        coordinate = value.get(name)
        if (
            not isinstance(coordinate, str)
            or len(_base64url(coordinate[:64], "a coordinate")) != _COORDINATE_BYTES
        ):
            _malformed("a JWK coordinate does not have 32 bytes")
        point[name] = coordinate
    try:
        return ECKey.import_key(point).public_key
    except (JoseError, ValueError):
        _malformed("a JWK is not a point of P-256")


def render_jwks(keys: Iterable[EllipticCurvePublicKey]) -> dict[str, list[dict[str, str]]]:
    """Return the JWK set of the keys, without duplicates, sorted by `kid` so that equal sets are equal text.

    Standard: RFC 7517 section 5.
    """
    members = {thumbprint(key): render_jwk(key) for key in keys}
    return {"keys": [members[kid] for kid in sorted(members)]}


def parse_jwks(text: str) -> KeySet:
    """Return the P-256 signing keys of a JWK set; keys of other kinds are skipped.

    Args:
        text: JSON, at most 262144 characters and 512 keys.

    Returns:
        The keys by thumbprint. The thumbprint is computed; the `kid` in the text is ignored.

    Raises:
        MalformedInput: `jose-malformed`, also if a key that claims to be EC P-256 is not.

    Standard: RFC 7517 section 5 (unknown kinds are ignored).
    """
    if len(text) > MAX_KEY_SET_CHARACTERS:
        _malformed(f"a JWK set is longer than {MAX_KEY_SET_CHARACTERS} characters")
    listed = _object(text, "a JWK set").get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        _malformed(f"a JWK set is not a list of at most {MAX_KEYS} keys")
    keys: dict[str, EllipticCurvePublicKey] = {}
    for member in listed:
        if not isinstance(member, dict):
            _malformed("a JWK is not a JSON object")
        if member.get("crv") == "P-256" and member.get("use", "sig") == "sig":
            key = parse_jwk(member)
            keys[thumbprint(key)] = key
    return KeySet(keys=keys)


class TokenSigner:
    """Signs tokens of one type with one key. The header is made once: a gateway signs for each new connection.

    Args:
        key: a P-256 key; a subclass for a hardware key calls the token in `sign`.
        token_type: the header's `typ`.

    Raises:
        ValueError: the key is on another curve.
    """

    def __init__(self, key: EllipticCurvePrivateKey, *, token_type: str) -> None:
        self._key = key
        header = {"alg": ALGORITHM, "typ": token_type, "kid": thumbprint(key.public_key())}
        self._header = render_base64url(json.dumps(header, separators=(",", ":")).encode())

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return the claims as a signed token.

        Args:
            claims: JSON values; `aud` (text) and `exp` (seconds since 1970, whole) are required, because
                a token without them would be valid everywhere and for ever.

        Returns:
            A compact JWS, at most 8192 characters, with `typ` and the thumbprint as `kid`.

        Raises:
            ValueError: claims without `aud` or `exp`, or a token that is too long.

        Standard: RFC 7515 section 7.1, RFC 7518 section 3.4, RFC 8725 sections 3.9 and 3.11.
        """
        if type(claims.get("aud")) is not str or type(claims.get("exp")) is not int:
            raise ValueError("a token needs aud and exp")
        payload = json.dumps(claims, separators=(",", ":"), allow_nan=False).encode()
        signed = f"{self._header}.{render_base64url(payload)}"
        numbers = decode_dss_signature(self._key.sign(signed.encode("ascii"), _ECDSA))
        signature = b"".join([one.to_bytes(_COORDINATE_BYTES, "big") for one in numbers])
        token = f"{signed}.{render_base64url(signature)}"
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise ValueError(f"the token has {len(token)} characters, more than {MAX_TOKEN_CHARACTERS}")
        return token


def sign_assertion(key: EllipticCurvePrivateKey, claims: Mapping[str, object]) -> str:
    """Return the claims as a signed assertion: `sign_token` with its type."""
    return sign_token(key, claims, token_type=ASSERTION_TYPE)


def sign_token(key: EllipticCurvePrivateKey, claims: Mapping[str, object], *, token_type: str) -> str:
    """Return the claims as one signed token of that type; arguments, result and errors are those of `TokenSigner`."""
    return TokenSigner(key, token_type=token_type).sign(claims)


def verify_assertion(token: str, jwks: KeySet, audience: str, now: datetime) -> dict[str, Any]:
    """Return the claims of an assertion after every check: `verify_token` with its type."""
    return verify_token(token, jwks, audience, now, token_type=ASSERTION_TYPE)


def verify_token(
    token: str, jwks: KeySet, audience: str, now: datetime, *, token_type: str
) -> dict[str, Any]:
    """Return the claims of a token of that type. Nothing is returned before the last check has passed.

    1. size and form; 2. header: exactly `alg`, `typ`, `kid`, with our values; 3. a key of the set has
    that thumbprint; 4. signature; 5. `aud` is exactly this audience; 6. `exp` is not past; 7. `iat`
    and `nbf`, if present, are not in the future (5 s leeway each).

    Args:
        token: compact JWS, at most 8192 characters.
        jwks: the keys that may sign such tokens, from `parse_jwks`.
        audience: the application that asks.
        now: aware, UTC.
        token_type: the required `typ`, so that a session is not accepted as an assertion, nor the reverse.

    Returns:
        The claims.

    Raises:
        MalformedInput: `jose-malformed`.
        RequestRefused: `assertion-key-unknown`, `assertion-signature-wrong`,
            `assertion-audience-wrong`, `assertion-expired`, `assertion-not-yet-valid`.

    Standard: RFC 7515 section 5.2, RFC 7519 section 7.2, RFC 8725.
    Not checked: `cnf`, which the program that terminates TLS compares.
    """
    # 1. size and form
    if len(token) > MAX_TOKEN_CHARACTERS:
        _malformed(f"a token is longer than {MAX_TOKEN_CHARACTERS} characters")
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        _malformed(f"a token has {len(parts)} parts, not 3")
    payload = _base64url(parts[1], "the payload")
    _base64url(parts[2], "the signature")
    # 2. header
    header = _object(_base64url(parts[0], "the header"), "the header")
    kid = header.get("kid")
    if not isinstance(kid, str) or header != {"alg": ALGORITHM, "typ": token_type, "kid": kid}:
        _malformed(f"the header is not that of a {token_type}")
    # 3. key
    key = jwks.keys.get(kid)
    if key is None:
        raise RequestRefused("assertion-key-unknown", "the key that signed this token is unknown")
    # 4. signature
    try:
        jws.deserialize_compact(token, ECKey.import_key(key), algorithms=[ALGORITHM])
    except (JoseError, ValueError):
        raise RequestRefused("assertion-signature-wrong", "the signature does not verify") from None
    claims = _object(payload, "the claims")
    _check_claims(claims, audience, now.timestamp())
    return claims


def _check_claims(claims: Mapping[str, Any], audience: str, seconds: float) -> None:
    """Steps 5 to 7 of `verify_token`."""
    leeway = LEEWAY.total_seconds()
    if claims.get("aud") != audience:
        raise RequestRefused("assertion-audience-wrong", "the token is for another application")
    if seconds >= _moment(claims, "exp") + leeway:
        raise RequestRefused("assertion-expired", "the token has expired")
    for name in ("iat", "nbf"):
        if name in claims and seconds + leeway < _moment(claims, name):
            raise RequestRefused("assertion-not-yet-valid", "the token is from the future")


def _moment(claims: Mapping[str, Any], name: str) -> float:
    """Return a NumericDate. In Python `True` is a number; in JSON it is not."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MAX_NUMERIC_DATE:
        _malformed(f"the claim {name} is not a NumericDate")
    return value
