"""The assertion that an application receives: verified with the key set, shared while it may be."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta

import pytest

from doorward.core.entities import Principal
from doorward.core.errors import DoorwardError
from doorward.core.ports import KeyKind
from doorward.gateway.authorizer import assertions
from doorward.gateway.authorizer.assertions import AssertionSigner
from doorward.wire.jose import parse_jwks, render_jwks, verify_assertion
from tests.support import records
from tests.support.ports import NOON, PlainKeys
from tests.unit.gateway.live import live

KEY = PlainKeys().generate(KeyKind.P256)
KEYS = parse_jwks(json.dumps(render_jwks([KEY.public_key()])))
SHA256 = "ab" * 32
END = NOON + timedelta(hours=1)
ALICE = records.principal("alice", id="per_" + "a" * 20)
BOB = records.principal("bob", id="per_" + "b" * 20)


def sign(  # noqa: PLR0917  in the order of a sentence
    signer: AssertionSigner, who: Principal, sha256: str, audience: str, now: datetime, deadline: datetime
) -> str:
    """The assertion of a connection with this certificate, opened now."""
    connection = live(1, sha256=sha256, opened_at=now, deadline=deadline)
    return signer.sign(connection, who, audience)


@pytest.fixture
def signer() -> AssertionSigner:
    """A signer with an empty cache."""
    return AssertionSigner(KEY, issuer="https://corp.example/gateway-1")


def test_an_assertion_names_principal_audience_and_end(signer: AssertionSigner) -> None:
    """Issuer, subject, audience, times, kind, id and the certificate's thumbprint are in it, no more."""
    claims = verify_assertion(sign(signer, ALICE, SHA256, "payments", NOON, END), KEYS, "payments", NOON)
    thumbprint = base64.urlsafe_b64encode(bytes.fromhex(SHA256)).rstrip(b"=").decode()
    assert claims == {
        "iss": "https://corp.example/gateway-1",
        "sub": "alice",
        "aud": "payments",
        "iat": int(NOON.timestamp()),
        "exp": int(END.timestamp()),
        "cnf": {"x5t#S256": thumbprint},
        "kind": "person",
        "principal_id": ALICE.id,
    }


def test_another_application_does_not_accept_it(signer: AssertionSigner) -> None:
    """An application cannot pass the assertion on to another one."""
    token = sign(signer, ALICE, SHA256, "payments", NOON, END)
    with pytest.raises(DoorwardError):
        verify_assertion(token, KEYS, "sensors", NOON)


def test_it_ends_with_the_connection(signer: AssertionSigner) -> None:
    """After the connection's deadline the assertion is worthless."""
    token = sign(signer, ALICE, SHA256, "payments", NOON, END)
    with pytest.raises(DoorwardError):
        verify_assertion(token, KEYS, "payments", END + timedelta(minutes=1))


def test_equal_connections_share_one_signature(signer: AssertionSigner) -> None:
    """The same principal, certificate, application and deadline give the very same token."""
    first = sign(signer, ALICE, SHA256, "payments", NOON, END)
    assert sign(signer, ALICE, SHA256, "payments", NOON + timedelta(seconds=9), END) == first


@pytest.mark.parametrize(
    "other",
    [
        (BOB, SHA256, "payments", END),
        (ALICE, "cd" * 32, "payments", END),
        (ALICE, SHA256, "sensors", END),
        (ALICE, SHA256, "payments", END + timedelta(minutes=1)),
    ],
    ids=["principal", "certificate", "application", "deadline"],
)
def test_nothing_else_is_shared(signer: AssertionSigner, other: tuple[Principal, str, str, object]) -> None:
    """A difference in any of the four gives a token of its own."""
    first = sign(signer, ALICE, SHA256, "payments", NOON, END)
    principal, sha256, audience, deadline = other
    assert sign(signer, principal, sha256, audience, NOON, deadline) != first  # type: ignore[arg-type]


def test_the_cache_is_bounded(signer: AssertionSigner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens used longest ago are dropped: a million certificates do not fill the memory."""
    monkeypatch.setattr(assertions, "CACHED", 2)
    first = sign(signer, ALICE, SHA256, "one", NOON, END)
    second = sign(signer, ALICE, SHA256, "two", NOON, END)
    assert sign(signer, ALICE, SHA256, "one", NOON, END) == first
    sign(signer, ALICE, SHA256, "three", NOON, END)
    assert len(signer._cache) == 2
    assert sign(signer, ALICE, SHA256, "one", NOON, END) == first
    assert sign(signer, ALICE, SHA256, "two", NOON, END) != second
