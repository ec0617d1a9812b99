"""The checks of the answer to an enrolment request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509

from doorward.agent.credential import parse_credential, parse_root
from doorward.core.errors import DoorwardError, MalformedInput, RequestRefused
from doorward.core.ports import KeyKind
from tests.support.certificates.der import tlv
from tests.support.certificates.issuing import SERVER, CertifiedKey, rebuild, toy_ca
from tests.support.ports import NOON, PlainKeys

ROOT = toy_ca()
ISSUING = ROOT.issuing()
KEY = PlainKeys().generate(KeyKind.P256)


def chain(leaf: CertifiedKey, *issuers: CertifiedKey) -> bytes:
    """Return PEM, leaf first."""
    return leaf.pem + b"".join(issuer.pem for issuer in issuers)


def refusal(call: Callable[[], object]) -> str:
    """Return the code with which something is refused."""
    with pytest.raises(DoorwardError) as caught:
        call()
    assert isinstance(caught.value, MalformedInput | RequestRefused)
    return caught.value.code


def judge(data: bytes, root: x509.Certificate = ROOT.certificate, **later: float) -> str:
    """Return the code with which a chain is refused."""
    return refusal(lambda: parse_credential(data, KEY, [root], NOON + timedelta(**later)))


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384, KeyKind.RSA3072, KeyKind.ED25519])
def test_a_certificate_of_our_key_by_our_root_is_taken(kind: KeyKind) -> None:
    """Root -> issuing -> leaf of our key, in time, for clients: taken, with its name and issuer."""
    key = PlainKeys().generate(kind)
    leaf = ISSUING.leaf("alice", key=key)
    found = parse_credential(chain(leaf, ISSUING), key, [ROOT.certificate], NOON)
    assert (found.certificate, found.issuers) == (leaf.certificate, (ISSUING.certificate,))
    assert found.name == "alice"


def test_text_around_the_blocks_is_accepted() -> None:
    """Servers write comments between PEM blocks (RFC 7468 section 5.2)."""
    data = b"subject=alice\r\n" + chain(ISSUING.leaf(key=KEY), ISSUING).replace(b"\n", b"\r\n")
    assert parse_credential(data, KEY, [ROOT.certificate], NOON).name == "alice"


@pytest.mark.parametrize("name", ["../../etc/passwd", "Alice", "a/b", "-", "a" * 64])
def test_a_server_chooses_no_path_on_this_machine(name: str) -> None:
    """A name that Doorward would not give does not become a file name."""
    leaf = ISSUING.leaf(name, uris=("spiffe://corp.example/person/a",), key=KEY)
    assert parse_credential(chain(leaf, ISSUING), KEY, [ROOT.certificate], NOON).name == "identity"


def test_a_certificate_of_another_key_is_refused() -> None:
    """A certificate for another key is refused."""
    assert judge(chain(ISSUING.leaf(), ISSUING)) == "certificate-of-another-key"


def test_a_certificate_by_another_authority_is_refused() -> None:
    """Same names, other keys: the chain must end in the pinned root."""
    other = toy_ca().issuing()
    leaf = other.leaf(key=KEY)
    assert judge(chain(leaf, other)) == "certificate-not-trusted"
    assert judge(chain(leaf, ISSUING)) == "certificate-not-trusted"
    assert judge(chain(ISSUING.leaf(key=KEY))) == "certificate-not-trusted"


@pytest.mark.parametrize("usage", [(), (SERVER,)])
def test_a_certificate_that_is_not_for_clients_is_refused(usage: tuple[x509.ObjectIdentifier] | None) -> None:
    """Without clientAuth, or without any extended key usage, no browser would offer it."""
    leaf = ISSUING.leaf(key=KEY, purposes=usage)
    assert judge(chain(leaf, ISSUING)) == "certificate-not-for-clients"


def test_a_certificate_out_of_its_time_is_refused() -> None:
    """Expired, or more than five minutes (the clock skew) before its first date."""
    data = chain(ISSUING.leaf(key=KEY, not_before=NOON - timedelta(hours=1)), ISSUING)
    assert judge(data, days=90) == "certificate-out-of-time"
    assert judge(data, hours=-1, minutes=-6) == "certificate-out-of-time"
    parse_credential(data, KEY, [ROOT.certificate], NOON - timedelta(hours=1, minutes=4))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\n" + b"A" * 30000 + b"\n-----END CERTIFICATE-----\n",
        ISSUING.pem * 6,
        ISSUING.pem + b"-----BEGIN CERTIFICATE-----\n",
    ],
)
def test_an_answer_without_a_chain_is_malformed(data: bytes) -> None:
    """One to five certificates, and no incomplete PEM block."""
    assert judge(data) == "chain-malformed"


@pytest.mark.parametrize(
    ("good", "bad"), [(b"\x03B\x00\x04", b"\x03B\x00\x09"), (b"\x0c\x05alice", b"\x0c\x05\xff\xffice")]
)
def test_a_certificate_with_unparsable_parts_is_malformed(good: bytes, bad: bytes) -> None:
    """A public key that is not on its curve; a name that is not UTF-8."""
    der = ISSUING.leaf("alice", key=KEY).der
    assert good in der
    text = base64.encodebytes(der.replace(good, bad)).decode()
    assert (
        judge(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n".encode()) == "chain-malformed"
    )


def test_the_pinned_root_is_taken() -> None:
    """The SHA-256 of the DER is what a link pins."""
    pin = hashlib.sha256(ROOT.der).hexdigest()
    assert parse_root(ROOT.pem, pin) == ROOT.certificate


def test_another_root_is_refused() -> None:
    """A root of an attacker in the middle does not have the link's SHA-256."""
    pin = hashlib.sha256(ROOT.der).hexdigest()
    assert refusal(lambda: parse_root(toy_ca().pem, pin)) == "root-not-pinned"


def test_a_second_root_behind_the_pinned_one_is_refused() -> None:
    """A file of two roots is refused: only the first would be compared, and both would be trusted."""
    pin = hashlib.sha256(ROOT.der).hexdigest()
    assert refusal(lambda: parse_root(ROOT.pem + toy_ca().pem, pin)) == "root-malformed"


@pytest.mark.parametrize(
    ("first", "last", "code"),
    [
        (b"00010101000000Z", b"00010101000000Z", "certificate-out-of-time"),
        (b"99991231235959Z", b"99991231235959Z", "certificate-out-of-time"),
        (b"00000101000000Z", b"99991231235959Z", "chain-malformed"),
        (b"20260230000000Z", b"99991231235959Z", "chain-malformed"),
    ],
)
def test_dates_at_the_edge_of_the_calendar_are_refused(first: bytes, last: bytes, code: str) -> None:
    """No date makes another error than a refusal."""

    def edit(fields: list[bytes]) -> list[bytes]:
        return [*fields[:4], tlv(0x30, tlv(0x18, first) + tlv(0x18, last)), *fields[5:]]

    leaf = ISSUING.leaf(key=KEY)
    try:
        odd = rebuild(leaf, ISSUING.key, edit)
    except ValueError:  # the library does not even read it
        return
    assert judge(chain(odd, ISSUING)) == code
