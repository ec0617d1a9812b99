"""A client of renewal: it signs with the key of a certificate, as any other client would."""

from __future__ import annotations

import base64
import json
from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient

from doorward.core.ports import KeyKind, PrivateKey
from doorward.enrolment.renewal import ProvenMessage
from doorward.pki.csr import build_csr, parse_csr
from doorward.pki.proof import ProofUse, sign_proof
from tests.support.ports import PlainKeys
from tests.support.world import Held


def new_request(key: PrivateKey | None = None, name: str = "ignored") -> bytes:
    """A request in DER, for a new key if none is given."""
    return parse_csr(build_csr(key or PlainKeys().generate(KeyKind.P256), name)).der


def prove(
    held: Held, nonce: str, message: bytes, use: ProofUse = ProofUse.RENEW, /, **changed: Any
) -> ProvenMessage:
    """The message of a holder with its proof; `changed` replaces what is sent, not what is signed."""
    signature = sign_proof(held.key, use, nonce=nonce, certificate=held.der, message=message)
    sent: dict[str, Any] = {
        "certificate": held.der,
        "nonce": nonce,
        "message": message,
        "signature": signature,
    }
    return ProvenMessage(**(sent | changed))


def body_of(shown: ProvenMessage, member: str = "request") -> bytes:
    """The body of the request over HTTP."""
    value = {
        "certificate": base64.b64encode(shown.certificate).decode(),
        "nonce": shown.nonce,
        member: base64.b64encode(shown.message).decode(),
        "signature": base64.b64encode(shown.signature).decode(),
    }
    return json.dumps(value).encode()


def fetch_nonce(client: TestClient) -> str:
    """A nonce of the server."""
    return str(client.get("/renew/nonce").json()["nonce"])


def post_renewal(client: TestClient, body: bytes, path: str = "/renew", **headers: str) -> Response:
    """Send a renewal."""
    return client.post(path, content=body, headers={"content-type": "application/json"} | headers)
