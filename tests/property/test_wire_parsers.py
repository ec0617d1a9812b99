"""Every parser of `wire` is total: any text gives a value or `MalformedInput`."""

from __future__ import annotations

import contextlib
import json

from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.wire import est, jose
from doorward.wire.client_cert import parse_client_cert, render_client_cert
from doorward.wire.forwarded_chain import parse_forwarded_chain
from doorward.wire.header_text import decode_header_text, encode_header_text
from tests.support.examples import examples
from tests.support.ports import NOON

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = jose.parse_jwks(json.dumps(jose.render_jwks([KEY.public_key()])))
TOKEN = jose.sign_assertion(KEY, {"aud": "a", "exp": int(NOON.timestamp()) + 60})

anything = st.text() | st.text(alphabet=":=,;ABCab01 +/-_.%", max_size=64)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
members = st.sampled_from(["kty", "crv", "x", "y", "d", "use", "alg", "kid"])
values = json_values | st.sampled_from(["EC", "P-256", "sig", "ES256"])
jwks = st.dictionaries(members, values, max_size=8)


@given(st.binary(min_size=1, max_size=200))
def test_client_cert_round_trip(der: bytes) -> None:
    """Any bytes come back from the field unchanged."""
    assert parse_client_cert(render_client_cert(der)) == der


@given(anything)
def test_client_cert_is_total(value: str) -> None:
    """Any text is a certificate field or malformed."""
    with contextlib.suppress(MalformedInput):
        parse_client_cert(value)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\n", b"\r\n", b" "]), st.integers(1, 80))
def test_a_body_of_est_comes_back(der: bytes, end: bytes, width: int) -> None:
    """Base64 with any line breaks is read; what we write is read again."""
    if not der:
        return
    line = est.render_body(der).rstrip(b"\n")
    broken = end.join(line[at : at + width] for at in range(0, len(line), width))
    assert est.parse_body(broken) == est.parse_body(line) == der


@given(st.binary(max_size=100), anything)
def test_what_est_clients_send_is_read_or_malformed(body: bytes, value: str) -> None:
    """Bodies, credentials and shown chains: any input gives a value or `MalformedInput`."""
    for read in (lambda: est.parse_body(body), lambda: est.parse_basic(f"Basic {value}")):
        with contextlib.suppress(MalformedInput):
            read()
    with contextlib.suppress(MalformedInput):
        parse_forwarded_chain(value)


@given(st.text(max_size=200))
def test_header_text_round_trip(text: str) -> None:
    """Any Unicode text becomes visible ASCII without commas, quotes or spaces, and comes back."""
    try:
        value = encode_header_text(text)
    except MalformedInput:
        assert any("\ud800" <= character <= "\udfff" for character in text)
        return
    assert value.isascii()
    assert value.isprintable()
    assert not set(value) & set(' ,"\\')
    assert decode_header_text(value) == text


@given(anything)
def test_header_text_is_total(value: str) -> None:
    """Any field value is text in its one spelling or malformed."""
    with contextlib.suppress(MalformedInput):
        assert encode_header_text(decode_header_text(value)) == value


@settings(max_examples=60)
@given(anything | st.builds(json.dumps, st.fixed_dictionaries({"keys": st.lists(jwks, max_size=3)})))
def test_key_sets_are_total(text: str) -> None:
    """Any text is a key set or malformed."""
    with contextlib.suppress(MalformedInput):
        jose.parse_jwks(text)


@settings(max_examples=60)
@given(jwks)
def test_jwks_are_total(jwk: dict[str, object]) -> None:
    """Any members are a key or malformed."""
    with contextlib.suppress(MalformedInput):
        jose.parse_jwk(jwk)


@settings(max_examples=examples(100))
@given(st.integers(0, len(TOKEN) - 1), st.text(max_size=2))
def test_a_damaged_assertion_never_verifies(at: int, other: str) -> None:
    """One place of a true assertion replaced by other text is refused with an error of ours."""
    damaged = TOKEN[:at] + other + TOKEN[at + 1 :]
    if damaged == TOKEN:
        return
    try:
        jose.verify_assertion(damaged, KEYS, "a", NOON)
    except (MalformedInput, RequestRefused):
        return
    raise AssertionError(damaged)
