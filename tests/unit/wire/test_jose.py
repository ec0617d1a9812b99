"""Assertions and their keys."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.wire import jose
from tests.support.ports import NOON

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = jose.parse_jwks(json.dumps(jose.render_jwks([KEY.public_key()])))
EXP = int(NOON.timestamp()) + 300
CLAIMS = {"aud": "app_a", "exp": EXP, "sub": "per_alice", "cnf": {"x5t#S256": "abc"}}


def b64(data: bytes | str) -> str:
    """Return base64url without padding."""
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(header: str, payload: str, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    """Sign any header and payload truly, as an enemy with a stolen library would."""
    signed = f"{b64(header)}.{b64(payload)}"
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def header(**change: Any) -> str:
    """Return the right header with changes; None takes a member away."""
    members = {"alg": "ES256", "typ": jose.ASSERTION_TYPE, "kid": jose.thumbprint(KEY.public_key())}
    return json.dumps({name: value for name, value in (members | change).items() if value is not None})


def test_an_assertion_comes_back_with_its_claims() -> None:
    """What was signed for an audience verifies for that audience."""
    token = jose.sign_assertion(KEY, CLAIMS)
    assert jose.verify_assertion(token, KEYS, "app_a", NOON) == CLAIMS


def test_the_thumbprint_is_over_the_canonical_form() -> None:
    """The thumbprint is SHA-256 over the required members in lexical order (RFC 7638 section 3)."""
    jwk = jose.render_jwk(KEY.public_key())
    digest = hashes.Hash(hashes.SHA256())
    digest.update(f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'.encode())
    assert jwk["kid"] == b64(digest.finalize())


def test_thumbprint_of_a_published_key() -> None:
    """The key of RFC 7517 appendix A.1 has the thumbprint that other libraries give it."""
    key = jose.parse_jwk(
        '{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",'
        '"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"1"}'
    )
    assert jose.thumbprint(key) == "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"


def test_a_jwk_holds_no_private_member() -> None:
    """Only the public point, its name and its use are published."""
    assert set(jose.render_jwk(KEY.public_key())) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_the_kid_of_a_key_set_is_computed_not_believed() -> None:
    """A key set cannot give one key the name of another."""
    jwk = jose.render_jwk(KEY.public_key()) | {"kid": "somebody-else"}
    assert list(jose.parse_jwks(json.dumps({"keys": [jwk]})).keys) == [jose.thumbprint(KEY.public_key())]


def test_keys_of_other_kinds_are_passed_over() -> None:
    """RFC 7517 section 5: keys that are not understood are ignored."""
    others = [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "EC", "crv": "P-256", "use": "enc"}, {}]
    assert jose.parse_jwks(json.dumps({"keys": others})).keys == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": 1}',
        '{"keys": [1]}',
        '{"keys": [], "keys": []}',
        '{"keys": [{"kty": "EC", "crv": "P-256"}]}',
        '{"keys": [' + ", ".join(["{}"] * 513) + "]}",
        '{"keys": NaN}',
        "[" * 20000,
        " " * 262145,
    ],
)
def test_a_malformed_key_set_is_refused(text: str) -> None:
    """Anything that is not a set of at most 512 keys is refused."""
    with pytest.raises(MalformedInput) as caught:
        jose.parse_jwks(text)
    assert caught.value.code == "jose-malformed"


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "OKP"},
        {"crv": "P-384"},
        {"d": "AAAA"},
        {"use": "enc"},
        {"alg": "ES384"},
        {"x": "AAAA"},
        {"x": 7},
        {"x": "ä"},
        {"x": b64(b"\xff" * 32)},
        {"y": b64(b"\x01" * 32)},
    ],
)
def test_a_jwk_that_is_no_public_p256_signing_key_is_refused(change: dict[str, Any]) -> None:
    """Other curves, uses, private keys and points off the curve are refused."""
    with pytest.raises(MalformedInput):
        jose.parse_jwk(jose.render_jwk(KEY.public_key()) | change)


def test_a_jwk_text_has_a_limit() -> None:
    """A JWK of more than 4096 characters is refused before it is parsed."""
    with pytest.raises(MalformedInput, match="longer"):
        jose.parse_jwk(" " * 4097)


def test_keys_of_another_curve_do_not_sign() -> None:
    """Signing with a P-384 key is a fault of the caller."""
    with pytest.raises(ValueError, match="P-256"):
        jose.sign_assertion(ec.generate_private_key(ec.SECP384R1()), CLAIMS)


def test_a_signature_has_64_bytes_also_if_its_numbers_are_small() -> None:
    """Both numbers are written with 32 bytes (RFC 7518 section 3.4): otherwise one token in 128 would be malformed."""

    class SmallNumbers:
        def public_key(self) -> ec.EllipticCurvePublicKey:
            return KEY.public_key()

        def sign(self, _data: bytes, _algorithm: object) -> bytes:
            return utils.encode_dss_signature(1, 258)

    token = jose.sign_assertion(SmallNumbers(), CLAIMS)  # type: ignore[arg-type]  # all that signing needs
    assert token.rpartition(".")[2] == b64(bytes(31) + b"\x01" + bytes(30) + b"\x01\x02")


def test_a_signer_signs_many_tokens() -> None:
    """The header is the same for each, and each has its own claims and signature."""
    signer = jose.TokenSigner(KEY, token_type=jose.ASSERTION_TYPE)
    for subject in ("per_a", "per_b"):
        claims = {**CLAIMS, "sub": subject}
        assert jose.verify_assertion(signer.sign(claims), KEYS, "app_a", NOON) == claims


@pytest.mark.parametrize(
    "claims", [{}, {"aud": "a"}, {"exp": 1}, {"aud": ["a"], "exp": 1}, {"aud": "a", "exp": True}]
)
def test_an_assertion_without_audience_or_end_is_not_signed(claims: dict[str, Any]) -> None:
    """A token that is valid everywhere or for ever is not made."""
    with pytest.raises(ValueError, match="aud and exp"):
        jose.sign_assertion(KEY, claims)


def test_an_assertion_that_no_header_could_carry_is_not_signed() -> None:
    """A token of more than 8192 characters is not signed."""
    with pytest.raises(ValueError, match="more than 8192"):
        jose.sign_assertion(KEY, CLAIMS | {"groups": ["g" * 8192]})


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES384"},
        {"alg": None},
        {"typ": "JWT"},
        {"typ": None},
        {"kid": None},
        {"kid": 1},
        {"jwk": jose.render_jwk(KEY.public_key())},
        {"jku": "https://evil.example/keys"},
        {"crit": ["b64"], "b64": False},
    ],
)
def test_a_header_with_another_algorithm_type_or_key_is_refused(change: dict[str, Any]) -> None:
    """The header is compared with ours, never obeyed, even under a true signature."""
    with pytest.raises(MalformedInput, match="header"):
        jose.verify_assertion(forge(header(**change), json.dumps(CLAIMS)), KEYS, "app_a", NOON)


def test_a_duplicate_header_member_is_refused() -> None:
    """Two `alg` members are two meanings."""
    double = header()[:-1] + ', "alg": "ES256"}'
    with pytest.raises(MalformedInput, match="JSON"):
        jose.verify_assertion(forge(double, json.dumps(CLAIMS)), KEYS, "app_a", NOON)


def refusal(token: str, audience: str = "app_a", **later: float) -> str:
    """Return the code with which a token is refused."""
    with pytest.raises(RequestRefused) as caught:
        jose.verify_assertion(token, KEYS, audience, NOON + timedelta(**later))
    return caught.value.code


def test_a_signature_by_another_key_is_refused() -> None:
    """An unknown key is refused by its name, a wrong one by its signature."""
    other = ec.generate_private_key(ec.SECP256R1())
    assert refusal(jose.sign_assertion(other, CLAIMS)) == "assertion-key-unknown"
    assert refusal(forge(header(), json.dumps(CLAIMS), other)) == "assertion-signature-wrong"


def test_a_changed_payload_is_refused() -> None:
    """The signature covers the claims."""
    head, _, signature = jose.sign_assertion(KEY, CLAIMS).split(".")
    token = f"{head}.{b64(json.dumps(CLAIMS | {'sub': 'per_root'}))}.{signature}"
    assert refusal(token) == "assertion-signature-wrong"
    assert refusal(f"{head}.{b64('{}')}.{b64(b'short')}") == "assertion-signature-wrong"


def test_an_assertion_for_another_application_is_refused() -> None:
    """An application cannot pass its callers' assertions on to another one."""
    assert refusal(jose.sign_assertion(KEY, CLAIMS), "app_b") == "assertion-audience-wrong"
    assert refusal(forge(header(), json.dumps({"exp": EXP}))) == "assertion-audience-wrong"


