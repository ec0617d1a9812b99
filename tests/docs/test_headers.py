"""The snippet of docs/how-to/trust-the-headers-in-your-application.md, run as it stands on the page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.errors import JoseError

from doorward.gateway.authorizer.assertions import AssertionSigner
from doorward.wire.client_cert import render_client_cert
from doorward.wire.jose import render_jwks
from tests.support.records import principal
from tests.support.walkthrough import ROOT, read_blocks
from tests.unit.gateway.live import live

PAGE = ROOT / "docs" / "how-to" / "trust-the-headers-in-your-application.md"
CERTIFICATE = b"certificate"
ALICE = principal("alice", id="per_aaaaaaaaaaaaaaaaaaaa")


@pytest.fixture(name="caller")
def _caller() -> Callable[[dict[str, str], str], dict[str, Any]]:
    """Return the function of the page."""
    module = SimpleNamespace()
    source = next(block.text for block in read_blocks(PAGE) if block.kind == "python")
    exec(compile(source, str(PAGE), "exec"), module.__dict__)
    found: Callable[[dict[str, str], str], dict[str, Any]] = module.caller
    return found


def _headers(
    *, key: ec.EllipticCurvePrivateKey, audience: str = "accounts", minutes: int = 5
) -> tuple[dict[str, str], str]:
    """Return headers as a gateway makes them, and the key set that it publishes."""
    now = datetime.now(UTC)
    signer = AssertionSigner(key, issuer="https://corp.example/gateway-1")
    digest = hashlib.sha256(CERTIFICATE).hexdigest()
    connection = live(1, sha256=digest, opened_at=now, deadline=now + timedelta(minutes=minutes))
    token = signer.sign(connection, ALICE, audience)
    headers = {"doorward-assertion": token, "client-cert": render_client_cert(CERTIFICATE)}
    return headers, json.dumps(render_jwks([key.public_key()]))


@pytest.fixture(name="key")
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_the_snippet_returns_who_is_calling(caller: Any, key: Any) -> None:
    """A good assertion gives the claims of the caller."""
    claims = caller(*_headers(key=key))
    assert (claims["sub"], claims["kind"], claims["principal_id"]) == ("alice", "person", ALICE.id)


def test_the_snippet_refuses_an_assertion_for_another_application(caller: Any, key: Any) -> None:
    """The audience must be this application."""
    with pytest.raises(JoseError):
        caller(*_headers(key=key, audience="payroll"))


def test_the_snippet_refuses_an_expired_assertion(caller: Any, key: Any) -> None:
    """An expired assertion proves nothing."""
    with pytest.raises(JoseError):
        caller(*_headers(key=key, minutes=-5))


def test_the_snippet_refuses_another_gateway_key(caller: Any, key: Any) -> None:
    """An assertion by a key that is not in the set proves nothing."""
    headers, _ = _headers(key=ec.generate_private_key(ec.SECP256R1()))
    _, keys = _headers(key=key)
    with pytest.raises((JoseError, ValueError)):
        caller(headers, keys)


def test_the_snippet_refuses_another_certificate(caller: Any, key: Any) -> None:
    """The assertion is bound to the certificate in Client-Cert."""
    headers, keys = _headers(key=key)
    headers["client-cert"] = render_client_cert(b"another")
    with pytest.raises(ValueError, match="another certificate"):
        caller(headers, keys)


def test_our_own_functions_do_what_the_page_says(key: Any) -> None:
    """The page's second block imports them from where they are, and they read what a gateway writes."""
    module = SimpleNamespace()
    source = [block.text for block in read_blocks(PAGE) if block.kind == "python"][1]
    exec(compile(source, str(PAGE), "exec"), module.__dict__)
    headers, keys = _headers(key=key)
    headers["doorward-principal"] = "person/alice"
    who, claims, der = module.caller_by_doorward(headers, keys)
    assert (who, claims["sub"], der) == ("person/alice", "alice", CERTIFICATE)


def test_the_snippet_refuses_an_unsigned_token(caller: Any, key: Any) -> None:
    """`alg: none` is refused."""
    headers, keys = _headers(key=key)
    payload = headers["doorward-assertion"].split(".")[1]
    headers["doorward-assertion"] = f"eyJhbGciOiJub25lIn0.{payload}."
    with pytest.raises((JoseError, ValueError)):
        caller(headers, keys)
