"""The intake of requests is total: any bytes give a proved request or MalformedInput."""

from __future__ import annotations

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.errors import MalformedInput
from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr, parse_csr
from tests.support.certificates.issuing import cached_key
from tests.support.examples import examples

REQUESTS = [
    parse_csr(build_csr(cached_key(kind), "alice", ["a.corp.example"])).der
    for kind in (KeyKind.P256, KeyKind.ED25519, KeyKind.RSA2048)
]


def check(data: bytes) -> None:
    """A value with a proof that the library confirms, or our error."""
    try:
        request = parse_csr(data)
    except MalformedInput:
        return
    assert x509.load_der_x509_csr(request.der).is_signature_valid


@given(st.binary(max_size=400))
def test_any_bytes(data):
    """Noise is malformed."""
    check(data)


@settings(max_examples=examples(300))
@given(st.sampled_from(REQUESTS), st.data())
def test_damaged_requests(der, data):
    """One damaged octet, a cut or an insertion never crashes, and what the proof covers never changes."""
    place = data.draw(st.integers(0, len(der) - 1))
    change = data.draw(st.sampled_from(["flip", "cut", "insert", "drop"]))
    octet = data.draw(st.integers(0, 255))
    match change:
        case "flip":
            damaged = der[:place] + bytes((octet,)) + der[place + 1 :]
        case "cut":
            damaged = der[:place]
        case "insert":
            damaged = der[:place] + bytes((octet,)) + der[place:]
        case _:
            damaged = der[:place] + der[place + 1 :]
    check(damaged)


@given(st.text(max_size=70), st.lists(st.text(max_size=20), max_size=3))
def test_whatever_the_agent_can_build_is_taken(common_name, hosts):
    """Building refuses bad names; what it builds is accepted."""
    try:
        pem = build_csr(cached_key(), common_name, hosts)
    except MalformedInput:
        return
    assert parse_csr(pem).public_key == cached_key().public_key()
