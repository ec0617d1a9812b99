"""Renewal: published flaws of other products, replayed against the enrolment host, each with its protection and without.

GHSA-7ccv-rp6m-rffr and CVE-2026-39388 are renewals with another valid certificate; certbot/certbot#4108 and
Infisical/infisical#6163 renewals of revoked ones; acmesh-official/acme.sh#873 keys that stay for ever; GHSA-q8g9 a
flood of memory. The surface runs whole: edge, routes, use cases, over a founded authority.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.authority.issuing.renewal import Renewal
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.ports import KeyKind
from doorward.directory import principals as directory
from doorward.stores.partner_records import PARTNER_PROFILE
from doorward.web.app import build_enrolment_app
from doorward.web.pool import UseCasePool
from tests.support.certificates.issuing import toy_ca
from tests.support.factor_world import FactorWorld
from tests.support.interleaving import before_change
from tests.support.ports import PlainKeys
from tests.support.renewing import body_of, fetch_nonce, new_request, post_renewal, prove
from tests.support.world import OPERATOR, Held, found_world

TRIES = 40


@dataclass(kw_only=True)
class Host:
    """The enrolment host and its world."""

    world: FactorWorld
    client: TestClient

    def renew(self, held: Held, request: bytes | None = None, **changed: Any) -> int:
        """Renew with a fresh nonce; return the status."""
        shown = prove(held, fetch_nonce(self.client), request or new_request(), **changed)
        return post_renewal(self.client, body_of(shown)).status_code

    def revoke(self, held: Held) -> None:
        """Revoke a certificate."""
        revocation.revoke(self.world.services, held.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)


@pytest.fixture
def host() -> Iterator[Host]:
    """A founded authority, and a client of its enrolment host."""
    pool, world = UseCasePool(workers=2), found_world(FactorWorld)
    yield Host(
        world=world, client=TestClient(build_enrolment_app(world.services, pool, origin="https://enroll.x"))
    )
    pool.close()


def another_certificate(host: Host) -> bool:
    """Sign with the key of a valid certificate, and show somebody else's."""
    sensor, ledger = host.world.issue("sensor-1"), host.world.issue("ledger")
    return host.renew(ledger, certificate=sensor.der) == 201


def a_sibling(host: Host) -> bool:
    """Sign with the key of another certificate of the same device."""
    sensor, sibling = host.world.issue("sensor-1"), host.world.issue("sensor-1")
    return host.renew(sibling, certificate=sensor.der) == 201


def an_old_recording(host: Host) -> bool:
    """Send a request that was recorded an hour ago."""
    body = body_of(prove(host.world.issue("sensor-1"), fetch_nonce(host.client), new_request()))
    host.world.clock.turn(hours=1)
    return post_renewal(host.client, body).status_code == 201


def a_revoked_certificate(host: Host) -> bool:
    """Renew with a certificate that was revoked because its key is stolen."""
    sensor = host.world.issue("sensor-1")
    host.revoke(sensor)
    return host.renew(sensor) == 201


def a_held_certificate(host: Host) -> bool:
    """Renew with a certificate on hold."""
    sensor = host.world.issue("sensor-1")
    revocation.hold(host.world.services, sensor.record.id, OPERATOR)
    return host.renew(sensor) == 201


def a_long_ended_certificate(host: Host) -> bool:
    """Renew with a certificate that ended more than 30 days ago."""
    sensor = host.world.issue("sensor-1")
    host.world.clock.turn(days=365 + 31)
    return host.renew(sensor) == 201


def a_partners_certificate(host: Host) -> bool:
    """Renew with a certificate of a partner, in the inventory with one of our devices as its holder."""
    theirs, ours = toy_ca().leaf("sensor-1"), host.world.issue("sensor-1").record
    record = replace(
        ours, id="crt_" + "a" * 20, authority_id="aut_" + "a" * 20, profile=PARTNER_PROFILE, der=theirs.der,
        sha256=theirs.sha256, state=CertificateState.VALID, spki_sha256="",
    )  # fmt: skip
    with host.world.work.change() as stores:
        assert stores.certificates.add_seen(record)
    return host.renew(Held(record=record, chain_der=(), key=theirs.key)) == 201


def a_suspended_device(host: Host) -> bool:
    """Renew with a certificate of a device that was suspended."""
    sensor = host.world.issue("sensor-1")
    directory.suspend(host.world.services, "sensor-1", actor=OPERATOR)
    return host.renew(sensor) == 201


def a_revocation_meanwhile(host: Host) -> bool:
    """Revoke the certificate while its successor is being signed."""
    sensor = host.world.issue("sensor-1")
    body = body_of(prove(sensor, fetch_nonce(host.client), new_request()))
    before_change(host.world, 2, lambda: host.revoke(sensor))
    return post_renewal(host.client, body).status_code == 201


def a_copy(host: Host) -> bool:
    """Renew with the key of a certificate that was renewed before."""
    sensor = host.world.issue("sensor-1")
    assert host.renew(sensor) == 201
    return host.renew(sensor) == 201


