"""Requests of connections that were not judged good: how routes tell them apart, and what our own pages hear of them.

`ConnectionFact.JUDGED` has three values where a connection may live without a good certificate: judged good, not, and unknown if
the authorizer was away. Only the first carries an identity, and the third leads nowhere.
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.headers import build_source, overwrite_header
from doorward.enforcement.envoy.names import CLAIMED_CERTIFICATE, REFUSAL, ConnectionFact


def match_judged(value: str) -> dict[str, Any]:
    """Return the matcher of routes for connections with this value of `ConnectionFact.JUDGED`."""
    return {"key": ConnectionFact.JUDGED.state_key, "string_match": {"exact": value}}


def build_claims() -> list[dict[str, Any]]:
    """Return the headers that say what the peer showed, why it is not enough, and where it comes from."""
    return [
        overwrite_header(CLAIMED_CERTIFICATE, "%DOWNSTREAM_PEER_CERT%"),
        overwrite_header(REFUSAL, f"%FILTER_STATE({ConnectionFact.REASON.state_key}:PLAIN)%"),
        build_source(),
    ]
