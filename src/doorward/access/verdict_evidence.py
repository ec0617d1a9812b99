"""What the event of a decision tells of the evidence that its verdict rests on.

Not here: the rest of the event (`deciding`).
"""

from __future__ import annotations

from doorward.core.entities import Verdict


def list_status_evidence(verdict: Verdict) -> list[str]:
    """Return the SHA-256 of each CRL and OCSP answer that a verdict rests on."""
    return list(dict.fromkeys(value for name, value in verdict.evidence if name == "status-evidence"))


def describe_path_fault(verdict: Verdict) -> str:
    """Return rule, section and certificate of the first fault of a path, without what it holds of names."""
    found = next((value for name, value in verdict.evidence if name == "path-fault"), "")
    return found.partition(": ")[0]
