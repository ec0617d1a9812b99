"""Targets of the fuzzer in renewal without people: the bodies, the proof, and the facts of a report."""

from __future__ import annotations

import base64
import json

from doorward.core.ports import KeyKind
from doorward.directory.device_facts import TEXT_LIMIT, parse_facts
from doorward.pki.csr import build_csr, parse_csr
from doorward.pki.proof import ProofUse, check_proof, sign_proof
from doorward.web.renewal import parse_proven_message
from tests.support.certificates.issuing import cached_key, certify
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target

_FACTS = b'{"host_name": "sensor-1.lab", "system": "Linux 6.1", "store": "pem", "next_renewal": "2027-01-31T12:00:00Z"}'


def _message() -> Harness:
    holder = certify("sensor-1", ca=False, key=cached_key(KeyKind.ED25519))
    request = parse_csr(build_csr(cached_key(), "sensor-1")).der
    nonce = "bm9uY2U"
    signature = sign_proof(holder.key, ProofUse.RENEW, nonce=nonce, certificate=holder.der, message=request)
    texts = {
        name: base64.b64encode(value).decode()
        for name, value in (("certificate", holder.der), ("request", request), ("signature", signature))
    }

    def judge(data: bytes) -> object:
        found = parse_proven_message(data, "request")
        good = check_proof(
            found.signature,
            ProofUse.RENEW,
            nonce=found.nonce,
            certificate=found.certificate,
            message=found.message,
        )
        # A good proof is by the key of the certificate over exactly these values.
        assert not good or (found.certificate, found.nonce, found.message) == (holder.der, nonce, request)
        return good

    return Harness(seeds=[json.dumps({**texts, "nonce": nonce}).encode(), b"{}"], judge=judge)


def _facts() -> Harness:
    def judge(data: bytes) -> object:
        found = parse_facts(data)
        assert all(len(text) <= TEXT_LIMIT and text.isprintable() for text in (found.host_name, found.system))
        return found.next_renewal is None

    return Harness(seeds=[_FACTS, b"{}"], judge=judge)


RENEWAL_TARGETS = (
    Target(
        name="proven-message",
        covers=("web.renewal.parse_proven_message",),
        shape=Shape.TEXT,
        prepare=_message,
    ),
    Target(
        name="device-facts",
        covers=("directory.device_facts.parse_facts",),
        shape=Shape.TEXT,
        prepare=_facts,
    ),
)
