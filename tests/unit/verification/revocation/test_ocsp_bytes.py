"""OCSP responses as other responders write them: algorithms, encodings, extensions, several single responses."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.pki.der import (
    encode_enumerated,
    encode_explicit,
    encode_extension,
    encode_generalized_time,
    encode_integer,
    encode_octets,
    encode_oid,
    encode_sequence,
)
from doorward.verification.revocation.status import RevocationStatus
from tests.support.certificates.der import tlv
from tests.support.certificates.issuing import certify, rsa_key
from tests.support.certificates.status import HOUR
from tests.support.certificates.status_der import (
    GOOD,
    NULL,
    REVOKED,
    STRANGE,
    UNKNOWN,
    answer,
    certificate_id,
    ecdsa,
    ecdsa_with_null,
    edwards,
    odd,
    pss,
    single,
)
from tests.support.ports import NOON
from tests.unit.verification.revocation.alice import ALICE, ISSUING, ROOT, ask

BOB = certify("bob", ISSUING, ca=False, serial=8)
BY = ecdsa(ISSUING.key)
SHA2 = {256: "2.16.840.1.101.3.4.2.1", 384: "2.16.840.1.101.3.4.2.2", 512: "2.16.840.1.101.3.4.2.3"}
GOOD_ONE = single(ALICE, ISSUING)


def status(*singles: bytes, **options) -> RevocationStatus:
    """Return the status of Alice by a response with these single responses, signed by the issuer."""
    return ask(answer(*singles, **{"by": BY, "responder": ISSUING, **options})).status


def why(*singles: bytes, **options) -> str:
    """Return why the status is undetermined."""
    found = ask(answer(*singles, **{"by": BY, "responder": ISSUING, **options}))
    assert found.status is RevocationStatus.UNDETERMINED
    return found.why[0].removeprefix("OCSP response: ")


@pytest.mark.parametrize(
    ("make", "sign"),
    [
        (rsa_key, lambda key: pss(key, SHA2[256], 32)),
        (rsa_key, lambda key: pss(key, SHA2[384], 48)),
        (rsa_key, lambda key: pss(key, SHA2[512], 64)),
        (rsa_key, lambda key: pss(key, SHA2[256], 20)),
        (rsa_key, lambda key: pss(key, SHA2[512], 0)),
        (rsa_key, lambda key: pss(key, SHA2[256], 32, null=b"")),
        (lambda: ec.generate_private_key(ec.SECP256R1()), lambda key: ecdsa(key, "sha512")),
        (lambda: ec.generate_private_key(ec.SECP384R1()), lambda key: ecdsa(key, "sha384")),
        (lambda: ec.generate_private_key(ec.SECP521R1()), lambda key: ecdsa(key, "sha512")),
        (lambda: ec.generate_private_key(ec.SECP256R1()), ecdsa_with_null),
        (ed25519.Ed25519PrivateKey.generate, edwards),
        (ed448.Ed448PrivateKey.generate, edwards),
    ],
    ids=[
        "pss-256",
        "pss-384",
        "pss-512",
        "pss-20",
        "pss-0",
        "pss-no-null",
        "p256",
        "p384",
        "p521",
        "null",
        "ed25519",
        "ed448",
    ],
)
def test_every_strong_signature_is_believed(make, sign):
    """RFC 4055 section 3.1 (RSA-PSS), RFC 5758, RFC 8410; of the issuer and of a delegated responder."""
    key = make()
    issuing = certify("Issuing", ROOT, key=key)
    alice = certify("alice", issuing, ca=False)
    der = answer(single(alice, issuing), by=sign(key), responder=issuing)
    assert ask(der, of=alice, issuer=issuing).status is RevocationStatus.GOOD
    bent = der[:-1] + bytes((der[-1] ^ 1,))
    assert ask(bent, of=alice, issuer=issuing).status is RevocationStatus.UNDETERMINED
    delegate = certify("Responder", ISSUING, ca=False, key=key, purposes=[ExtendedKeyUsageOID.OCSP_SIGNING])
    der = answer(GOOD_ONE, by=sign(key), responder=delegate, included=[delegate.der])
    assert ask(der).status is RevocationStatus.GOOD


def test_an_unknown_algorithm_verifies_nothing():
    """Neither does RSA-PSS without parameters, if the default is SHA-1."""
    for dotted in ("1.2.3.4", "1.2.840.113549.1.1.10"):
        by = (encode_sequence(encode_oid(dotted)), lambda content: b"x")
        assert why(GOOD_ONE, by=by) == "its signature does not verify"
    assert why(GOOD_ONE, signature=tlv(0x03, b"\x01\x00")) == "it does not parse"


@pytest.mark.parametrize("place", ["answer", "single"])
@pytest.mark.parametrize("state", [GOOD, REVOKED, UNKNOWN])
def test_a_critical_extension_that_is_not_known_is_refused(place, state):
    """RFC 6960 section 4.4, of the answer and of the single response; uncritical it is passed over."""
    for critical in (True, False):
        extension = odd(critical=critical)
        one = single(ALICE, ISSUING, state, stated=[extension] if place == "single" else ())
        found = ask(answer(one, by=BY, responder=ISSUING, stated=[extension] if place == "answer" else ()))
        if critical:
            assert found.why == (f"OCSP response: it has an unknown critical extension: {STRANGE}",)
        else:
            assert (found.status is RevocationStatus.UNDETERMINED) is (state == UNKNOWN)


def test_critical_extensions_that_are_known_are_understood():
    """RFC 6960 sections 4.4.1 to 4.4.8: none of them changes the present status."""
    nonce = encode_extension("1.3.6.1.5.5.7.48.1.2", encode_octets(bytes(32)), critical=True)
    revoked = odd(critical=True, oid="1.3.6.1.5.5.7.48.1.9")
    of_single = [
        odd(critical=True, oid=one)
        for one in ("1.3.6.1.5.5.7.48.1.3", "1.3.6.1.5.5.7.48.1.6", "2.5.29.21", "2.5.29.24")
    ]
    one = single(ALICE, ISSUING, stated=of_single)
    assert status(one, stated=[nonce, revoked]) is RevocationStatus.GOOD
    assert why(single(ALICE, ISSUING, stated=[odd(critical=True, oid="2.5.29.29")])).startswith(
        "it has an unknown cri"
    )


def test_single_responses_about_others_are_not_parsed():
    """A critical extension, a time or an encoding in another certificate's single response does not matter."""
    for other in (
        single(BOB, ISSUING, stated=[odd(critical=True)]),
        single(BOB, ISSUING, REVOKED, this_update=NULL),
        single(BOB, ISSUING, more=NULL),
        encode_sequence(certificate_id(BOB, ISSUING)),
        encode_sequence(encode_sequence(NULL)),
        encode_sequence(),
        NULL,
    ):
        assert status(other, GOOD_ONE, other) is RevocationStatus.GOOD


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ((GOOD, REVOKED), RevocationStatus.REVOKED),
        ((GOOD, UNKNOWN), RevocationStatus.UNDETERMINED),
        ((UNKNOWN, REVOKED), RevocationStatus.REVOKED),
        ((GOOD, GOOD), RevocationStatus.GOOD),
    ],
)
def test_of_several_single_responses_the_worst_counts(states, worst, turn):
    """In any position, also after many others."""
    singles = [single(ALICE, ISSUING, one) for one in states]
    others = [single(BOB, ISSUING)] * 200
    assert status(*[singles[0], *others, *singles[1:]][::turn]) is worst


