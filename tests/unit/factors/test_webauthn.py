"""Passkeys: what the browser is asked, and what its answers are worth."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fido2 import cbor
from fido2.cose import ES256, ES384

from doorward.core.errors import AccessDenied, MalformedInput
from doorward.factors import webauthn
from doorward.factors.verdict import FactorFault, FactorVerdict
from doorward.factors.webauthn import answers
from doorward.factors.webauthn.keys import is_allowed_key
from doorward.wire.base64url import parse_base64url, render_base64url
from tests.support.passkeys import BACKED_UP, ELIGIBLE, PRESENT, VERIFIED, SoftAuthenticator, cose_key

ORIGIN = "https://portal.corp.example:8443"
PARTY = webauthn.RelyingParty(id="portal.corp.example", origin=ORIGIN, name="Corp")
CHALLENGE = bytes(range(32))
HANDLE = b"per_alice"
RSA_KEY = rsa.generate_private_key(65537, 2048)


def creation(**change: Any) -> dict[str, Any]:
    """What is asked of a new passkey of Alice."""
    return webauthn.build_registration_options(
        PARTY, user_handle=HANDLE, user_name="alice", display_name="Alice", challenge=CHALLENGE, **change
    )


def request(**change: Any) -> dict[str, Any]:
    """What is asked of Alice's passkeys."""
    return webauthn.build_authentication_options(PARTY, challenge=CHALLENGE, **change)


def register(
    browser: SoftAuthenticator, challenge: bytes = CHALLENGE, **wrong: Any
) -> FactorVerdict[tuple[webauthn.Passkey, int]]:
    """Make a passkey, with mistakes on request, and judge it."""
    answer = webauthn.parse_registration(browser.create(creation(), **wrong))
    return webauthn.check_registration(answer, PARTY, challenge)


def use(
    browser: SoftAuthenticator,
    passkey: webauthn.Passkey,
    *,
    counter: int = 0,
    challenge: bytes = CHALLENGE,
    handle: bytes = HANDLE,
    **wrong: Any,
) -> FactorVerdict[int]:
    """Use a passkey, with mistakes on request, and judge it."""
    answer = webauthn.parse_authentication(browser.get(request(), **wrong))
    return webauthn.check_authentication(
        answer, PARTY, challenge, passkey=passkey, counter=counter, user_handle=handle
    )


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate(), RSA_KEY]
)
def test_a_passkey_of_each_kind_is_made_and_used(key: Any) -> None:
    """ES256, EdDSA and RS256 are taken; the counter comes back."""
    browser = SoftAuthenticator(origin=ORIGIN)
    passkey, counter = register(browser, key=key).require()
    assert (passkey.credential_id, counter) == (browser.keys[0].credential_id, 0)
    assert use(browser, passkey).require() == 1


def test_what_is_kept_of_a_passkey_comes_back() -> None:
    """A passkey survives being stored; what is no stored passkey is refused."""
    browser = SoftAuthenticator(origin=ORIGIN)
    passkey, _ = register(browser, flags=PRESENT | VERIFIED | ELIGIBLE).require()
    assert passkey.backup_eligible
    stored = webauthn.render_passkey(passkey)
    assert webauthn.parse_passkey(stored) == passkey
    other = stored[:51] + cbor.encode(cose_384())
    for broken in (b"", b"\x02" + stored[1:], stored[:40], stored + b"\0" * 5000, other):
        with pytest.raises(MalformedInput, match="stored passkey"):
            webauthn.parse_passkey(broken)


