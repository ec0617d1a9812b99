"""Targets of the fuzzer in what ACME authorities answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlsplit

from doorward.core.errors import MalformedInput
from doorward.wire.acme import (
    LONGEST_RETRY,
    MAX_WORDS,
    AcmeAuthorization,
    AcmeDirectory,
    AcmeOrder,
    parse_authorization,
    parse_chain,
    parse_directory,
    parse_order,
    parse_problem,
    parse_renewal_window,
    parse_retry_after,
)
from tests.support.certificates.issuing import toy_ca
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target
from tests.support.ports import NOON

_URL = "https://acme.example/directory"
_OWN = "https://acme.example/"
_ORIGIN = ("https", "acme.example", 443)

_SEEDS = tuple(
    json.dumps(one).encode()
    for one in (
        {
            **{name: f"{_OWN}{name}" for name in ("newNonce", "newAccount", "newOrder", "renewalInfo")},
            "meta": {"externalAccountRequired": True},
        },
        {
            "status": "valid",
            "authorizations": [f"{_OWN}z/1"],
            "finalize": f"{_OWN}f",
            "certificate": f"{_OWN}c",
            "error": {"type": "urn:ietf:params:acme:error:caa", "detail": "no"},
        },
        {
            "status": "pending",
            "identifier": {"type": "dns", "value": "A.example"},
            "challenges": [
                {
                    "type": "http-01",
                    "url": f"{_OWN}h",
                    "token": "0123456789abcdefg",
                    "status": "invalid",
                    "error": {"detail": "x"},
                }
            ],
        },
        {
            "type": "urn:ietf:params:acme:error:rateLimited",
            "detail": "slow\x1b[2J",
            "subproblems": [{"detail": "a"}],
        },
        {"suggestedWindow": {"start": "2026-11-23T12:00:00Z", "end": "2026-11-24T12:00:00.5+01:00"}},
    )
)


def _urls(found: object) -> list[str]:
    """Return every URL that the client would ask."""
    match found:
        case AcmeDirectory():
            more = [found.renewal_info] if found.renewal_info else []
            return [found.new_nonce, found.new_account, found.new_order, *more]
        case AcmeOrder():
            more = [found.certificate] if found.certificate else []
            return [*found.authorizations, found.finalize, *more]
        case AcmeAuthorization():
            return [one.url for one in found.challenges]
        case _:
            return []


def _answer() -> Harness:
    """Every answer that is JSON, read in each way: no URL leads to another host, and words can be shown."""

    def judge(data: bytes) -> object:
        found: list[object] = []
        readers: tuple[Callable[[], object], ...] = (
            lambda: parse_directory(data, _URL),
            lambda: parse_order(data, _URL),
            lambda: parse_authorization(data, _URL),
            lambda: parse_renewal_window(data),
        )
        for read in readers:
            try:
                found.append(read())
            except MalformedInput as error:
                found.append(error.detail)
        for one in found:
            parts = map(urlsplit, _urls(one))
            assert all((at.scheme, at.hostname, at.port or 443) == _ORIGIN for at in parts)
        problem = parse_problem(data)
        assert str(problem).isprintable()
        assert len(problem.words) <= MAX_WORDS
        return [type(one).__name__ for one in found], problem.kind[:8]

    return Harness(seeds=_SEEDS, judge=judge)


def _chain() -> Harness:
    """A chain has 1 to 10 certificates, and nothing else."""
    root = toy_ca()
    issuing = root.issuing()

    def judge(data: bytes) -> object:
        found = parse_chain(data)
        assert 0 < len(found) <= 10
        return len(found)

    return Harness(seeds=(issuing.pem + root.pem, root.pem, issuing.pem + b"\n\n" + root.pem), judge=judge)


def _retry() -> Harness:
    """A wait is never negative, and never longer than the limit."""

    def judge(data: bytes) -> object:
        found = parse_retry_after(data.decode("latin-1"), NOON)
        assert found is None or 0 <= found.total_seconds() <= LONGEST_RETRY.total_seconds()
        return found is None

    seeds = (
        b"120",
        b"86400",
        b"Mon, 23 Nov 2026 13:00:00 GMT",
        b"999999999",
        b"Mon, 23 Nov 0001 13:00:00 +2359",
    )
    return Harness(seeds=seeds, judge=judge)


ACME_TARGETS = (
    Target(
        name="acme-answer",
        covers=tuple(
            f"wire.acme.parse_{one}"
            for one in ("directory", "order", "authorization", "problem", "renewal_window")
        ),
        shape=Shape.TEXT,
        prepare=_answer,
    ),
    Target(name="acme-chain", covers=("wire.acme.parse_chain",), shape=Shape.TEXT, prepare=_chain),
    Target(
        name="acme-retry-after", covers=("wire.acme.parse_retry_after",), shape=Shape.TEXT, prepare=_retry
    ),
)