def a_chain_of_successors(host: Host) -> bool:
    """Renew what was just renewed, again and again: one stolen key becomes many certificates."""
    request = new_request(key := PlainKeys().generate(KeyKind.P256))
    sensor = host.world.issue("sensor-1")
    assert host.renew(sensor, request) == 201
    with host.world.work.read() as stores:
        (second,) = stores.certificates.successors(sensor.record.id)
    return host.renew(Held(record=second, chain_der=(), key=key)) == 201


def a_factor_meanwhile(host: Host) -> bool:
    """Renew the certificate of a person who enrols a second factor while it is signed."""
    alice = host.world.comes("alice")

    def enrol_factor() -> None:
        del host.world.work.change
        host.world.set_password(alice)

    body = body_of(prove(host.world.issue("alice"), fetch_nonce(host.client), new_request()))
    before_change(host.world, 2, enrol_factor)
    return post_renewal(host.client, body).status_code == 201


def the_old_key(host: Host) -> bool:
    """Get a new certificate for the old key."""
    sensor = host.world.issue("sensor-1")
    return host.renew(sensor, new_request(sensor.key)) == 201


def the_key_of_another(host: Host) -> bool:
    """Get a certificate for the key of another principal."""
    sensor, ledger = host.world.issue("sensor-1"), host.world.issue("ledger")
    return host.renew(sensor, new_request(ledger.key)) == 201


def a_stolen_laptop(host: Host) -> bool:
    """Renew the certificate of a person who has a second factor, without it."""
    alice = host.world.comes("alice")
    host.world.set_password(alice)
    return host.renew(host.world.issue("alice")) == 201


def a_flood_of_wrong_proofs(host: Host) -> bool:
    """Make the record grow with every wrong proof."""
    sensor = host.world.issue("sensor-1")
    for _ in range(TRIES):
        assert host.renew(sensor, signature=b"wrong") in {403, 429}
    return len(host.world.events(EventType.RENEWAL_REFUSED)) >= TRIES


def a_client_in_a_loop(host: Host) -> bool:
    """Make the record grow with the requests of one certificate."""
    sensor = host.world.issue("sensor-1")
    for _ in range(TRIES):
        assert host.renew(sensor, new_request(sensor.key)) in {403, 429}
    return len(host.world.events(EventType.CERTIFICATE_REFUSED)) >= TRIES


def a_large_body(host: Host) -> bool:
    """Make the server read a megabyte from a stranger."""
    return post_renewal(host.client, b'{"certificate": "' + b"A" * 1_000_000 + b'"}').status_code != 413


def unchecked_standing(stores: Any, certificate_id: str, *_: object, **__: object) -> Renewal:
    """The certificate as it is in the inventory."""
    record = stores.certificates.get(certificate_id)
    return Renewal(record=record, principal=stores.directory.get(record.principal_id))


def unchecked_principal(stores: Any, principal_id: str) -> Any:
    """The principal as it is in the directory."""
    return stores.directory.get(principal_id)


def nothing(*_: object, **__: object) -> None:
    """Check nothing."""


def yes(*_: object, **__: object) -> bool:
    """Every check is good."""
    return True


Checks = dict[str, object]
_CLAIMS = "doorward.authority.issuing.claims"
_PROOF: Checks = {"doorward.enrolment.renewal.check_proof": yes}
_STANDING: Checks = {f"{_CLAIMS}.require_standing": unchecked_standing}
_ACTIVE: Checks = {
    **_STANDING,
    f"{_CLAIMS}.require_active": unchecked_principal,
    "doorward.authority.issuing.steps.require_active": unchecked_principal,
}
_NEWEST: Checks = {f"{_CLAIMS}.require_newest": nothing}
_COUNTED: Checks = {"doorward.web.throttle.AttemptThrottle.refusal": nothing}
ATTACKS: list[tuple[Callable[[Host], bool], Checks]] = [
    (another_certificate, _PROOF),
    (a_sibling, _PROOF),
    (an_old_recording, {"doorward.directory.challenges.Challenges.is_open": yes}),
    (a_revoked_certificate, _STANDING),
    (a_held_certificate, _STANDING),
    (a_long_ended_certificate, _STANDING),
    (a_partners_certificate, _STANDING),
    (a_suspended_device, _ACTIVE),
    (a_revocation_meanwhile, {f"{_CLAIMS}.RenewalClaim.settle": nothing}),
    (a_copy, _NEWEST),
    (a_chain_of_successors, {f"{_CLAIMS}.require_due": nothing}),
    (a_factor_meanwhile, {f"{_CLAIMS}.RenewalClaim.settle": nothing}),
    (the_old_key, _NEWEST),
    (the_key_of_another, _NEWEST),
    (a_stolen_laptop, {"doorward.enrolment.renewal._require_no_factor": nothing}),
    (a_flood_of_wrong_proofs, _COUNTED),
    (a_client_in_a_loop, _COUNTED),
    (a_large_body, {"doorward.web.renewal.MAX_BODY_BYTES": 2_000_000}),
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
