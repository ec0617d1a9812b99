"""Targets of the fuzzer in text and records: header fields, logs, the kernel's answers, audit."""

from __future__ import annotations

import io
import json
import socket
import struct
import urllib.parse

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doorward.audit.events import build_event
from doorward.audit.export import MAX_LINE_BYTES, read_lines, render_export, verify_export
from doorward.audit.leaf import parse_canonical, parse_leaf
from doorward.audit.log import sign_checkpoint
from doorward.audit.note import (
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    render_checkpoint,
    render_verifier_key,
    sign_note,
)
from doorward.authority.status.publication import parse_status_url
from doorward.core.errors import DoorwardError, IntegrityError, MalformedInput
from doorward.core.names import (
    parse_dns_name,
    parse_partner_identity,
    parse_partner_principal_name,
    parse_principal_name,
    parse_principal_uri,
    parse_trust_domain,
)
from doorward.gateway.access_log.lines import parse_access_line
from doorward.gateway.authorizer.judging import decode_certificate
from doorward.gateway.connections import sockdiag
from doorward.gateway.connections.endpoints import parse_endpoint
from doorward.gateway.connections.journal import parse_followed, parse_journal, parse_line
from doorward.gateway.envoy.admin import parse_statistics
from doorward.policy.origins import parse_origin
from doorward.policy.upstreams import parse_upstream
from doorward.verification.path.subtree_text import parse_subtree
from doorward.wire import jose
from doorward.wire.client_cert import parse_client_cert, render_client_cert
from doorward.wire.header_text import decode_header_text, encode_header_text
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER, fill
from tests.support.access_log import envoy_line
from tests.support.certificates.issuing import toy_ca
from tests.support.events import MemoryEventStore, seal
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target
from tests.support.log_lines import parted
from tests.support.ports import NOON
from tests.support.rendered_lines import compare_ways

GATEWAY = "gtw_" + "a" * 20
APP = "app_" + "b" * 20


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _header_fields() -> Harness:
    der = toy_ca().der

    def judge(data: bytes) -> object:
        text, answers = _text(data), []
        for parse in (_client_cert_again, _header_text_again):
            try:
                answers.append(parse(text))
            except MalformedInput as error:
                answers.append(error.detail)
        return answers

    return Harness(
        seeds=(render_client_cert(der).encode(), encode_header_text("person/älice 1").encode()), judge=judge
    )


def _client_cert_again(text: str) -> int:
    assert render_client_cert(parse_client_cert(text)) == text.strip(" ")
    return 0


def _header_text_again(text: str) -> int:
    assert encode_header_text(decode_header_text(text)) == text
    return 1


def _jose() -> Harness:
    key = ec.generate_private_key(ec.SECP256R1())
    document = json.dumps(jose.render_jwks([key.public_key()]))
    keys = jose.parse_jwks(document)
    claims = {
        "aud": "a",
        "exp": int(NOON.timestamp()) + 60,
        "iat": int(NOON.timestamp()),
        "cnf": {"x5t#S256": "a"},
    }
    token = jose.sign_assertion(key, claims)

    def judge(data: bytes) -> object:
        text, answers = _text(data), []
        for parse in (
            jose.parse_jwks,
            jose.parse_jwk,
            lambda one: jose.verify_assertion(one, keys, "a", NOON),
        ):
            try:
                answers.append(type(parse(text)).__name__)
            except DoorwardError as error:
                answers.append(error.code + error.detail[:60])
        return answers

    jwk = json.dumps(json.loads(document)["keys"][0])
    return Harness(seeds=(document.encode(), jwk.encode(), token.encode()), judge=judge)


