"""Evidence of revocation from partners: which sources to fetch, when, and what to store.

Nothing here runs in a connection: a connection is judged by the stored evidence and never waits for a fetch.
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
