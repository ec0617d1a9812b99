"""Signed structures and the guards around the signature."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from doorward.core.errors import IntegrityError
from doorward.core.ports import KeyKind
from doorward.pki.signing import bind_key, encode_algorithm, sign_structure, sign_without_verifying
from tests.support.certificates.issuing import cached_key
from tests.support.refusals import refused

BODY = b"\x30\x00"


class FaultyToken(ed25519.Ed25519PrivateKey):
    """A token with the right public key and wrong signatures."""

    def __init__(self, honest):
        self.honest = honest

    def public_key(self):
        """The honest one."""
        return self.honest.public_key()

    def sign(self, data):
        """A signature with one bit turned."""
        good = self.honest.sign(data)
        return good[:-1] + bytes((good[-1] ^ 1,))

    def private_bytes(self, *arguments):
        """A token gives nothing away."""
        raise NotImplementedError

    def private_bytes_raw(self):
        """A token gives nothing away."""
        raise NotImplementedError

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_structure_is_body_algorithm_signature(kind):
    """The signed whole begins with the body, then the algorithm of the key."""
    key = cached_key(kind)
    signed = sign_structure(BODY, key, key.public_key())
    assert BODY + encode_algorithm(key.public_key()) in signed
    assert signed[0] == 0x30


def test_another_key_than_the_issuers_signs_nothing():
    """A key that is not the certificate's is refused before it is used."""
    with refused(IntegrityError, "issuer-key-mismatch"):
        sign_structure(BODY, cached_key(number=1), cached_key(number=2).public_key())


def test_a_broken_signature_does_not_leave():
    """A fault of the token or of memory is found before the signature is published."""
    token = FaultyToken(ed25519.Ed25519PrivateKey.generate())
    with refused(IntegrityError, "signature-broken"):
        sign_structure(BODY, token, token.public_key())


def test_an_answer_carries_its_trailer():
    """The certificates of an OCSP answer follow the signature."""
    trailer = b"\xa0\x02\x30\x00"
    key = cached_key()
    algorithm = encode_algorithm(key.public_key())
    signed = sign_without_verifying(BODY, bind_key(key), algorithm, trailer)
    assert signed.endswith(trailer)
    assert BODY + algorithm in signed
