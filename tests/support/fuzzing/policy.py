"""Targets of the fuzzer in the policy: documents, paths of requests, words of commands."""

from __future__ import annotations

from doorward.policy.document import append_app, parse_document, render_document
from doorward.policy.normalisation import (
    PATH_LIMIT_BYTES,
    NormalisedPath,
    decode_segments,
    fault_of,
    normalise,
)
from doorward.policy.request_headers import parse_destination
from doorward.policy.requirement_text import parse_shown
from doorward.policy.yaml_tree import parse_tree
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target
from tests.support.ports import NOON
from tests.support.world import DOCUMENT


def _document() -> Harness:
    def judge(data: bytes) -> object:
        text = data.decode("utf-8", "replace")
        parse_tree(text, file="")
        document = parse_document(text)
        assert parse_document(render_document(document)) == document
        append_app(text, "one-more", hosts=["one-more.corp.example"], upstream="http://127.0.0.1:9000")
        return len(document.apps)

    flow = b"{trust_domain: a.b, apps: {p: {hosts: [p.a.b], upstream: 'http://[::1]:1', rules: [{allow: {kind: person}}]}}}"
    opened = DOCUMENT.encode() + b"    public: [/a/**]\n    cors: {origins: ['https://b.c:8443']}\n"
    opened += b"    headers: {destination: judge, pass: [X-Copy-From]}\n    timeouts: {idle: 2h}\n    limits: {headers: 9, header_kilobytes: 9}\n"
    certified = flow.replace(
        b"{kind: person}",
        b"{certificate: {issuer: aut_a, profile: person, san-dns: ['*.a.b', c.a.b], san-email: ['@a.b', A@b.c], "
        b"san-uri: ['spiffe://a.b/c/**', urn:a:b], policy-oid: 1.2.3, key: [rsa-3072+, ec-p256]}}",
    )
    asking = flow.replace(
        b"{kind: person}}", b"{kind: person}, require: [{factor: webauthn, within: 5m}, {level: 2}]}"
    )
    enrolled = flow.replace(b"{trust", b"{factors: {tellers: [webauthn, totp], staff: any}, trust")
    return Harness(seeds=(DOCUMENT.encode(), flow, opened, certified, asking, enrolled), judge=judge)


def _path() -> Harness:
    def judge(data: bytes) -> object:
        kept = normalise(data, keep_slashes=True)
        if isinstance(kept, NormalisedPath):
            assert fault_of(kept.text, keep_slashes=True) is None
            assert decode_segments(kept.text, keep_slashes=True) == kept.segments
        found = normalise(data)
        for value in (data.decode("latin-1"), "https://a.b" + data.decode("latin-1")):
            named = parse_destination(value, ("a.b",))
            assert named is None or normalise(named.text) == named
        if isinstance(found, NormalisedPath):
            assert fault_of(found.text) is None
            assert decode_segments(found.text) == found.segments
            if len(found.text) <= PATH_LIMIT_BYTES:  # escaping makes it longer, up to three times
                assert normalise(found.text) == found
            return len(found.segments)
        return found.fault

    seeds = (
        b"/accounts/7?a=b",
        b"/a%2fb/../c//d;x=1/%C3%A9",
        b"/a/%7Euser/./b%25c",
        b"/%E2%82%AC/%2e%2e/x\\y",
    )
    return Harness(seeds=seeds, judge=judge)


def _shown() -> Harness:
    def judge(data: bytes) -> object:
        return len(parse_shown(data.decode("utf-8", "surrogateescape"), NOON).times)

    return Harness(seeds=(b"webauthn=2m,totp=1h", b"password", b"totp=999999h"), judge=judge)


POLICY_TARGETS = (
    Target(
        name="document",
        covers=(
            "policy.document.parse_document",
            "policy.yaml_tree.parse_tree",
            "policy.open_access.read_public",
            "policy.open_access.read_cors",
            "policy.request_headers.read_header_options",
            "policy.upstreams.read_upstream",
            "policy.app_limits.read_app_limits",
            "policy.path_options.read_path_options",
            "policy.tcp.read_alpn",
            "policy.group_factors.read_group_factors",
            "policy.on_refusal.read_on_refusal",
            "policy.server_certificates.read_certificates",
            "policy.requirement_text.read_requirements",
            "policy.requirement_text.read_factor",
            "policy.time_spans.parse_time_span",
            "policy.selectors.table.read_selector",
            "policy.selectors.name_patterns.parse_dns_pattern",
            "policy.selectors.name_patterns.parse_mailbox_pattern",
            "policy.selectors.name_patterns.parse_uri_pattern",
            "policy.selectors.sources.parse_network",
        ),
        shape=Shape.TEXT,
        prepare=_document,
        cpu_seconds=60.0,  # an operator's text of some hundred KiB takes a second or two, and is read five times
    ),
    Target(
        name="path",
        covers=(
            "policy.normalisation.normalise",
            "policy.normalisation.decode_segments",
            "policy.request_headers.parse_destination",
        ),
        shape=Shape.TEXT,
        prepare=_path,
    ),
    Target(
        name="shown-factors",
        covers=("policy.requirement_text.parse_shown",),
        shape=Shape.TEXT,
        prepare=_shown,
    ),
)
