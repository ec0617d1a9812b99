"""Enrolment on the machine of the user, with the real clock, randomness and keys.

Not here: the protocol and its checks (agent). Nothing of the server is imported.
"""

from __future__ import annotations

from pathlib import Path

from doorward.agent.client import Enrolled
from doorward.agent.client import enroll as enroll_with
from doorward.agent.link import parse_link
from doorward.agent.pkcs12 import Pkcs12Form
from doorward.core.ports import KeyKind
from doorward.runtime.world import SoftwareKeys, SystemClock, SystemRandom


def enroll(
    link: str,
    *,
    out: Path,
    kind: KeyKind = KeyKind.P256,
    form: Pkcs12Form = Pkcs12Form.MODERN,
    force: bool = False,
) -> Enrolled:
    """Turn a one-time link into key, certificate and PKCS#12 file in `out`; raises as `agent.client.enroll`."""
    return enroll_with(
        parse_link(link),
        out=out,
        clock=SystemClock(),
        random=SystemRandom(),
        factory=SoftwareKeys(),
        key_kind=kind,
        p12_form=form,
        force=force,
    )
