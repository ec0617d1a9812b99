"""Who and what a connection is, as rules see it, and the three answers of a selector.

Not here: what a selector asks of it (`selectors`), and how the facts are proved (verification).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from doorward.core.certificate import VerifiedCertificate
from doorward.core.entities import Principal


class Truth(Enum):
    """Whether a selector holds. Undetermined gives neither the grant of an allow rule nor the clearance of a deny rule."""

    TRUE = "true"
    FALSE = "false"
    UNDETERMINED = "undetermined"


# They are compared for each rule of each new connection: looking a member up there costs as much as the comparison.
TRUE, FALSE, UNDETERMINED = Truth.TRUE, Truth.FALSE, Truth.UNDETERMINED


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Everything that the connection part of a rule may depend on.

    None stands for a fact that is not known: a selector that asks for it is undetermined.

    Args:
        principal: who holds the connection, with its groups as of now.
        certificate: the certificate by which it is known, found good.
        source: the peer's address as the kernel sees it.
        time: the moment of the judgement, aware, UTC.
    """

    principal: Principal
    certificate: VerifiedCertificate | None = None
    source: IPv4Address | IPv6Address | None = None
    time: datetime | None = None
