"""Nested authorities: an authority of one party that certifies an authority of another party.

Below nested authorities one certificate has a path to an anchor of both parties, whatever keys they have. A path that goes
from one party's authorities to the other's has a step between the two, so each such step is looked for, in both directions.

Not here: equal keys (each import compares them first), and authorities that neither party has given: they cannot be seen.
Standard: RFC 5280 section 6.1.3 (a) (1) and (4).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from doorward.core.errors import RequestRefused
from doorward.verification.path.building import WorkBudget, WorkExceeded
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.names import CanonicalName
from doorward.verification.path.signatures import Strength, is_signature_valid

_ANY_STRENGTH = Strength(accept_broken_algorithms=True)
"""The signature of an anchor is not used at the door, so an old one with SHA-1 must not hide who certified it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nesting:
    """An imported authority and one of another party: `above` tells whether the imported one certifies the other."""

    imported: PathCertificate
    other: PathCertificate
    above: bool

    @property
    def relation(self) -> str:
        """What stands between the two in a sentence."""
        return "certifies" if self.above else "is certified by"


def find_nesting(
    imported: Collection[PathCertificate], others: Collection[PathCertificate]
) -> Nesting | None:
    """Return the first imported authority that certifies one of the others, or is certified by one; None if none does.

    Args:
        imported: anchors and intermediates of an import.
        others: anchors and intermediates of the other parties.

    Raises:
        RequestRefused: `authority-in-use`: so many of them share a name that comparing them would cost too much.
    """
    work = WorkBudget()
    try:
        found = _find_step(imported, others, work)
        if found is not None:
            return Nesting(imported=found[0], other=found[1], above=False)
        found = _find_step(others, imported, work)
    except WorkExceeded as exceeded:
        raise RequestRefused(
            "authority-in-use",
            "too many authorities have the name of an issuer: it cannot be told which of them are certified by others",
            hint="import fewer authorities that share one name",
        ) from exceeded
    return Nesting(imported=found[1], other=found[0], above=True) if found is not None else None


def _find_step(
    lower: Collection[PathCertificate], upper: Collection[PathCertificate], work: WorkBudget
) -> tuple[PathCertificate, PathCertificate] | None:
    """Return the first certificate of `lower` with the one of `upper` that signed it and has its issuer's name."""
    by_name: dict[CanonicalName, list[PathCertificate]] = {}
    for one in upper:
        by_name.setdefault(one.subject, []).append(one)
    for child in lower:
        for issuer in by_name.get(child.issuer, ()):
            work.spend_signature(issuer.key)
            if is_signature_valid(issuer.key, child.signed, _ANY_STRENGTH):
                return child, issuer
    return None
