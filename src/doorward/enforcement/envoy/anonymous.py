"""Requests of connections that were not judged good: the matcher of routes, and the headers for our own pages.

At a door that admits connections without a good certificate, `ConnectionFact.JUDGED` has three values: judged good, not
judged good, and unknown if the authorizer did not answer. Only the first has an identity; requests of the third are refused.
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.headers import build_source, overwrite_header
from doorward.enforcement.envoy.names import CLAIMED_CERTIFICATE, REFUSAL, ConnectionFact


def match_judged(value: str) -> dict[str, Any]:
    """Return the matcher of routes for connections with this value of `ConnectionFact.JUDGED`."""
    return {"key": ConnectionFact.JUDGED.state_key, "string_match": {"exact": value}}


def build_claims() -> list[dict[str, Any]]:
    """Return the headers with the shown certificate, the reason why it was not judged good, and the peer's address."""
    return [
        overwrite_header(CLAIMED_CERTIFICATE, "%DOWNSTREAM_PEER_CERT%"),
        overwrite_header(REFUSAL, f"%FILTER_STATE({ConnectionFact.REASON.state_key}:PLAIN)%"),
        build_source(),
    ]
