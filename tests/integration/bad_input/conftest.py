"""A standing door that bad input must leave unharmed, and commands that must fail at it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from doorward.access.policies import export_revision
from doorward.authority.inventory import certificate_counts
from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr
from tests.support.doorway import Doorway, eventually, open_doorway
from tests.support.ports import PlainKeys

RULES = '- {allow: {groups: [staff]}, to: {paths: ["/reports/**"]}}'
DICE = random.Random(7)
"""Repeatable garbage."""


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """A door with one application and alice, who may read reports."""
    with open_doorway(quick=False) as made:  # commands open its key store
        made.apply(RULES)
        made.person("alice", "staff")
        yield made


@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test at the door: the same policy, no certificate more, and alice is let in as before."""
    if "door" not in request.fixturenames:
        yield
        return
    door: Doorway = request.getfixturevalue("door")
    policy, counts = export_revision(door.services)[0], certificate_counts(door.services)
    yield
    assert export_revision(door.services)[0] == policy
    assert certificate_counts(door.services) == counts
    assert door.get(door.identities["alice"], "/reports/1").status == 200
    assert eventually(lambda: door.gateway.trouble() == []), door.gateway.trouble()


def refused(door: Doorway, *words: str, code: int) -> dict[str, Any]:
    """Run a command that must fail so; return its error."""
    result = door.command(*words, "--json")
    assert result.exit_code == code, (words, result.output[:500], result.exception)
    assert "Traceback" not in result.output
    error = dict(json.loads(result.stdout)["error"])
    assert error["code"] != "internal-error"
    assert error["detail"]
    plain = door.command(*words)
    assert plain.exit_code == code
    assert "error" in plain.stderr.lower()
    return error


def csr(name: str = "alice") -> bytes:
    """A good request."""
    return build_csr(PlainKeys().generate(KeyKind.P256), name)


def bad_requests() -> dict[str, bytes]:
    """Requests that are none, one for each way to be wrong."""
    good = csr()
    lines = good.splitlines(keepends=True)
    return {
        "empty": b"",
        "garbage": DICE.randbytes(500),
        "truncated": good[: len(good) // 2],
        "without an end": b"".join(lines[:-1]),
        "a certificate's armour": good.replace(b"CERTIFICATE REQUEST", b"CERTIFICATE"),
        "altered": good.replace(lines[2][:8], b"AAAAAAAA"),
        "twice": good + good,
        "zeros": bytes(1000),
        "nested": b"0\x80" * 5000,
        "a length without end": b"\x30\x84\xff\xff\xff\xff" + bytes(100),
        "large": b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"A" * 30_000,
    }