def _claims() -> Harness:
    """Claims of any form under a good signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    keys = jose.parse_jwks(json.dumps(jose.render_jwks([key.public_key()])))
    header = {"alg": jose.ALGORITHM, "typ": jose.ASSERTION_TYPE, "kid": jose.thumbprint(key.public_key())}

    def judge(data: bytes) -> object:
        token = jose.jws.serialize_compact(
            header, data, jose.ECKey.import_key(key), algorithms=[jose.ALGORITHM]
        )
        return len(jose.verify_assertion(token, keys, "a", NOON))

    claims = {"aud": "a", "exp": int(NOON.timestamp()) + 60, "iat": 1.5, "nbf": 0, "cnf": {"x5t#S256": "a"}}
    return Harness(seeds=(json.dumps(claims).encode(),), judge=judge)


def _access_line() -> Harness:
    request = {
        "kind": "request",
        "time": "2026-11-23T12:00:00.123Z",
        "connection": "17",
        "remote": "192.0.2.7:55000",
        "application": APP,
        "method": "GET",
        "path": "/accounts/7",
        "status": 200,
        "duration_ms": 3,
        "principal": "per_" + "c" * 20,
        "rule": "gabc",
        "cleared": "denied",
    }
    handshake = {
        "kind": "handshake",
        "time": "2026-11-23T12:00:00Z",
        "flags": "NR",
        "server_name": "bank.test",
        "failure": "TLS_error:|1:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
        "claimed_sha256": "ab" * 32,
        "claimed_subject": "CN=alice",
    }

    def judge(data: bytes) -> object:
        """What a line becomes fits the catalogue and can be sealed: one that could not would stop the ingestion."""
        compare_ways(data)
        found = parse_access_line(data, GATEWAY)
        if found is None:
            return None
        event = build_event(
            id="evt_" + "a" * 20,
            type=found.type,
            at=NOON,
            tenant="ten_default",
            actor=found.actor,
            data=found.data,
            personal=found.personal,
        )
        parse_leaf(seal(event).leaf)
        return found.type, sorted(found.data)

    seeds = tuple(
        json.dumps(one).encode() for one in (request, handshake, envoy_line(1), parted(envoy_line(1)))
    )
    return Harness(seeds=seeds, judge=judge)


def _socket_answers() -> Harness:
    ports = struct.pack("!HH", 443, 5000)

    def message(family: int, kind: int, address: bytes) -> bytes:
        identity = ports + address.ljust(16, b"\0") * 2 + struct.pack("=III", 4, 7, 1)
        body = struct.pack("=BBBB", family, 1, 0, 0) + identity + struct.pack("=IIIII", 0, 0, 0, 33, 9)
        return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body

    def judge(data: bytes) -> object:
        seen = []
        for kind, _, body in sockdiag._messages(data):
            if kind == sockdiag._NLMSG_ERROR:
                sockdiag._raise_refusal(body)
            facts = sockdiag._facts(body)
            cookies: set[int] = set()
            sockets: list[sockdiag.SocketFacts] = []
            sockdiag._take(body, {443: {b""}}, frozenset(), cookies, sockets)
            seen.append((facts.state, len(sockets)))
            parse_endpoint(str(facts.local))
        return seen[:3]

    mapped = b"\0" * 10 + b"\xff\xff" + b"\xc0\0\2\1"
    seeds = (
        message(socket.AF_INET, 20, b"\xc0\0\2\1") * 2,
        message(socket.AF_INET6, 20, mapped),
        struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -2),
    )
    return Harness(seeds=seeds, judge=judge, allowed=(OSError,))


def _gateway_texts() -> Harness:
    """Endpoints, Envoy's statistics, the journal of live connections."""

    def judge(data: bytes) -> object:
        text, answers = _text(data), []
        for parse in (parse_endpoint, lambda one: parse_line(one.encode("utf-8", "surrogateescape"))):
            try:
                answers.append(type(parse(text)).__name__)
            except MalformedInput as error:
                answers.append(error.code)
        assert all(value >= 0 for value in parse_statistics(text).values())
        parse_journal(data.splitlines(keepends=True), "boot")
        answers.append(str(bool(parse_followed(data))))
        return answers

    entry = {
        **dict.fromkeys(("connection_id", "sha256", "certificate_id", "principal_id", "application_id"), "a"),
        "cookie": 7,
        "epoch": 1,
        "local": "192.0.2.1:443",
        "remote": "[fe80::1%3]:5000",
        "revision": 2,
        "deadline": 1.5,
        "admitted_at": 1,
    }
    line = json.dumps(entry).encode()
    journal = b'{"journal":1,"boot":"boot"}\n' + line + b'\n{"ended":7}\n'
    followed = b'{"followed":"7 policy a 2026-01-01T00:00:00+00:00"}\n'
    statistics = b"cluster.a.upstream_cx: 12\nb: c\n"
    seeds = (b"192.0.2.7:443", b"[2001:db8::1%2]:65535", line, journal, followed, statistics)
    return Harness(seeds=seeds, judge=judge)


def _envoy_certificate() -> Harness:
    def judge(data: bytes) -> object:
        found = decode_certificate(_text(data))
        return None if found is None else bool(found)

    pem = toy_ca().pem.decode()
    return Harness(seeds=(urllib.parse.quote(pem).encode(), pem.encode()), judge=judge)


def _audit_leaf() -> Harness:
    store = MemoryEventStore()
    fill(store, 4)

    def judge(data: bytes) -> object:
        parse_canonical(data, MAX_LINE_BYTES)
        return len(parse_leaf(data).personal)

    return Harness(seeds=tuple(row.leaf for row in store.leaves(0, 4)), judge=judge)


