"""The facts of an admitted connection, as Envoy gets them: who it is, its grants, the assertion for the application.

Not here: the facts of a connection without a good certificate (anonymous), and their form on the wire (rendering).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from doorward.access.decision import AccessDecision
from doorward.core.entities import TENANT, Principal, Reason
from doorward.core.errors import MalformedInput
from doorward.enforcement.envoy.names import JUDGED, NOBODY, NOT_REFUSED, ConnectionFact
from doorward.enforcement.transition import class_token
from doorward.gateway.authorizer.anonymous import anonymous_facts
from doorward.gateway.authorizer.assertions import AssertionSigner
from doorward.gateway.connections.connection import LiveConnection
from doorward.policy.decision import permissions_of
from doorward.policy.grants import GRANTS_LIMIT_BYTES, grants_fit, render_grants
from doorward.policy.model import AppPolicy
from doorward.policy.paths import owner_segment
from doorward.wire.client_cert import render_client_cert
from doorward.wire.header_text import encode_header_text


class FactsBuilder:
    """Builds the facts of connections.

    Args:
        signer: signs assertions.
        application_name: the audience of assertions for an application's id.
    """

    def __init__(self, signer: AssertionSigner, application_name: Callable[[str], str]) -> None:
        self._signer = signer
        self._application_name = application_name

    def build(
        self, live: LiveConnection, decision: AccessDecision, before: Sequence[AppPolicy]
    ) -> Mapping[str, str]:
        """Return the facts of an admitted connection for Envoy; `before` are the policies in force shortly before."""
        if live.anonymous:
            explains = decision.policy is not None and decision.policy.has_refusal_page
            return anonymous_facts(decision.refusal if explains else None)
        subject, certificate = decision.holder()
        principal = subject.principal
        token = class_token(TENANT, live.application_id, live.revision, live.grants)
        grants = render_grants((*live.grants, *self._grants_of(before, live, decision), token))
        if len(grants) > GRANTS_LIMIT_BYTES:
            raise MalformedInput(Reason.GRANTS_TOO_LARGE.value, "the connection would hold too many grants")
        audience = self.name_of(live.application_id)
        facts = {
            ConnectionFact.JUDGED: JUDGED,
            ConnectionFact.GRANTS: grants,
            ConnectionFact.PRINCIPAL: encode_header_text(f"{principal.kind.value}/{principal.name}"),
            ConnectionFact.PRINCIPAL_ID: principal.id,
            ConnectionFact.CERTIFICATE: certificate.id,
            ConnectionFact.CLIENT_CERT: render_client_cert(certificate.der),
            ConnectionFact.ASSERTION: self.sign(live, principal, audience),
            ConnectionFact.OWNER: owner_segment(principal.name) or NOBODY,
            ConnectionFact.DECISION: live.decision,
            ConnectionFact.EPOCH: live.sessions.epoch,
            ConnectionFact.REASON: NOT_REFUSED,
        }
        return {fact.value: value for fact, value in facts.items()}

    def sign(self, live: LiveConnection, principal: Principal, audience: str) -> str:
        """Return the assertion of a connection for its application; `audience` is the application's name."""
        return self._signer.sign(live, principal, audience)

    def name_of(self, application_id: str) -> str:
        """Return the name of an application, as its assertions have it."""
        return self._application_name(application_id)

    def _grants_of(
        self, before: Sequence[AppPolicy], live: LiveConnection, decision: AccessDecision
    ) -> tuple[str, ...]:
        """Return the further ids with which a TCP connection passes the rules that were in force when it was accepted.

        Envoy made the connection's filters when it accepted it, and the policy may have changed since. Each id is one
        that this subject deserves now. The filter asks once, so no later rule reads these ids (docs/design/0052).
        """
        if decision.policy is None or not decision.policy.is_tcp:
            return ()
        subject, _ = decision.holder()
        ids = live.grants
        for policy in before:
            earlier = permissions_of(policy, TENANT, live.application_id, subject).grants
            more = (*ids, *(one for one in earlier if one not in ids))
            if not grants_fit(more):
                break
            ids = more
        return ids[len(live.grants) :]
