"""The example's application believes an assertion of the door for itself, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.errors import JoseError

from doorward.wire.jose import render_jwks, sign_assertion

APP = Path(__file__).resolve().parents[2] / "examples" / "bank-portal" / "app.py"
CERTIFICATE = b"a certificate, as the door passes it on"


@pytest.fixture(scope="module")
def portal() -> Iterator[ModuleType]:
    """The module of the application."""
    spec = importlib.util.spec_from_file_location("bank_portal_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look there for their annotations
    spec.loader.exec_module(module)
    yield module
    del sys.modules[module.__name__]


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    """The key of the door."""
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def keys(portal: ModuleType, key: ec.EllipticCurvePrivateKey, tmp_path: Path) -> Any:
    """The published keys, in a file in place of an address."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(render_jwks([key.public_key()])), encoding="ascii")
    return portal.Keys(file.as_uri())


def _claims(**other: Any) -> dict[str, Any]:
    digest = base64.urlsafe_b64encode(hashlib.sha256(CERTIFICATE).digest()).rstrip(b"=").decode()
    said = {
        "iss": "https://doorward.localhost/portal",
        "sub": "alice",
        "kind": "person",
        "aud": "bank-portal",
        "iat": int(time.time()),
        "exp": int(time.time()) + 3600,
        "cnf": {"x5t#S256": digest},
        **other,
    }
    return {name: value for name, value in said.items() if value is not None}


def _field(certificate: bytes = CERTIFICATE) -> str:
    return f":{base64.b64encode(certificate).decode()}:"


def test_it_reads_who_calls_and_what_was_shown(
    portal: ModuleType, keys: Any, key: ec.EllipticCurvePrivateKey
) -> None:
    """Name, level, methods, and how long ago."""
    shown = {"acr": "urn:doorward:level:3", "amr": ["hwk", "user"], "auth_time": int(time.time()) - 60}
    caller = portal.read_caller(sign_assertion(key, _claims(**shown)), _field(), keys)
    assert (caller.name, caller.level, caller.methods) == ("alice", "urn:doorward:level:3", ("hwk", "user"))
    assert caller.age >= 60


@pytest.mark.parametrize(
    "other",
    [
        {"aud": "another-application"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"kind": "device"},
        {"cnf": None},
    ],
    ids=str,
)
def test_claims_of_something_else_are_refused(
    portal: ModuleType, keys: Any, key: ec.EllipticCurvePrivateKey, other: dict[str, Any]
) -> None:
    """Another application's, an ended one, a machine's, and one that is bound to no certificate."""
    with pytest.raises((JoseError, ValueError, KeyError)):
        portal.read_caller(sign_assertion(key, _claims(**other)), _field(), keys)


def test_the_assertion_of_another_certificate_is_refused(
    portal: ModuleType, keys: Any, key: ec.EllipticCurvePrivateKey
) -> None:
    """It is compared with the certificate that the door passes on."""
    with pytest.raises(ValueError, match="another certificate"):
        portal.read_caller(sign_assertion(key, _claims()), _field(b"another"), keys)


def test_a_key_that_the_door_does_not_publish_is_refused(portal: ModuleType, keys: Any) -> None:
    """And it is asked for only so often, however many tokens name such a key."""
    for _ in range(portal.MOST_FETCHES + 5):
        forged = sign_assertion(ec.generate_private_key(ec.SECP256R1()), _claims())
        with pytest.raises((JoseError, ValueError)):
            portal.read_caller(forged, _field(), keys)
    Path(keys._url.removeprefix("file://")).unlink()
    with pytest.raises((JoseError, ValueError)):  # an OSError would say that it was fetched once more
        portal.read_caller(sign_assertion(ec.generate_private_key(ec.SECP256R1()), _claims()), _field(), keys)


@pytest.mark.parametrize("token", ["", "x", "e30.e30.", "eyJhbGciOiJub25lIn0.e30.", "bnVsbA.e30.e30"])
def test_what_is_no_assertion_is_refused(portal: ModuleType, keys: Any, token: str) -> None:
    """With an error that becomes 401."""
    with pytest.raises((JoseError, ValueError, KeyError, TypeError, AttributeError)):
        portal.read_caller(token, _field(), keys)
