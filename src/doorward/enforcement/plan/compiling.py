"""Compiles a policy document, certificates and settings into the plan of a gateway; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from doorward.enforcement.capacity import HSTS
from doorward.enforcement.plan.challenges import ChallengeDoor
from doorward.enforcement.plan.doors import (
    ApplicationDoor,
    DoorRule,
    HttpDoor,
    OpenDoor,
    PortalDoor,
    ServerCertificate,
    TcpDoor,
)
from doorward.enforcement.plan.gateway import GatewayPlan
from doorward.enforcement.plan.limits import DEFAULT_LIMITS, GatewayLimits, GatewayPaths, SocketAddress
from doorward.enforcement.plan.pages import ReplyPages
from doorward.enforcement.plan.sessions import SessionPlan
from doorward.enforcement.trust import DoorTrust
from doorward.enforcement.upstream_files import UpstreamFiles
from doorward.policy.grants import grant_id
from doorward.policy.model import AppPolicy, Document, TcpUpstream
from doorward.policy.origins import own_origins


def build_plan(
    document: Document,
    *,
    tenant: str,
    application_ids: Mapping[str, str],
    certificates: Mapping[str, ServerCertificate],
    aliases: Mapping[str, frozenset[str]] = MappingProxyType({}),
    partners: Mapping[str, DoorTrust] = MappingProxyType({}),
    upstream_files: Mapping[str, UpstreamFiles] = MappingProxyType({}),
    shut: Collection[str] = (),
    listen: Sequence[SocketAddress],
    trust: Sequence[str],
    paths: GatewayPaths,
    open_doors: Sequence[OpenDoor] = (),
    limits: GatewayLimits = DEFAULT_LIMITS,
    hsts: timedelta = HSTS,
    public_ports: Sequence[int] = (),
    portal: PortalDoor | None = None,
    sessions: SessionPlan | None = None,
    pages: ReplyPages | None = None,
    challenges: Sequence[ChallengeDoor] = (),
) -> GatewayPlan:
    """Compile a policy document into the plan of a gateway.

    Args:
        document: the whole policy.
        tenant: the tenant's id.
        application_ids: application name to id (`app_…`).
        certificates: application name to its server certificate. A host without a certificate is left out until it has
            one; the application's other hosts can be reached.
        aliases: id of a new rule to the class tokens and decision ids that Envoy accepts instead of that id
            (`enforcement.transition`).
        partners: application name to the authorities of its door, for applications that trust partners.
        upstream_files: application name to the files with which Envoy verifies its upstream. An application that needs the files
            and has none gets no upstream.
        shut: names of applications that get no upstream.
        listen: the addresses where the gateway listens.
        trust: PEM of each of our own issuing authorities.
        paths: the sockets and the log file.
        open_doors: doors that ask for no client certificate.
        limits: the limits of the gateway: counts, sizes, times.
        hsts: for how long a browser connects by TLS only (Strict-Transport-Security).
        public_ports: further ports that browsers use for the doors, in addition to the ports of `listen`.
        portal: the portal's door, None if there is none.
        sessions: the keys and addresses that sessions need. If None, rules that require a second factor allow nothing.
        challenges: hosts that show an ACME authority that they are ours.
        pages: HTML pages for Envoy's own replies. If None, Envoy replies with one sentence of plain text.

    Returns:
        The plan; equal arguments give an equal plan.

    Raises:
        KeyError: an application of the document has no id.
    """
    own_trust = DoorTrust(authorities=tuple(sorted(set(trust))))
    ports = {*public_ports, *(address.port for address in listen)}
    doors = [
        build_door(
            app,
            tenant,
            application_ids[app.name],
            certificates[app.name],
            aliases,
            trust=partners.get(app.name, own_trust if app.admits_anonymous else None),
            ports=ports,
            upstream_files=upstream_files.get(app.name),
            is_shut=app.name in shut,
        )
        for app in document.apps
        if app.name in certificates and not set(app.hosts).isdisjoint(certificates[app.name].hosts)
    ]
    return GatewayPlan(
        listen=tuple(listen),
        trust=tuple(sorted(set(trust))),
        doors=tuple(sorted(doors, key=lambda door: door.id)),
        open_doors=tuple(sorted(open_doors, key=lambda door: door.id)),
        paths=paths,
        limits=limits,
        hsts=hsts,
        portal=portal,
        sessions=sessions,
        pages=pages,
        challenges=tuple(challenges),
    )


def build_door(
    app: AppPolicy,
    tenant: str,
    application_id: str,
    certificate: ServerCertificate,
    aliases: Mapping[str, frozenset[str]] = MappingProxyType({}),
    *,
    trust: DoorTrust | None = None,
    ports: Collection[int] = (),
    upstream_files: UpstreamFiles | None = None,
    is_shut: bool = False,
) -> ApplicationDoor:
    """Compile one application into its door; rules keep their order.

    The door has only the hosts that the certificate names. `ports` are the ports that browsers use for the door.
    """
    rules = []
    for rule in app.rules:
        rule_id = grant_id(tenant, application_id, rule.effect, rule.selector)
        accepted = (rule_id, *sorted(aliases.get(rule_id, frozenset())))
        rules.append(DoorRule(id=rule_id, effect=rule.effect, residual=rule.residual, accepted=accepted))
    common: dict[str, Any] = {
        "id": application_id,
        "name": app.name,
        "hosts": tuple(sorted(set(app.hosts).intersection(certificate.hosts))),
        "rules": tuple(rules),
        "certificate": certificate,
        "trust": trust,
        "is_shut": is_shut,
        "app_limits": app.app_limits,
    }
    if isinstance(app.upstream, TcpUpstream):
        return TcpDoor(upstream=app.upstream, alpn=app.alpn, **common)
    return HttpDoor(
        upstream=app.upstream,
        public=app.public,
        own_origins=own_origins(common["hosts"], ports),
        origins=app.origins,
        headers=app.headers,
        upstream_files=upstream_files,
        keeps_slashes=app.keeps_slashes,
        has_refusal_page=app.has_refusal_page,
        **common,
    )
