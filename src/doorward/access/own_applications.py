"""The applications that a principal may open: those for which a rule would admit its connection.

The list is for people and decides nothing: the door judges each request. Paths, methods and second factors of rules are
not considered here.
Not here: the decision (policy.decision), and the decision about one request (explanation).
"""

from __future__ import annotations

from dataclasses import dataclass

from doorward.access.explanation import describe_certificate, load_principal_with_groups
from doorward.core.addresses import parse_address
from doorward.core.entities import TENANT, Outcome
from doorward.core.names import PORTAL_APPLICATION
from doorward.policy.decision import check_admission, permissions_of
from doorward.policy.subject import Subject
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnApplication:
    """An application with web pages that a principal may open, at its first host."""

    id: str
    name: str
    host: str


def list_own_applications(
    services: Services, snapshots: PolicySnapshots, *, principal: str, certificate_id: str, source: str = ""
) -> list[OwnApplication]:
    """Return the applications that admit a principal with this certificate from this address now, sorted by name.

    Args:
        services: the ports of this process.
        snapshots: the policy in force.
        principal: the principal's name.
        certificate_id: the certificate of the connection.
        source: the peer's address; empty leaves it undetermined.

    Raises:
        NotFound: `principal-unknown`.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        snapshot, _ = snapshots.current(stores)
        who = load_principal_with_groups(stores, principal)
        record = stores.certificates.get(certificate_id)
        facts = None if record is None else describe_certificate(stores, record, who, now)
    subject = Subject(
        principal=who, certificate=facts, source=parse_address(source) if source else None, time=now
    )
    return [
        OwnApplication(id=id_, name=policy.name, host=policy.hosts[0])
        for id_, policy in sorted(snapshot.policies.items(), key=lambda pair: pair[1].name)
        if id_ != PORTAL_APPLICATION
        and not policy.is_tcp
        and check_admission(permissions_of(policy, TENANT, id_, subject)).outcome is Outcome.GOOD
    ]
