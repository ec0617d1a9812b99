"""Targets of the fuzzer for second factors: what a browser answers, and what is signed or stored."""

from __future__ import annotations

import json
from collections.abc import Callable

from fido2 import cbor

from doorward.factors import webauthn
from doorward.factors.password import PasswordCost, hash_password, parse_password_cost
from doorward.factors.verdict import FactorVerdict
from doorward.factors.webauthn import answers
from doorward.wire.base64url import parse_base64url, render_base64url
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target
from tests.support.passkeys import SoftAuthenticator

CHALLENGE = bytes(32)
PARTY = webauthn.RelyingParty(id="portal.corp.example", origin="https://portal.corp.example", name="Corp")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class _Answers:
    """A passkey that was made and used, in JSON and in its parts."""

    def __init__(self) -> None:
        browser = SoftAuthenticator(origin=PARTY.origin)
        self.made = browser.create(
            webauthn.build_registration_options(
                PARTY, user_handle=b"per_a", user_name="a", display_name="", challenge=CHALLENGE
            )
        )
        self.used = browser.get(webauthn.build_authentication_options(PARTY, challenge=CHALLENGE))
        self.passkey, _ = self.register(self.made).require()

    def register(self, text: str) -> FactorVerdict[tuple[webauthn.Passkey, int]]:
        return webauthn.check_registration(webauthn.parse_registration(text), PARTY, CHALLENGE)

    def authenticate(self, text: str) -> tuple[str, ...]:
        found = webauthn.check_authentication(
            webauthn.parse_authentication(text),
            PARTY,
            CHALLENGE,
            passkey=self.passkey,
            counter=0,
            user_handle=b"per_a",
        )
        return tuple(fault.value for fault in found.faults)

    def part(self, text: str, name: str) -> bytes:
        return parse_base64url(json.loads(text)["response"][name], code="a-b", what=name)

    def within(self, text: str, name: str) -> Callable[[bytes], str]:
        """Return what puts bytes in the place of a part of an answer."""
        members = json.loads(text)

        def put(data: bytes) -> str:
            response = {**members["response"], name: render_base64url(data[:9000])}
            return json.dumps({**members, "response": response})

        return put


def _answers() -> Harness:
    whole = _Answers()

    def judge(data: bytes) -> object:
        text = _text(data)
        if "attestationObject" in text:
            return [one.value for one in whole.register(text).faults]
        return whole.authenticate(text)

    return Harness(seeds=(whole.made.encode(), whole.used.encode()), judge=judge)


def _attestation() -> Harness:
    """A hostile authenticator behind an honest browser."""
    whole = _Answers()
    put = whole.within(whole.made, "attestationObject")

    def judge(data: bytes) -> object:
        verdict = whole.register(put(data))
        if verdict.good:
            passkey, _ = verdict.require()
            assert webauthn.parse_passkey(webauthn.render_passkey(passkey)) == passkey
        return [one.value for one in verdict.faults]

    seed = whole.part(whole.made, "attestationObject")
    return Harness(
        seeds=(seed, cbor.encode({"fmt": "none", "attStmt": {}, "authData": b"\0" * 37})), judge=judge
    )


def _authenticator_data() -> Harness:
    whole = _Answers()
    put = whole.within(whole.used, "authenticatorData")

    def judge(data: bytes) -> object:
        answers.parse_authenticator_data(data)
        return whole.authenticate(put(data))

    made = cbor.decode(whole.part(whole.made, "attestationObject"))
    return Harness(seeds=(whole.part(whole.used, "authenticatorData"), made["authData"]), judge=judge)


def _client_data() -> Harness:
    whole = _Answers()
    put = whole.within(whole.used, "clientDataJSON")

    def judge(data: bytes) -> object:
        answers.parse_client_data(data)
        return whole.authenticate(put(data))

    return Harness(seeds=(whole.part(whole.used, "clientDataJSON"),), judge=judge)


def _stored_passkey() -> Harness:
    stored = webauthn.render_passkey(_Answers().passkey)

    def judge(data: bytes) -> object:
        return len(webauthn.parse_passkey(data).credential_id)

    return Harness(seeds=(stored,), judge=judge)


def _stored_password() -> Harness:
    stored = hash_password(b"x", bytes(16), PasswordCost(memory_kibibytes=8, passes=1))
    return Harness(
        seeds=(stored.encode(),), judge=lambda data: parse_password_cost(_text(data)).memory_kibibytes
    )


def _target(name: str, prepare: Callable[[], Harness], *covers: str, shape: Shape = Shape.TEXT) -> Target:
    return Target(name=name, covers=tuple(covers), shape=shape, prepare=prepare)


_WEBAUTHN = "factors.webauthn.answers."
FACTOR_TARGETS = (
    _target(
        "webauthn-answer",
        _answers,
        _WEBAUTHN + "parse_registration",
        _WEBAUTHN + "parse_authentication",
        "wire.base64url.parse_base64url",
    ),
    _target("webauthn-attestation", _attestation, _WEBAUTHN + "parse_attestation", shape=Shape.OCTETS),
    _target(
        "webauthn-authenticator-data",
        _authenticator_data,
        _WEBAUTHN + "parse_authenticator_data",
        shape=Shape.OCTETS,
    ),
    _target(
        "webauthn-client-data",
        _client_data,
        _WEBAUTHN + "parse_client_data",
        "wire.json_object.parse_json_object",
    ),
    _target("stored-passkey", _stored_passkey, "factors.webauthn.keys.parse_passkey", shape=Shape.OCTETS),
    _target("stored-password", _stored_password, "factors.password.parse_password_cost"),
)