def test_an_assertion_ends_at_its_time_and_five_seconds() -> None:
    """The end counts, with the leeway of clocks."""
    token = jose.sign_assertion(KEY, CLAIMS)
    jose.verify_assertion(token, KEYS, "app_a", NOON + timedelta(seconds=304))
    assert refusal(token, seconds=305) == "assertion-expired"


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_an_assertion_from_the_future_is_refused(name: str) -> None:
    """`iat` and `nbf` may be at most five seconds ahead."""
    soon = int(NOON.timestamp()) + 5
    jose.verify_assertion(jose.sign_assertion(KEY, CLAIMS | {name: soon}), KEYS, "app_a", NOON)
    assert refusal(jose.sign_assertion(KEY, CLAIMS | {name: soon + 1})) == "assertion-not-yet-valid"


@pytest.mark.parametrize("value", ["true", '"1"', "null", "1e999", "9007199254740993", "1" * 4000])
def test_a_moment_that_is_no_number_is_refused(value: str) -> None:
    """An end that is not an exact number does not mean 'for ever'."""
    token = forge(header(), f'{{"aud": "app_a", "exp": {value}}}')
    with pytest.raises(MalformedInput):
        jose.verify_assertion(token, KEYS, "app_a", NOON)


@pytest.mark.parametrize("payload", ["[]", "1", "", "{", '{"a":1,"a":2}'])
def test_claims_that_are_no_json_object_are_refused(payload: str) -> None:
    """A true signature over something else than claims is not an assertion."""
    with pytest.raises(MalformedInput):
        jose.verify_assertion(forge(header(), payload), KEYS, "app_a", NOON)


@pytest.mark.parametrize(
    "token", ["", "a.b", "a.b.c.d", "..", "a.b.c", "e30=.e30.e30", "e30.e31.e30", "ä.e30.e30", "a" * 8193]
)
def test_text_that_is_no_compact_jws_is_refused(token: str) -> None:
    """Wrong parts, padding, loose bits and too long texts are refused."""
    with pytest.raises(MalformedInput):
        jose.verify_assertion(token, KEYS, "app_a", NOON)
