"""EST: published flaws of other products, replayed against the EST surface, each with its protection and without.

GHSA-mrpr-756c-xm47 and GHSA-hhm9-wf63-g7qj are identities read from another certificate than the one with the proved key;
smallstep/certificates#1312 one secret for all devices; Infisical/infisical#6163 a second route that renews revoked
certificates; GHSA-q8g9 a flood of memory. The surface runs whole, over a founded authority; the door is in test_est.py.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.testclient import TestClient

from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.ports import KeyKind
from doorward.directory.fleets import judging
from doorward.directory.inviting import invite
from doorward.enforcement.envoy.names import SHOWN_CHAIN
from doorward.pki.csr import build_csr
from doorward.verification.path.building import judge_path
from doorward.web.app import build_est_app
from doorward.web.pool import UseCasePool
from doorward.wire.forwarded_chain import parse_forwarded_chain
from tests.posture.test_renewal import Checks, nothing, unchecked_standing, yes
from tests.support.certificates.issuing import pem_of, toy_ca
from tests.support.factory import NEVER, approve, import_factory, pending, request_of
from tests.support.ports import PlainKeys
from tests.support.world import OPERATOR, World, found_world

TRIES = 110


@dataclass(kw_only=True)
class Host:
    """The EST host and its world."""

    world: World
    client: TestClient

    def post(self, operation: str, headers: dict[str, str], body: bytes | None = None) -> int:
        """Send a request for a new key; return the status."""
        request = (
            base64.b64encode(build_csr(PlainKeys().generate(KeyKind.P256), "x")) if body is None else body
        )
        kind = {"content-type": "application/pkcs10"}
        path = f"/.well-known/est/{operation}"
        return self.client.post(path, content=request, headers={**kind, **headers}).status_code

    def token(self, name: str = "sensor-1") -> str:
        """Invite a device."""
        return invite(self.world.services, name, lifetime=timedelta(hours=1), actor=OPERATOR).token


@pytest.fixture
def host() -> Iterator[Host]:
    """A founded authority, and a client of its EST host."""
    pool, world = UseCasePool(workers=2), found_world()
    yield Host(world=world, client=TestClient(build_est_app(world.services, pool, makes_keys=True)))
    pool.close()


def basic(name: str, password: str) -> dict[str, str]:
    """Return credentials."""
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def shown(*chain: bytes, proved: bytes = b"") -> dict[str, str]:
    """Return the field that Envoy sets; `proved` is the certificate of the handshake if it is not the first one."""
    digest = hashlib.sha256(proved or chain[0]).hexdigest()
    pem = pem_of(*map(x509.load_der_x509_certificate, chain)).decode()
    return {SHOWN_CHAIN: f'Hash={digest};Chain="{quote(pem, safe="")}"'}


def a_chain_that_begins_with_another(host: Host) -> bool:
    """Prove a key of one's own, and let the chain begin with a valid certificate of a device."""
    sensor, own = host.world.issue("sensor-1").der, toy_ca("Stranger").leaf("sensor-1").der
    return host.post("simplereenroll", shown(sensor, own, proved=own)) == 200


def a_chain_that_ends_with_another(host: Host) -> bool:
    """Prove a key of one's own, and put the device's certificate behind it."""
    sensor, own = host.world.issue("sensor-1").der, toy_ca("Stranger").leaf("sensor-1").der
    return host.post("simplereenroll", shown(own, sensor)) == 200


