"""Targets of the fuzzer in what clients send to the surfaces: cookies and forms of browsers, requests of EST clients."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote

from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr, parse_csr
from doorward.wire.cookies import parse_cookie
from doorward.wire.est import parse_basic, parse_body
from doorward.wire.forms import parse_form
from doorward.wire.forwarded_chain import parse_forwarded_chain
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target
from tests.support.ports import PlainKeys


def _cookies() -> Harness:
    def judge(data: bytes) -> object:
        fields = data.decode("latin-1").split("\n")
        return len(parse_cookie(fields, "__Host-doorward-session"))

    return Harness(
        seeds=(b"__Host-doorward-session=a.b.c; theme=dark\nother=1", b"__Host-doorward-session=a"),
        judge=judge,
    )


def _forms() -> Harness:
    def judge(data: bytes) -> object:
        return len(parse_form(data))

    return Harness(
        seeds=(b"password=correct+horse&again=%C3%A4", b"code=123456&credential=%7B%7D"), judge=judge
    )


def _est_body() -> Harness:
    """A body as it comes, and the request in it."""
    pem = build_csr(PlainKeys().generate(KeyKind.P256), "pump-1")
    text = pem.partition(b"-----\n")[2].rpartition(b"-----END")[0]

    def judge(data: bytes) -> object:
        return parse_csr(parse_body(data)).key_kind

    return Harness(seeds=(pem, text, text.replace(b"\n", b"\r\n"), base64.b64decode(text)), judge=judge)


def _est_credentials() -> Harness:
    def judge(data: bytes) -> object:
        found = parse_basic(data.decode("latin-1"))
        return len(found.name), len(found.password)

    return Harness(seeds=(b"Basic cHVtcC0xOmFiYw==", b"basic Og=="), judge=judge)


def _shown_chain() -> Harness:
    ders = [b"leaf" * 30, b"issuer" * 30]

    def field(*chain: bytes) -> bytes:
        blocks = (
            f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(one).decode()}-----END CERTIFICATE-----\n"
            for one in chain
        )
        digest = hashlib.sha256(chain[0]).hexdigest()
        return f'Hash={digest};Chain="{quote("".join(blocks), safe="")}"'.encode()

    def judge(data: bytes) -> object:
        return len(parse_forwarded_chain(data.decode("latin-1")))

    return Harness(seeds=(field(*ders), field(ders[0])), judge=judge)


WEB_TARGETS = (
    Target(name="cookies", covers=("wire.cookies.parse_cookie",), shape=Shape.TEXT, prepare=_cookies),
    Target(name="forms", covers=("wire.forms.parse_form",), shape=Shape.TEXT, prepare=_forms),
    Target(name="est-body", covers=("wire.est.parse_body",), shape=Shape.TEXT, prepare=_est_body),
    Target(
        name="est-credentials",
        covers=("wire.est.parse_basic",),
        shape=Shape.TEXT,
        prepare=_est_credentials,
    ),
    Target(
        name="shown-chain",
        covers=("wire.forwarded_chain.parse_forwarded_chain",),
        shape=Shape.TEXT,
        prepare=_shown_chain,
    ),
)