def cose_384() -> Any:
    """Return a key of a curve that is not taken."""
    return ES384.from_cryptography_key(ec.generate_private_key(ec.SECP384R1()).public_key())


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        (FactorFault.TYPE, {"type": "webauthn.get"}),
        (FactorFault.CHALLENGE, {"challenge": bytes(32)}),
        (FactorFault.ORIGIN, {"origin": "https://portal.corp.example"}),
        (FactorFault.ORIGIN, {"origin": "https://bank.corp.example:8443"}),
        (FactorFault.NOT_TOP_LEVEL, {"crossOrigin": True}),
        (FactorFault.NOT_TOP_LEVEL, {"topOrigin": "https://evil.example"}),
        (FactorFault.NOT_PRESENT, {"flags": VERIFIED}),
        (FactorFault.NOT_VERIFIED, {"flags": PRESENT}),
        (FactorFault.BACKUP_STATE, {"flags": PRESENT | VERIFIED | BACKED_UP}),
        (FactorFault.ATTESTATION, {"form": "packed"}),
        (FactorFault.ATTESTATION, {"statement": {"x": 1}}),
        (FactorFault.KEY, {"key": rsa.generate_private_key(65537, 1024)}),
        (FactorFault.NOT_RESIDENT, {"resident": False}),
    ],
)
def test_a_registration_with_one_fault_is_refused(fault: FactorFault, wrong: dict[str, Any]) -> None:
    """Each thing that is wrong is refused by its name, and by no other."""
    assert register(SoftAuthenticator(origin=ORIGIN), **wrong).faults == (fault,)


def test_a_registration_for_another_host_is_refused() -> None:
    """The RP ID is exactly the portal's host: the domain above is another."""
    options = creation()
    options["rp"] = {"id": "corp.example", "name": "Corp"}
    answer = webauthn.parse_registration(SoftAuthenticator(origin=ORIGIN).create(options))
    verdict = webauthn.check_registration(answer, PARTY, CHALLENGE)
    assert verdict.faults == (FactorFault.RELYING_PARTY,)


def test_a_browser_that_does_not_say_resident_is_taken() -> None:
    """The extension credProps is not everywhere; residence was required of the authenticator."""
    assert register(SoftAuthenticator(origin=ORIGIN), resident=None).good


def test_an_attestation_without_a_new_key_is_refused() -> None:
    """A registration has to bring a key."""
    browser = SoftAuthenticator(origin=ORIGIN)
    made = json.loads(browser.create(creation()))
    raw = parse_base64url(made["response"]["attestationObject"], code="a-b", what="it")
    members = dict(cbor.decode(raw))
    data = members["authData"]
    members["authData"] = data[:32] + bytes([PRESENT | VERIFIED]) + data[33:37]
    made["response"]["attestationObject"] = render_base64url(cbor.encode(members))
    verdict = webauthn.check_registration(webauthn.parse_registration(json.dumps(made)), PARTY, CHALLENGE)
    assert verdict.faults == (FactorFault.KEY, FactorFault.CREDENTIAL)


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        (FactorFault.TYPE, {"type": "webauthn.create"}),
        (FactorFault.CHALLENGE, {"challenge": bytes(32)}),
        (FactorFault.ORIGIN, {"origin": "https://portal.corp.example.evil.example:8443"}),
        (FactorFault.NOT_TOP_LEVEL, {"crossOrigin": True}),
        (FactorFault.NOT_PRESENT, {"flags": VERIFIED}),
        (FactorFault.NOT_VERIFIED, {"flags": PRESENT}),
        (FactorFault.BACKUP_STATE, {"flags": PRESENT | VERIFIED | BACKED_UP}),
        (FactorFault.BACKUP_STATE, {"flags": PRESENT | VERIFIED | ELIGIBLE}),
        (FactorFault.RELYING_PARTY, {"rp_id": "corp.example"}),
        (FactorFault.USER, {"handle": b"per_bob"}),
        (FactorFault.COUNTER, {"counter": 1}),
        (FactorFault.COUNTER, {"counter": 7}),
    ],
)
def test_an_authentication_with_one_fault_is_refused(fault: FactorFault, wrong: dict[str, Any]) -> None:
    """Each thing that is wrong is refused by its name, and by no other."""
    browser = SoftAuthenticator(origin=ORIGIN)
    passkey, _ = register(browser).require()
    assert use(browser, passkey, **wrong).faults == (fault,)