def _audit_export() -> Harness:
    store = MemoryEventStore()
    fill(store, 5)
    checkpoint = sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    whole = b"".join(render_export(store, VERIFIER, personal=True))

    def judge(data: bytes) -> object:
        report = verify_export(read_lines(io.BytesIO(data)), checkpoint=checkpoint, verifier_key=VERIFIER)
        assert report.faults or data in (whole, whole.removesuffix(b"\n")) or len(data) < len(whole)
        return sorted({fault.code.value for fault in report.faults})

    return Harness(seeds=(whole, b"".join(render_export(store, VERIFIER))), judge=judge)


def _audit_note() -> Harness:
    store = MemoryEventStore()
    fill(store, 5)
    note = sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    assert note is not None
    key = parse_verifier_key(VERIFIER)

    def judge(data: bytes) -> object:
        answers = []
        for parse in (parse_note, lambda one: open_checkpoint(one, [key])):
            try:
                answers.append(type(parse(data)).__name__)
            except (MalformedInput, IntegrityError) as error:
                answers.append(error.code + error.detail)
        text = _text(data)
        for read in (parse_verifier_key, parse_checkpoint):
            try:
                found = read(text)
                answers.append(type(found).__name__)
            except MalformedInput as error:
                answers.append(error.code + error.detail)
        return answers

    text = note.partition("\n\n")[0] + "\n"
    assert render_checkpoint(parse_checkpoint(text)) == text
    twice = note + sign_note(text, Ed25519PrivateKey.generate(), "witness.example").partition("\n\n")[2]
    seeds = (note, twice, text, render_verifier_key(key))
    return Harness(seeds=tuple(one.encode() for one in seeds), judge=judge)


def _names() -> Harness:
    parsers = (
        parse_principal_name,
        parse_dns_name,
        parse_trust_domain,
        parse_principal_uri,
        parse_upstream,
        parse_origin,
        parse_status_url,
        parse_subtree,
        parse_partner_identity,
        parse_partner_principal_name,
    )

    def judge(data: bytes) -> object:
        text, answers = _text(data), []
        for parse in parsers:
            try:
                parse(text)
                answers.append("")
            except DoorwardError as error:
                answers.append(error.code)
        return answers

    seeds = (
        b"alice",
        b"*.corp.example",
        b"spiffe://corp.example/person/alice",
        b"http://127.0.0.1:9000",
        b"dn:O=Clinic,C=DE",
        b"email:.clinic.example",
        b"ip:2001:db8::/32",
        b"clinic/alice@clinic.example",
        b"unix:///run/app.sock",
        b"http://[2001:db8::1]:80",
        b"http://pki.corp.example:8080/base",
    )
    return Harness(seeds=seeds, judge=judge)


def _target(name: str, prepare: object, *covers: str, shape: Shape = Shape.TEXT) -> Target:
    return Target(name=name, covers=covers, shape=shape, prepare=prepare)  # type: ignore[arg-type]


_NAMES = (
    "parse_partner_identity",
    "parse_partner_principal_name",
    "parse_principal_name",
    "parse_dns_name",
    "parse_trust_domain",
    "parse_principal_uri",
)
_NOTE = ("parse_note", "parse_verifier_key", "parse_checkpoint")

TEXT_TARGETS = (
    _target(
        "header-fields",
        _header_fields,
        "wire.client_cert.parse_client_cert",
        "wire.header_text.decode_header_text",
    ),
    _target("jose", _jose, "wire.jose.parse_jwks", "wire.jose.parse_jwk", "wire.jose.verify_assertion"),
    _target("claims", _claims, "wire.jose.verify_assertion"),
    _target("access-line", _access_line, "gateway.access_log.lines.parse_access_line"),
    _target(
        "socket-answers",
        _socket_answers,
        "gateway.connections.sockdiag._messages",
        "gateway.connections.sockdiag._facts",
        "gateway.connections.sockdiag._take",
        shape=Shape.OCTETS,
    ),
    _target(
        "gateway-texts",
        _gateway_texts,
        "gateway.connections.endpoints.parse_endpoint",
        "gateway.envoy.admin.parse_statistics",
        "gateway.connections.journal.parse_line",
        "gateway.connections.journal.parse_journal",
        "gateway.connections.journal.parse_followed",
    ),
    _target("envoy-certificate", _envoy_certificate, "gateway.authorizer.judging.decode_certificate"),
    _target("audit-leaf", _audit_leaf, "audit.leaf.parse_leaf", "audit.leaf.parse_canonical"),
    _target("audit-export", _audit_export, "audit.export.verify_export", "audit.export.read_lines"),
    _target("audit-note", _audit_note, *(f"audit.note.{one}" for one in _NOTE), "audit.note.open_checkpoint"),
    _target(
        "names",
        _names,
        *(f"core.names.{one}" for one in _NAMES),
        "verification.path.subtree_text.parse_subtree",
        "policy.origins.parse_origin",
        "policy.upstreams.parse_upstream",
        "authority.status.publication.parse_status_url",
    ),
)