def a_revoked_certificate(host: Host) -> bool:
    """Renew a certificate that was revoked, on the second route."""
    sensor = host.world.issue("sensor-1")
    revocation.revoke(host.world.services, sensor.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    return host.post("simpleenroll", shown(sensor.der)) == 200


def a_token_of_another(host: Host) -> bool:
    """Use the token of one device under the name of another."""
    return host.post("simpleenroll", basic("ledger", host.token("sensor-1"))) == 200


def a_token_again(host: Host) -> bool:
    """Use a token twice."""
    credentials = basic("sensor-1", host.token())
    assert host.post("simpleenroll", credentials) == 200
    return host.post("simpleenroll", credentials) == 200


def an_old_token(host: Host) -> bool:
    """Use a token after its end."""
    credentials = basic("sensor-1", host.token())
    host.world.clock.turn(hours=2)
    return host.post("simpleenroll", credentials) == 200


def a_key_for_a_person(host: Host) -> bool:
    """Let the server make, and see, the key of a person."""
    return host.post("serverkeygen", basic("alice", host.token("alice"))) == 200


def a_clone_after_the_approval(host: Host) -> bool:
    """Wait until the operator has approved the device, and ask with a key of one's own."""
    factory = import_factory(host.world)
    device = factory.device()
    approve(host.world, pending(host.world, factory, device))
    return host.post("simpleenroll", shown(*factory.chain(device))) == 200


def an_old_approval(host: Host) -> bool:
    """Use an approval that was forgotten for a year."""
    factory = import_factory(host.world)
    device = factory.device()
    approve(host.world, pending(host.world, factory, device))
    host.world.clock.turn(days=365)
    request = base64.b64encode(request_of(device))
    return host.post("simpleenroll", shown(*factory.chain(device)), request) == 200


def a_flood_of_wrong_tokens(host: Host) -> bool:
    """Make the record grow with every wrong token."""
    for _ in range(TRIES):
        assert host.post("simpleenroll", basic("sensor-1", "A" * 43)) in {401, 429}
    return len(host.world.events(EventType.INVITATION_REFUSED)) >= TRIES


def a_device_in_a_loop(host: Host) -> bool:
    """Make the record grow with the requests of one revoked certificate."""
    sensor = host.world.issue("sensor-1")
    revocation.revoke(host.world.services, sensor.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    for _ in range(TRIES):
        assert host.post("simplereenroll", shown(sensor.der)) in {403, 429}
    return len(host.world.events(EventType.CERTIFICATE_REFUSED)) >= TRIES


def a_judged_stranger(host: Host) -> bool:
    """Make the server build paths for certificates of a self-made authority, with keys as expensive as it likes."""
    import_factory(host.world)
    ca, judged = toy_ca("Stranger"), list[object]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "judge_path", lambda *given: judged.append(given) or judge_path(*given))
        assert host.post("simpleenroll", shown(ca.leaf("x").der, ca.der)) == 403
    return bool(judged)


def a_key_for_a_stranger(host: Host) -> bool:
    """Make the server compute a key for a token that does not exist."""
    factory, made = host.world.services.factory, list[KeyKind]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(factory), "generate", lambda _, kind: made.append(kind) or PlainKeys.generate(factory, kind)
        )
        request = base64.b64encode(build_csr(ec.generate_private_key(ec.SECP256R1()), "x"))
        assert host.post("serverkeygen", basic("sensor-1", "A" * 43), request) >= 400
    return bool(made)


def a_large_body(host: Host) -> bool:
    """Make the server read a megabyte from a stranger."""
    return host.post("simpleenroll", basic("sensor-1", "A" * 43), b"A" * 1_000_000) != 413


_EQUAL = SimpleNamespace(compare_digest=yes)
_COUNTED: Checks = {"doorward.web.throttle.AttemptThrottle.refusal": nothing}
_TOKENS: Checks = {
    "doorward.enrolment.invitation.find_fault": lambda *_: "",
    "doorward.directory.inviting.InvitationClaim.redeem": nothing,
}
ATTACKS: list[tuple[Callable[[Host], bool], Checks]] = [
    (a_chain_that_begins_with_another, {"doorward.wire.forwarded_chain.hmac": _EQUAL}),
    (
        a_chain_that_ends_with_another,
        {"doorward.web.est.parse_forwarded_chain": lambda value: parse_forwarded_chain(value)[::-1]},
    ),
    (a_revoked_certificate, {"doorward.authority.issuing.claims.require_standing": unchecked_standing}),
    (a_token_of_another, {"doorward.enrolment.invitation.hmac": _EQUAL}),
    (a_token_again, _TOKENS),
    (an_old_token, _TOKENS),
    (a_key_for_a_person, {"doorward.enrolment.est.enrolling.GeneratedKeyClaim": lambda claim: claim}),
    (
        a_clone_after_the_approval,
        {
            "doorward.directory.fleets.admission.find_end": lambda *_: "",
            "doorward.directory.fleets.admission.FactoryClaim._require_approved": nothing,
        },
    ),
    (
        an_old_approval,
        {
            "doorward.directory.fleets.admission.find_end": lambda *_: "",
            "doorward.directory.fleets.admission.approval_end": lambda *_: NEVER,
        },
    ),
    (a_flood_of_wrong_tokens, _COUNTED),
    (a_device_in_a_loop, _COUNTED),
    (a_judged_stranger, {"doorward.directory.fleets.judging._is_certified": yes}),
    (a_key_for_a_stranger, {"doorward.enrolment.est.enrolling.redeem": lambda *given, **_: given[2]()}),
    (a_large_body, {"doorward.web.est.BODY_LIMIT": 2_000_000}),
]
NAMES = [attack.__name__ for attack, _ in ATTACKS]


@pytest.mark.parametrize("attack", [attack for attack, _ in ATTACKS], ids=NAMES)
def test_the_attack_fails(host: Host, attack: Callable[[Host], bool]) -> None:
    """With every check in place."""
    assert not attack(host)


@pytest.mark.parametrize(("attack", "checks"), ATTACKS, ids=NAMES)
def test_without_the_check_the_attack_works(
    host: Host, monkeypatch: pytest.MonkeyPatch, attack: Callable[[Host], bool], checks: Checks
) -> None:
    """The twin: the same attack without the check, and nothing else changed."""
    for place, without in checks.items():
        monkeypatch.setattr(place, without)
    assert attack(host)