def test_a_current_good_response_does_not_outweigh_an_expired_revoked_one():
    """Of two good ones the one that is in time counts."""
    ended = {"next_update": NOON - timedelta(seconds=1)}
    found = ask(answer(GOOD_ONE, single(ALICE, ISSUING, REVOKED, **ended), by=BY, responder=ISSUING))
    assert (found.status, found.fresh_until) == (RevocationStatus.REVOKED, ended["next_update"])
    assert status(single(ALICE, ISSUING, **ended), GOOD_ONE) is RevocationStatus.GOOD


@pytest.mark.parametrize("critical", [True, False])
def test_ocsp_nocheck_is_understood(critical):
    """RFC 6960 section 4.2.2.2.1: a responder's certificate may bear it, critical or not."""
    options = {"ca": False, "purposes": [ExtendedKeyUsageOID.OCSP_SIGNING]}
    delegate = certify("Responder", ISSUING, extra=[(x509.OCSPNoCheck(), critical)], **options)
    by = ecdsa(delegate.key)
    assert status(GOOD_ONE, by=by, responder=delegate, included=[NULL, delegate.der]) is RevocationStatus.GOOD
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(STRANGE), b"\x05\x00")
    strange = certify("Responder", ISSUING, extra=[(unknown, True)], **options)
    text = why(GOOD_ONE, by=ecdsa(strange.key), responder=strange, included=[strange.der])
    assert text == "it does not name a signer that may sign it"


def rewritten(text: bytes, tag: int = 0x13) -> bytes:
    """A Name with one common name of this type of string."""
    return encode_sequence(tlv(0x31, encode_sequence(encode_oid("2.5.4.3"), tlv(tag, text))))


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        (rewritten(b"Issuing"), True),
        (rewritten(b"iSSUING", 0x0C), True),
        (rewritten(b" Issuing  "), True),
        (rewritten(b"Issuer"), False),
        (rewritten(b"\xff", 0x0C), False),
        (encode_sequence(NULL), False),
        (NULL, None),
    ],
)
def test_responders_are_named_as_names_are_compared(name, is_it):
    """RFC 5280 section 7.1: neither case, nor white space, nor the type of string tells two names apart."""
    if is_it:
        assert status(GOOD_ONE, responder=name) is RevocationStatus.GOOD
    else:
        expected = "it does not parse" if is_it is None else "it does not name a signer that may sign it"
        assert why(GOOD_ONE, responder=name) == expected


