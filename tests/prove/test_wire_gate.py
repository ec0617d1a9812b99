"""Every case of x509-limbo and NIST PKITS with a key at hand, as real handshakes with TLS 1.2 and 1.3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from tests.support.wire_cases import Played, WireCase, limbo_cases, pkits_cases, strays_of
from tests.support.wire_gate import VERSIONS, open_gate

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
"""Of serial numbers that are not positive and other sins that are part of the cases."""

Answers = Mapping[str, Sequence[Played]]


def tell(title: str, cases: Sequence[WireCase], played: Answers, linted: set[str]) -> None:
    """Print the figures of docs/standards.md."""
    good = [case for case in cases if case.good]
    bad = [case for case in cases if not case.good]
    refused_good = sum(case.id in linted for case in good)
    print(f"\n{title}: {len(good)} cases to be good and {len(bad)} to be bad")
    print(f"  the import lint refuses the authorities of {refused_good} and {len(linted) - refused_good}")
    for number, version in enumerate(VERSIONS):
        words = Counter(played[case.id][number].word for case in bad)
        admitted = sum(played[case.id][number].admitted for case in good)
        print(f"  {version.name}: {admitted} of the good get in, the bad come to {dict(words)}")


def test_all_of_limbo(monkeypatch: pytest.MonkeyPatch) -> None:
    """x509-limbo: every case with a key comes out as the strict judge says, with both versions of TLS."""
    cases, left = limbo_cases()
    present = [case for case in cases if case.moment is None]
    others = [case for case in cases if case.moment is not None]
    with open_gate(monkeypatch) as gate:
        played = gate.play(present)
    with open_gate(monkeypatch, dates=False) as past:
        played |= past.play(others)
    tell("x509-limbo", cases, played, gate.linted | past.linted)
    print(*(f"  not played: {name}: {why}" for name, why in left.items()), sep="\n")
    assert strays_of(cases, played) == {}


def test_all_of_pkits(monkeypatch: pytest.MonkeyPatch) -> None:
    """NIST PKITS: every case with a key comes out as the strict judge says, with both versions of TLS."""
    cases, left = pkits_cases()
    with open_gate(monkeypatch, any_purpose=True) as gate:
        played = gate.play(cases)
    tell("NIST PKITS", cases, played, gate.linted)
    print(*(f"  not played: {name}: {why}" for name, why in left.items()), sep="\n")
    assert strays_of(cases, played) == {}
