"""Compiling one policy snapshot and the available certificates into the plan of the gateway.

Not here: waiting for certificates and publishing (transition), and the resources for Envoy (enforcement, door_packing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from doorward.core.entities import TENANT
from doorward.core.names import PORTAL_APPLICATION, enrolment_host
from doorward.enforcement.envoy.names import ENROL_CHAIN, EST_CHAIN
from doorward.enforcement.open_routes import ENROLMENT_ROUTES, EST_ROUTES
from doorward.enforcement.plan import (
    ChallengeDoor,
    GatewayPaths,
    GatewayPlan,
    OpenDoor,
    PortalDoor,
    ServerCertificate,
    SessionPlan,
    build_plan,
)
from doorward.gateway.door_settings import DoorSettings
from doorward.gateway.publishing.configuration import (
    ENROL_PURPOSE,
    EST_PURPOSE,
    own_trust,
    partner_trusts,
    portal_trust,
    wanted_hosts,
)
from doorward.gateway.publishing.server_certificates import missing_hosts
from doorward.gateway.publishing.upstream_files import UpstreamParts
from doorward.policy.origins import own_origins
from doorward.stores.policy_snapshot import PolicySnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A compiled policy snapshot, ready to be packed and published.

    Args:
        snapshot: the policy.
        seq: the number of the last change when the snapshot was read.
        plan: the plan of the gateway.
        aliases: id of a rule to the tokens that Envoy accepts in its place.
        certificates: the server certificates of the doors.
        purposes: every purpose that has a server certificate or waits for one. The purpose of an application's
            certificate is the application's id; the enrolment host has `ENROL_PURPOSE`, the EST host `EST_PURPOSE`.
        missing: purpose to its hosts that still wait for a certificate.
    """

    snapshot: PolicySnapshot
    seq: int
    plan: GatewayPlan
    aliases: Mapping[str, frozenset[str]]
    certificates: tuple[ServerCertificate, ...]
    purposes: frozenset[str]
    missing: Mapping[str, tuple[str, ...]]


def compile_snapshot(
    snapshot: PolicySnapshot,
    seq: int,
    settings: DoorSettings,
    *,
    ready: Mapping[str, ServerCertificate],
    aliases: Mapping[str, frozenset[str]],
    upstreams: UpstreamParts,
    challenges: Sequence[ChallengeDoor] = (),
) -> Compiled:
    """Compile a policy snapshot.

    Args:
        snapshot: the policy.
        seq: the number of the last change when the snapshot was read.
        settings: listeners, sockets, limits.
        ready: purpose to its server certificate; a door without a certificate is left out.
        aliases: id of a rule to the tokens that Envoy accepts in its place.
        challenges: hosts that show an ACME authority that they are ours.
        upstreams: the files of upstreams with TLS, and the upstreams that cannot be used.
    """
    wanted, names = settings_hosts(snapshot, settings), snapshot.names
    plan = build_plan(
        snapshot.document,
        tenant=TENANT,
        application_ids=snapshot.ids,
        certificates={names[one]: ready[one] for one in ready.keys() & names.keys() - {PORTAL_APPLICATION}},
        aliases=aliases,
        listen=settings.listen,
        partners=partner_trusts(snapshot),
        trust=own_trust(snapshot),
        paths=GatewayPaths(
            authorizer_socket=settings.authorizer_socket,
            discovery_socket=settings.discovery_socket,
            log_file=settings.log_file,
        ),
        open_doors=_open_doors(snapshot, wanted, ready, settings),
        limits=settings.limits,
        hsts=settings.hsts,
        public_ports=settings.public_ports,
        portal=_portal(snapshot, settings, ready.get(PORTAL_APPLICATION)),
        sessions=_sessions(snapshot, settings),
        pages=settings.pages,
        challenges=challenges,
        **upstreams.for_plan(),
    )
    return Compiled(
        snapshot=snapshot,
        seq=seq,
        plan=plan,
        aliases=aliases,
        certificates=tuple(ready.values()),
        purposes=frozenset(wanted),
        missing=missing_hosts(wanted, ready),
    )


def _open_doors(
    snapshot: PolicySnapshot,
    wanted: Mapping[str, tuple[str, ...]],
    ready: Mapping[str, ServerCertificate],
    settings: DoorSettings,
) -> list[OpenDoor]:
    """Return the doors of enrolment and EST, sorted by id; one without a certificate is left out."""
    doors = []
    if ENROL_PURPOSE in ready:
        doors.append(
            OpenDoor(
                id=ENROL_CHAIN,
                name="enrolment",
                host=wanted[ENROL_PURPOSE][0],
                socket=settings.enrol_socket,
                certificate=ready[ENROL_PURPOSE],
                routes=ENROLMENT_ROUTES,
                connections=settings.limits.enrol_connections,
                body_bytes=settings.limits.enrol_body_bytes,
            )
        )
    taken = {enrolment_host(snapshot.trust_domain), settings.portal_host, *_application_hosts(snapshot)}
    if EST_PURPOSE in ready and EST_PURPOSE in wanted and settings.est_host not in taken:
        doors.append(
            OpenDoor(
                id=EST_CHAIN,
                name="est",
                host=settings.est_host,
                socket=settings.est_socket,
                certificate=ready[EST_PURPOSE],
                routes=EST_ROUTES,
                connections=settings.limits.enrol_connections,
                body_bytes=settings.limits.enrol_body_bytes,
                asks_certificate=True,
            )
        )
    return doors


def settings_hosts(snapshot: PolicySnapshot, settings: DoorSettings) -> dict[str, tuple[str, ...]]:
    """Return for each purpose the hosts that need a certificate of our own authority, with a gateway's settings."""
    portal_host = "" if settings.portal_files else settings.portal_host
    return wanted_hosts(snapshot, portal_host, settings.est_host)


def _application_hosts(snapshot: PolicySnapshot) -> frozenset[str]:
    return frozenset(host for app in snapshot.document.apps for host in app.hosts)


def _portal(
    snapshot: PolicySnapshot, settings: DoorSettings, certificate: ServerCertificate | None
) -> PortalDoor | None:
    """Return the portal's door; None if the portal has no certificate, or if an application has the same host."""
    host = settings.portal_host
    taken_hosts = {enrolment_host(snapshot.trust_domain), *_application_hosts(snapshot)}
    if certificate is None or not host or host in taken_hosts:
        return None
    ports = {*settings.public_ports, *(one.port for one in settings.listen)}
    return PortalDoor(
        host=host,
        socket=settings.portal_socket,
        certificate=certificate,
        trust=portal_trust(snapshot),
        own_origins=own_origins((host,), ports),
        connections=settings.limits.portal_connections,
        body_bytes=settings.limits.portal_body_bytes,
    )


def _sessions(snapshot: PolicySnapshot, settings: DoorSettings) -> SessionPlan | None:
    """Return the plan of sessions; None if there is no portal for showing a second factor."""
    if not (settings.portal_origin and settings.sessions_socket):
        return None
    return SessionPlan(
        issuer=f"https://{snapshot.trust_domain}/portal",
        jwks=snapshot.session_keys,
        portal_origin=settings.portal_origin,
        sessions_socket=settings.sessions_socket,
        lifetime=settings.session_lifetime,
    )
