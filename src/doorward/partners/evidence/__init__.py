"""Evidence of partners' revocations: what to look for, when, and what of it is kept.

All of it happens beside the connections: a connection is judged by what is at hand, and waits for nothing.
"""

from doorward.partners.evidence.failures import record_failure
from doorward.partners.evidence.fetch_results import process_fetch_result
from doorward.partners.evidence.health import EvidenceHealth, list_evidence_health
from doorward.partners.evidence.leasing import FetchSlots, FetchTask, lease_due
from doorward.partners.evidence.sources import SourceScan

__all__ = [
    "EvidenceHealth",
    "FetchSlots",
    "FetchTask",
    "SourceScan",
    "lease_due",
    "list_evidence_health",
    "process_fetch_result",
    "record_failure",
]