def test_another_passkey_is_refused() -> None:
    """The answer names its passkey, and its key signs."""
    browser, other = SoftAuthenticator(origin=ORIGIN), SoftAuthenticator(origin=ORIGIN + "0")
    register(browser)
    passkey, _ = webauthn.check_registration(
        webauthn.parse_registration(other.create(creation(), origin=ORIGIN)), PARTY, CHALLENGE
    ).require()
    assert use(browser, passkey).faults == (FactorFault.CREDENTIAL, FactorFault.SIGNATURE)


def test_counters_that_stay_at_zero_are_taken() -> None:
    """Synced passkeys count nothing; a counter that was above 0 and says 0 is refused."""
    browser = SoftAuthenticator(origin=ORIGIN, counting=False)
    passkey, _ = register(browser).require()
    assert use(browser, passkey, named=False).require() == 0
    assert use(browser, passkey, counter=5).faults == (FactorFault.COUNTER,)


def test_extensions_of_an_authenticator_are_passed_over() -> None:
    """An answer with extension data is read to its end."""
    browser = SoftAuthenticator(origin=ORIGIN)
    passkey, _ = register(browser).require()
    assert use(browser, passkey, extensions={"x": 1}).good


def test_options_ask_for_all_that_is_checked() -> None:
    """User verification, a resident key, no attestation, exactly the portal's host."""
    asked = creation(exclude=[b"\x01"])
    assert asked["rp"]["id"] == "portal.corp.example"
    assert asked["authenticatorSelection"] == {
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    }
    assert asked["attestation"] == "none"
    assert [one["alg"] for one in asked["pubKeyCredParams"]] == [-8, -7, -257]
    assert asked["excludeCredentials"] == [{"type": "public-key", "id": "AQ"}]
    assert request(allow=[b"\x02"])["allowCredentials"] == [{"type": "public-key", "id": "Ag"}]
    assert request()["userVerification"] == "required"
    json.dumps([asked, request()])


def test_options_refuse_what_would_be_unsafe() -> None:
    """A short challenge, a handle that is too long, an origin that is not the host's or not HTTPS."""
    with pytest.raises(ValueError, match="16 bytes"):
        webauthn.build_authentication_options(PARTY, challenge=b"short")
    with pytest.raises(ValueError, match="user handle"):
        webauthn.build_registration_options(
            PARTY, user_handle=b"", user_name="a", display_name="", challenge=CHALLENGE
        )
    for origin in ("http://portal.corp.example", "https://corp.example", "https://portal.corp.example.evil"):
        with pytest.raises(ValueError, match="not that of the RP ID"):
            webauthn.RelyingParty(id="portal.corp.example", origin=origin, name="Corp")


def test_a_verdict_has_no_truth_value() -> None:
    """A verdict has faults or a result; `bool` raises, and `require` raises with every fault."""
    verdict: FactorVerdict[int] = FactorVerdict(faults=(FactorFault.WRONG, FactorFault.REPLAYED))
    with pytest.raises(TypeError):
        bool(verdict)
    with pytest.raises(AccessDenied) as raised:
        verdict.require()
    assert raised.value.reasons == ("factor-wrong", "factor-replayed")
    with pytest.raises(ValueError, match="either faults"):
        FactorVerdict(faults=(), found=None)


def _swap(members: dict[str, Any], **change: Any) -> str:
    """Return the answer with members of it or of its response changed."""
    changed = {name: change.pop(name) for name in list(change) if name in members}
    return json.dumps({**members, **changed, "response": {**members["response"], **change}})