def test_the_issuers_name_is_hashed_as_either_certificate_writes_it():
    """RFC 6960 section 4.1.1: the hash is over the issuer field of the certificate, which may be encoded otherwise."""
    subject = ISSUING.certificate.subject.public_bytes()
    in_leaf = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "ISSUING", x509.name._ASN1Type.PrintableString)]
    )
    alice = certify("alice", ISSUING, ca=False, issuer_name=in_leaf)
    assert alice.parsed.issuer == ISSUING.parsed.subject
    for name in (subject, in_leaf.public_bytes()):
        one = single(alice, ISSUING, id_=certificate_id(alice, ISSUING, issuer_name=name))
        assert ask(answer(one, by=BY, responder=ISSUING), of=alice).status is RevocationStatus.GOOD
    other = single(alice, ISSUING, id_=certificate_id(alice, ISSUING, issuer_name=rewritten(b"issuing")))
    found = ask(answer(other, by=BY, responder=ISSUING), of=alice)
    assert found.why == ("OCSP response: it is not about this certificate",)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (b"", ""),
        (encode_explicit(0, encode_enumerated(1)), "key-compromise"),
        (encode_explicit(0, encode_enumerated(11)), "unspecified"),
        (encode_explicit(0, NULL), "unspecified"),
        (b"\x1f", "unspecified"),
    ],
)
def test_an_odd_time_or_reason_leaves_it_revoked(reason, word):
    """RFC 6960 section 4.2.1: neither time nor reason is judged."""
    state = tlv(0xA1, encode_generalized_time(NOON), reason)
    found = ask(answer(single(ALICE, ISSUING, state), by=BY, responder=ISSUING))
    assert (found.status, found.reason) == (RevocationStatus.REVOKED, word)
    timeless = ask(answer(single(ALICE, ISSUING, tlv(0xA1, NULL)), by=BY, responder=ISSUING))
    assert timeless.status is RevocationStatus.REVOKED


@pytest.mark.parametrize(
    ("singles", "options"),
    [
        ([single(ALICE, ISSUING, this_update=NULL)], {}),
        ([single(ALICE, ISSUING, this_update=tlv(0x18, b"20261123"))], {}),
        ([single(ALICE, ISSUING, this_update=tlv(0x18, b"20269923000000Z"))], {}),
        ([single(ALICE, ISSUING, tlv(0x83))], {}),
        ([single(ALICE, ISSUING, more=NULL)], {}),
        ([single(ALICE, ISSUING, stated=[NULL])], {}),
        ([GOOD_ONE], {"more": NULL}),
        ([GOOD_ONE], {"stated": [NULL]}),
        ([GOOD_ONE], {"version": encode_explicit(0, encode_integer(1))}),
        ([GOOD_ONE], {"kind": "1.3.6.1.5.5.7.48.1.99"}),
    ],
)
def test_what_is_judged_must_be_read(singles, options):
    """Times, states and forms of this certificate's single response and of the whole."""
    assert why(*singles, **options) == "it does not parse"


def test_needless_parts_that_responders_write():
    """The version that is the default, parts of seconds, several single responses of others."""
    fraction = tlv(0x18, b"20261123110000.5Z")
    one = single(ALICE, ISSUING, this_update=fraction, next_update=None)
    assert status(one, version=encode_explicit(0, encode_integer(0))) is RevocationStatus.GOOD


@pytest.mark.parametrize(
    ("code", "text"),
    [(3, "try later"), (6, "unauthorized"), (4, "an unknown failure"), (9, "an unknown failure")],
)
def test_failures_of_the_responder(code, text):
    """RFC 6960 section 4.2.1: they are not signed."""
    found = ask(encode_sequence(encode_enumerated(code)))
    assert found.why == (f"OCSP response: the responder reports: {text}",)


def test_nonces_of_older_responders_and_two_of_them():
    """RFC 9654 section 2.1: an OCTET STRING in the value; some write the octets alone. Two that differ are none."""
    sent = bytes(range(0x80, 0xA0))

    def nonce(value: bytes) -> bytes:
        return encode_extension("1.3.6.1.5.5.7.48.1.2", value)

    def come_back(*values: bytes) -> RevocationStatus:
        stated = [nonce(one) for one in values]
        return ask(answer(GOOD_ONE, by=BY, responder=ISSUING, stated=stated), nonce=sent).status

    assert come_back(encode_octets(sent)) is come_back(sent) is RevocationStatus.GOOD
    assert come_back(encode_octets(sent), encode_octets(bytes(32))) is RevocationStatus.UNDETERMINED


def test_the_next_update_alone_says_how_old_an_answer_may_be():
    """One that was made long ago and is still in time counts."""
    old = single(ALICE, ISSUING, this_update=NOON - timedelta(days=30), next_update=NOON + HOUR)
    assert ask(answer(old, by=BY, responder=ISSUING)).fresh_until == NOON + HOUR
