"""Evidence of partners' revocations: what to look for, when, and what of it is kept.

All of it happens beside the connections: a connection is judged by what is at hand, and waits for nothing.
"""

from doorward.partners.evidence.claiming import FetchTask, Room, claim_due
from doorward.partners.evidence.condition import PartnerEvidence, describe_evidence
from doorward.partners.evidence.failing import tell_failure
from doorward.partners.evidence.sources import Survey
from doorward.partners.evidence.taking import take_outcome

__all__ = [
    "FetchTask",
    "PartnerEvidence",
    "Room",
    "Survey",
    "claim_due",
    "describe_evidence",
    "take_outcome",
    "tell_failure",
]