@pytest.mark.parametrize(
    "change",
    [
        {"type": "password"},
        {"rawId": ""},
        {"rawId": "AA=="},
        {"rawId": 7},
        {"id": "AAAA"},
        {"attestationObject": render_base64url(b"\xff")},
        {"attestationObject": render_base64url(b"")},
        {"attestationObject": render_base64url(cbor.encode({"fmt": "none"}))},
        {
            "attestationObject": render_base64url(
                cbor.encode({"fmt": "none", "attStmt": {}, "authData": 1 << 40})
            )
        },
        {
            "attestationObject": render_base64url(
                cbor.encode({"fmt": "none", "attStmt": {}, "authData": b"\0" * 20})
            )
        },
        {"attestationObject": render_base64url(b"\x81" * 8000)},
        {"attestationObject": render_base64url(b"\x19")},
        {"clientDataJSON": render_base64url(b"[]")},
        {"clientDataJSON": render_base64url(b'{"type":"a","challenge":"AA","origin":"b","crossOrigin":1}')},
        {"clientDataJSON": render_base64url(b'{"type":"a","challenge":"AA","origin":7}')},
        {"clientDataJSON": render_base64url(b" " * 5000)},
    ],
)
def test_a_malformed_registration_is_refused(change: dict[str, Any]) -> None:
    """What cannot be read is said to be malformed, before anything is judged."""
    made = json.loads(SoftAuthenticator(origin=ORIGIN).create(creation()))
    with pytest.raises(MalformedInput) as raised:
        webauthn.parse_registration(_swap(made, **change))
    assert raised.value.code == "webauthn-malformed"


def test_an_answer_that_is_too_long_or_has_no_response_is_malformed() -> None:
    """The bound holds before the JSON is read."""
    made = json.loads(SoftAuthenticator(origin=ORIGIN).create(creation()))
    padded = json.dumps({**made, "clientExtensionResults": {"x": "y" * 40_000}})
    for text in (padded, '{"type":"public-key","id":"AA","rawId":"AA","response":1}'):
        with pytest.raises(MalformedInput):
            webauthn.parse_registration(text)


def test_the_parts_have_bounds_of_their_own() -> None:
    """Client data, authenticator data and attestation objects that are too long are malformed."""
    for parse in (answers.parse_client_data, answers.parse_authenticator_data, answers.parse_attestation):
        with pytest.raises(MalformedInput, match="longer than"):
            parse(b"\0" * 9000)


def test_an_empty_credential_id_is_malformed() -> None:
    """An id that every passkey without one would share is refused."""
    key = cbor.encode(cose_key(ec.generate_private_key(ec.SECP256R1())))
    data = bytes(32) + bytes([0x45]) + bytes(4) + bytes(16) + struct.pack(">H", 0) + key
    with pytest.raises(MalformedInput, match="credential id"):
        answers.parse_authenticator_data(data)


def test_a_long_value_within_the_characters_is_counted_in_bytes() -> None:
    """The limit is one of bytes."""
    made = json.loads(SoftAuthenticator(origin=ORIGIN).create(creation()))
    name = render_base64url(bytes(1026))
    with pytest.raises(MalformedInput, match="longer than 1023"):
        webauthn.parse_registration(_swap(made, rawId=name, id=name))


P256 = dict(cose_key(ec.generate_private_key(ec.SECP256R1())))
OKP = dict(cose_key(ed25519.Ed25519PrivateKey.generate()))
RSA = dict(cose_key(RSA_KEY))


@pytest.mark.parametrize(
    "key",
    [
        {3: -35},
        P256 | {-4: b""},
        P256 | {1: 1},
        P256 | {-1: 2},
        P256 | {-2: P256[-2][:31]},
        P256 | {-3: bytes(32)},
        P256 | {-2: 5},
        OKP | {-1: 4},
        OKP | {-2: b""},
        RSA | {1: 2},
        RSA | {-1: b"\x01"},
        RSA | {-1: 5},
        RSA | {-2: b"\x03"},
    ],
)
def test_a_key_that_is_not_exactly_of_its_kind_is_refused(key: dict[int, Any]) -> None:
    """Another algorithm or curve, members more or less, a point off the curve, a short modulus."""
    assert not is_allowed_key(key)


def test_keys_of_the_three_kinds_are_allowed() -> None:
    """The keys that the last test breaks are whole."""
    assert all(is_allowed_key(key) for key in (P256, OKP, RSA))
    assert isinstance(P256, dict)
    assert ES256.ALGORITHM == -7
