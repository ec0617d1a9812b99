"""Many OCSP requests in one snapshot: what is kept in memory is never older than the database, and order is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.x509 import ocsp

from doorward.authority import founding, revocation
from doorward.authority.status import ocsp_refresh
from doorward.authority.status.ocsp_answering import OcspAnswerer
from doorward.core.certificate import RevocationReason
from doorward.core.errors import IntegrityError, Unavailable
from doorward.directory import removal
from doorward.pki.ocsp import OcspRequest
from doorward.stores.ocsp_signing_limiter import OcspSigningLimiter
from doorward.stores.records import AuthorityKind
from tests.support.ocsp_listener import answer_ocsp, ocsp_request
from tests.support.ports import NOON
from tests.support.world import OPERATOR, Held, World

GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED
NONCE = b"0123456789abcdef"


def question(held: Held, nonce: bytes | None = None) -> bytes:
    """Return a request about a certificate."""
    return ocsp_request(*held.chain_der[:2], nonce=nonce)


def ask(answerer: OcspAnswerer, world: World, held: Held, nonce: bytes | None = None) -> ocsp.OCSPResponse:
    """Return the response of an answerer that may have answered before."""
    return ocsp.load_der_ocsp_response(answer_ocsp(world.services, question(held, nonce), answerer))


def revoke(world: World, held: Held) -> None:
    """Revoke a certificate."""
    revocation.revoke(world.services, held.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)


def hold(world: World, held: Held) -> None:
    """Put a certificate on hold."""
    revocation.hold(world.services, held.record.id, OPERATOR)


def remove(world: World, _held: Held) -> None:
    """Remove the principal."""
    removal.remove(world.services, "alice", actor=OPERATOR)


@pytest.mark.parametrize("withdraw", [revoke, hold, remove])
@pytest.mark.parametrize("nonce", [None, NONCE])
def test_a_withdrawal_is_in_the_next_answer(
    world: World, withdraw: Callable[[World, Held], None], nonce: bytes | None
) -> None:
    """A response that is in memory is not given once its certificate is revoked, on hold, or of a principal that was removed."""
    held, other, answerer = world.issue("alice"), world.issue("bob"), OcspAnswerer(world.services)
    for _ in range(2):
        assert ask(answerer, world, held, nonce).certificate_status is GOOD
        assert ask(answerer, world, other, nonce).certificate_status is GOOD
    withdraw(world, held)
    assert ask(answerer, world, held, nonce).certificate_status is REVOKED
    assert ask(answerer, world, other, nonce).certificate_status is GOOD


def test_a_release_is_in_the_next_answer(world: World) -> None:
    """After the end of a hold the response says good again."""
    held, answerer = world.issue("alice"), OcspAnswerer(world.services)
    hold(world, held)
    assert ask(answerer, world, held).certificate_status is REVOKED
    revocation.release(world.services, held.record.id, OPERATOR)
    assert ask(answerer, world, held).certificate_status is GOOD


def test_a_response_in_memory_ends(world: World) -> None:
    """No response is given at or after its nextUpdate, and a refreshed one takes its place within a minute."""
    services = replace(world.services, keys=None)  # nothing is signed instead
    held, answerer = world.issue("alice"), OcspAnswerer(services)
    assert ask(answerer, world, held).next_update_utc == NOON + timedelta(hours=12)
    world.clock.turn(hours=12, seconds=-1)
    assert ask(answerer, world, held).certificate_status is GOOD
    world.clock.turn(seconds=1)
    assert ask(answerer, world, held).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED
    ocsp_refresh.refresh_ocsp(world.services)
    assert ask(answerer, world, held).this_update_utc == NOON + timedelta(hours=12)
    world.clock.turn(hours=6)
    ask(answerer, world, held)
    ocsp_refresh.refresh_ocsp(world.services)
    world.clock.turn(minutes=1)
    assert ask(answerer, world, held).this_update_utc == NOON + timedelta(hours=18)


def test_a_known_request_costs_no_look_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time, the bytes of the request are enough; another change does not matter, and a retired authority does."""
    held, answerer = world.issue("alice"), OcspAnswerer(world.services)
    parsed: list[bytes] = []
    parse = "doorward.authority.status.ocsp_answering.parse_ocsp_request"
    from doorward.pki.ocsp import parse_ocsp_request

    def counted(data: bytes) -> OcspRequest:
        parsed.append(data)
        return parse_ocsp_request(data)

    monkeypatch.setattr(parse, counted)
    for _ in range(3):
        ask(answerer, world, held)
        world.issue("bob")
    assert len(parsed) == 1
    with world.work.read() as stores:
        issuing = stores.authorities.current(AuthorityKind.ISSUING)
    assert issuing is not None
    world.clock.turn(days=21)
    founding.renew_responder(world.services, actor="system")
    ask(answerer, world, held)
    assert len(parsed) > 1


def test_each_request_of_a_batch_has_its_own_answer(world: World) -> None:
    """Malformed, pre-signed and nonce requests come back in their places; only the last needs a signature."""
    held, answerer = world.issue("alice"), OcspAnswerer(world.services)
    found = answerer.answer_unsigned([b"nonsense", question(held), question(held, NONCE), question(held)])
    assert isinstance(found[2], OcspRequest)
    responses = [ocsp.load_der_ocsp_response(one) for one in found if isinstance(one, bytes)]
    assert responses[0].response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    assert [one.certificate_status for one in responses[1:]] == [GOOD, GOOD]
    assert found[1] == found[3]


def test_the_state_is_looked_up_again_for_a_signature(world: World) -> None:
    """A revocation between the parsing and the signature is in the response."""
    held, answerer = world.issue("alice"), OcspAnswerer(world.services)
    (asked,) = answerer.answer_unsigned([question(held, NONCE)])
    assert isinstance(asked, OcspRequest)
    revoke(world, held)
    (der,) = answerer.sign_answers([asked])
    assert ocsp.load_der_ocsp_response(der).certificate_status is REVOKED


def test_signatures_of_one_batch_are_limited(world: World) -> None:
    """Beyond the limit of a batch the pre-signed response is given, without the nonce."""
    services = replace(world.services, ocsp_signing_limiter=OcspSigningLimiter(at_once=2))
    held, answerer = world.issue("alice"), OcspAnswerer(services)
    asked = [
        one for one in answerer.answer_unsigned([question(held, NONCE)] * 3) if isinstance(one, OcspRequest)
    ]
    signed = [ocsp.load_der_ocsp_response(one) for one in answerer.sign_answers(asked)]
    assert [len(list(one.extensions)) for one in signed] == [1, 1, 0]
    assert {one.certificate_status for one in signed} == {GOOD}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Unavailable("store-busy", "busy"), ocsp.OCSPResponseStatus.TRY_LATER),
        (IntegrityError("broken", "broken"), ocsp.OCSPResponseStatus.INTERNAL_ERROR),
    ],
)
def test_own_faults_reach_every_request_of_a_batch(world: World, fault: Exception, said: object) -> None:
    """If the database cannot be read, nothing that is in memory is given: it might be revoked."""
    held, answerer = world.issue("alice"), OcspAnswerer(world.services)
    ask(answerer, world, held)
    (asked,) = answerer.answer_unsigned([question(held, NONCE)])
    assert isinstance(asked, OcspRequest)
    world.work.broken = fault
    found = [*answerer.answer_unsigned([question(held)] * 2), *answerer.sign_answers([asked])]
    assert [ocsp.load_der_ocsp_response(one).response_status for one in found if isinstance(one, bytes)] == [
        said
    ] * 3
