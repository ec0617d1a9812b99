"""Cases of the suites as real handshakes, some of each class: the door says what the strict judge says.

All of them are played by `make prove` (tests/prove/test_wire_gate.py); which come out otherwise is in
`tests/protocol/suites/decisions.py` and docs/standards.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest

from doorward.core.entities import Outcome
from doorward.verification import partner as partner_judging
from doorward.verification.path.building import PathJudgement
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.store import TrustStore
from tests.support.wire_cases import WireCase, limbo_cases, pkits_cases, strays_of
from tests.support.wire_gate import open_gate

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
"""Of serial numbers that are not positive and other sins that are part of the cases."""

LAX = (
    "recast::pathlen::intermediate-pathlen-too-long",
    "recast::pathlen::max-chain-depth-0-exhausted",
    "recast::rfc5280::intermediate-ca-without-ca-bit",
    "recast::rfc5280::unknown-critical-extension-root",
    "recast::rfc5280::leaf-ku-keycertsign",
    "recast::rfc5280::aki::critical-aki",
    "recast::rfc5280::nc::invalid-dnsname-leading-period",
    "recast::rfc5280::san::noncritical-with-empty-subject",
)
"""Some of the bad cases that Envoy's own check passes."""

Record = Callable[[str, object], None]


def sample(cases: Sequence[WireCase]) -> list[WireCase]:
    """Return the first case of each class that is to be good, and the first that is not."""
    found: dict[tuple[str, bool], WireCase] = {}
    for case in cases:
        found.setdefault((case.group, case.good), case)
    return list(found.values())


def test_some_of_limbo(monkeypatch: pytest.MonkeyPatch, record_property: Record) -> None:
    """Cases of each class of x509-limbo that are judged at the present time."""
    cases = sample([case for case in limbo_cases()[0] if case.moment is None])
    with open_gate(monkeypatch) as gate:
        played = gate.play(cases)
    record_property("suite", f"On the wire, x509-limbo: {len(cases)} cases as handshakes")
    assert strays_of(cases, played) == {}


def test_limbo_at_other_times(monkeypatch: pytest.MonkeyPatch, record_property: Record) -> None:
    """Cases with CRLs, and those about dates, at the moment that each says."""
    cases = [case for case in limbo_cases()[0] if case.moment is not None]
    with open_gate(monkeypatch, dates=False) as gate:
        played = gate.play(cases)
    record_property("suite", f"On the wire, x509-limbo: {len(cases)} cases of other times as handshakes")
    assert strays_of(cases, played) == {}


def test_some_of_pkits(monkeypatch: pytest.MonkeyPatch, record_property: Record) -> None:
    """Cases of each section of NIST PKITS, with CRLs and policy inputs."""
    cases = sample(pkits_cases()[0])
    with open_gate(monkeypatch, any_purpose=True) as gate:
        played = gate.play(cases)
    record_property("suite", f"On the wire, NIST PKITS: {len(cases)} cases as handshakes")
    assert strays_of(cases, played) == {}


def test_envoy_alone_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the judge accepts every path, bad cases get in: so Envoy is not what refuses them."""

    def take(
        leaf: PathCertificate, store: TrustStore, _inputs: Any, now: datetime, _work: Any
    ) -> PathJudgement:
        path = (leaf, store.find_by_subject(leaf.issuer)[0])
        return PathJudgement(outcome=Outcome.GOOD, path=path, faults=(), judged_at=now)

    monkeypatch.setattr(partner_judging, "judge_path", take)
    cases = [case for case in limbo_cases()[0] if case.id in LAX]
    with open_gate(monkeypatch) as gate:
        strays = strays_of(cases, gate.play(cases))
    assert strays == {name: ["200", "200"] for name in LAX}
