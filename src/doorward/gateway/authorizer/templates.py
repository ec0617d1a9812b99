"""The template of an admission that may be repeated: everything that stays the same for a certificate at an application.

From connection to connection only these differ: the connection itself, the decision's id and time, the deadline, and with it
the assertion. So the facts for Envoy, the leaf of the record and the grants are made once.

Not here: whether an admission may be repeated (`access.known_admissions`), and repeating many at once (rounds).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

import structlog

from doorward.access.decision import AccessDecision
from doorward.access.known_admissions import KnownAdmissions, is_repeatable
from doorward.audit.repeated_leaf import RepeatedLeaf
from doorward.core.addresses import parse_address
from doorward.enforcement.envoy.names import ConnectionFact
from doorward.gateway.authorizer.anonymous import is_whole
from doorward.gateway.authorizer.calls import CheckResult
from doorward.gateway.authorizer.facts import FactsBuilder
from doorward.gateway.authorizer.rendering import render_last, render_prefix
from doorward.gateway.connections.connection import LiveConnection, PendingConnection, whole_minute
from doorward.policy.model import AppPolicy
from doorward.policy.subject import Subject

_DECISION = ConnectionFact.DECISION.value
_ASSERTION = ConnectionFact.ASSERTION.value

_BYTES = 6_000
"""Memory of a template beside the texts that grow with the certificate: measured, and rounded up."""

_NOT_KEPT = "an admission cannot be kept; the certificate is judged each time"

_log = structlog.get_logger("doorward.authorizer")

_parse_source = lru_cache(4096)(parse_address)
_rounded = lru_cache(256)(whole_minute)  # in a round most deadlines are equal


class AdmissionTemplate:
    """One admission, ready to be repeated; for one thread at a time.

    Args:
        live: the connection that was admitted.
        decision: its decision, which `is_repeatable`.
        facts: what Envoy got.

    Raises:
        MalformedInput: the decision admits no holder of a certificate.
    """

    __slots__ = (
        "_certificate",
        "_kept",
        "_principal",
        "_stays",
        "certificate_id",
        "decision",
        "leaf",
        "policy",
        "sha256",
        "weight",
    )

    def __init__(self, live: LiveConnection, decision: AccessDecision, facts: Mapping[str, str]) -> None:
        self.decision = decision
        self.policy: AppPolicy | None = decision.policy
        self.certificate_id, self.sha256 = live.certificate_id, live.sha256
        self.leaf = RepeatedLeaf(decision.event, public=("connection", "deadline"), personal=("source",))
        self._stays = {name: value for name, value in facts.items() if name not in (_DECISION, _ASSERTION)}
        self._kept: tuple[datetime, str, Mapping[str, str], bytes] | None = None
        subject, record = decision.holder()
        self._principal, self._certificate = subject.principal, subject.certificate
        # The DER, its text as Envoy sends it (the key), and twice as a fact: in the values, and rendered.
        self.weight = _BYTES + 6 * len(record.der) + 8 * sum(map(len, decision.grants))

    def admit(self, pending: PendingConnection, deadline: datetime, event_id: str) -> LiveConnection:
        """Return the live connection that a pending one becomes.

        Args:
            pending: another connection of the same certificate to the same application.
            deadline: when it must end at the latest, UTC.
            event_id: of its decision.
        """
        decision, now = self.decision, pending.opened_at
        subject = Subject(
            principal=self._principal,
            certificate=self._certificate,
            source=_parse_source(pending.source_address),
            time=now,
        )
        return LiveConnection(
            cookie=pending.cookie,
            connection_id=pending.connection_id,
            epoch=pending.epoch,
            local=pending.local,
            remote=pending.remote,
            application_id=pending.application_id,
            opened_at=now,
            certificate_id=self.certificate_id,
            sha256=self.sha256,
            principal_id=self._principal.id,
            subject=subject,
            revision=decision.revision,
            grants=decision.grants,
            permissions=decision.permissions,
            deadline=_rounded(deadline, now),
            decision=event_id,
            judged_grants=decision.grants,
            judged_by=decision.revision,
            sessions=decision.sessions,
        )

    def answer(self, live: LiveConnection, facts: FactsBuilder, audience: str) -> CheckResult:
        """Return the answer for a connection that this template admitted.

        Args:
            live: from `admit`.
            facts: signs assertions.
            audience: the application's name now.
        """
        kept = self._kept
        if kept is None or kept[0] != live.deadline or kept[1] != audience:
            assertion = facts.sign(live, self._principal, audience)
            signed = {**self._stays, _ASSERTION: assertion}
            kept = self._kept = live.deadline, audience, signed, render_prefix(signed)
        _, _, stays, prefix = kept
        return CheckResult(
            facts={**stays, _DECISION: live.decision},
            reasons=(),
            rendered=render_last(prefix, _DECISION, live.decision),
        )


def keep_admission(
    known: KnownAdmissions[AdmissionTemplate],
    certificate: str,
    live: LiveConnection,
    decision: AccessDecision,
    facts: Mapping[str, str],
) -> None:
    """Keep an admission if it may be repeated; this never raises, because the connection is admitted already.

    Args:
        known: where it is kept, by application and certificate.
        certificate: as Envoy sent it.
        live: the connection.
        decision: its decision.
        facts: what Envoy gets.
    """
    try:
        template = build_template(live, decision, facts)
    except Exception:  # noqa: BLE001  see above
        _log.exception(_NOT_KEPT)
        return
    if template is not None:
        keep_template(known, (live.application_id, certificate), template)


def build_template(
    live: LiveConnection, decision: AccessDecision, facts: Mapping[str, str]
) -> AdmissionTemplate | None:
    """Return the template of an admission; None if it must not be repeated."""
    if not is_repeatable(decision, live.application_id) or not is_whole(facts):
        return None
    return AdmissionTemplate(live, decision, facts)


def keep_template(
    known: KnownAdmissions[AdmissionTemplate], key: tuple[str, str], template: AdmissionTemplate
) -> None:
    """Keep a template by application and certificate; this never raises, because its connection is admitted already."""
    try:
        known.keep(key, template.decision, template, template.weight + len(key[1]))
    except Exception:  # noqa: BLE001  see above
        _log.exception(_NOT_KEPT)
