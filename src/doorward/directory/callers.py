"""The caller of a web surface of ours: a principal with a judged certificate. A value; nothing is looked up here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from doorward.core.entities import PrincipalKind

MAX_CLIENT_CHARACTERS = 200
"""Characters of a User-Agent that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A principal, the certificate of the connection, and where the request came from.

    Args:
        principal_id: as in the directory; the principal was active when it was looked up.
        name: of the principal, in certificates and rules.
        kind: of the principal.
        certificate_id: as in the inventory; the certificate was valid when it was looked up.
        certificate_sha256: of its DER, lower-case hex.
        not_after: when the certificate ends.
        expires_at: when the connection ends at the latest.
        source: the network address that the door saw; empty if it is not known.
        client: the User-Agent, at most 200 characters.
    """

    principal_id: str
    name: str
    kind: PrincipalKind
    certificate_id: str
    certificate_sha256: str
    not_after: datetime
    expires_at: datetime
    source: str = ""
    client: str = ""
