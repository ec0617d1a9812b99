"""The subject of a decision: the facts about a connection that rules see, and the three answers of a selector.

Not here: the conditions of a selector (`selectors`), and how the facts are proved (verification).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from doorward.core.certificate import VerifiedCertificate
from doorward.core.entities import Principal


class Truth(Enum):
    """Whether a selector holds. `UNDETERMINED` gives neither the grant of an allow rule nor the clearance of a deny rule."""

    TRUE = "true"
    FALSE = "false"
    UNDETERMINED = "undetermined"


# Compared for each rule of each new connection: looking up `Truth.TRUE` each time costs as much as the comparison.
TRUE, FALSE, UNDETERMINED = Truth.TRUE, Truth.FALSE, Truth.UNDETERMINED


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Everything that the connection part of a rule may depend on.

    None stands for an unknown fact: a selector that depends on it is undetermined.

    Args:
        principal: the holder of the connection, with its current groups.
        certificate: the certificate that proves who the principal is; it was judged good.
        source: the peer's address as the kernel sees it.
        time: the moment of the decision, aware, UTC.
    """

    principal: Principal
    certificate: VerifiedCertificate | None = None
    source: IPv4Address | IPv6Address | None = None
    time: datetime | None = None
