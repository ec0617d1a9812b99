"""This installation's own addresses, and the check that no upstream or host of a document is one of them.

Not here: deciding it (gateway.forbidden_upstreams). The gateway checks again at each publication, because a link
or a name may change after a document was applied.
"""

from __future__ import annotations

from collections.abc import Callable

from doorward.core.errors import ConfigurationError, Fault
from doorward.core.names import is_at_or_below
from doorward.gateway.forbidden_upstreams import BY_NAME_ONLY, ForbiddenUpstreams, OwnListener
from doorward.gateway.publishing.upstream_files import known_hosts
from doorward.policy.model import Document
from doorward.runtime.compose import Installation
from doorward.runtime.layout import Layout
from doorward.runtime.settings import Settings, split_listen


def own_places(settings: Settings, layout: Layout) -> ForbiddenUpstreams:
    """Return the addresses at which the installation itself answers: its data folder, the door, the status listener."""
    door, status = split_listen(settings.gateway_listen), split_listen(settings.status_listen)
    listeners = [OwnListener("the door", *door), OwnListener("the status listener", *status)]
    if settings.gateway_public_port:
        listeners.append(OwnListener("the door", BY_NAME_ONLY, settings.gateway_public_port))
    names = frozenset({settings.portal_host, settings.est_host} - {""})
    return ForbiddenUpstreams(folder=layout.data, listeners=tuple(listeners), names=names)


def publishable(installation: Installation) -> Callable[[Document], None]:
    """Return the check of a document before it is stored: whether this installation's gateway can enforce it."""
    settings = installation.settings
    own = own_places(settings, installation.layout)

    def check(document: Document) -> None:
        objection = own.checker(known_hosts(document))
        faults = [
            Fault(
                code="upstream-own",
                message=f"{app.upstream.url} is {found}",
                hint="write where the application itself listens",
                key=f"apps.{app.name}.upstream",
            )
            for app in document.apps
            if (found := objection(app.upstream))
        ]
        portal = installation.portal_host()
        faults += [
            Fault(
                code="host-reserved",
                message=f"{host} is the portal's host ({portal}) or below it, and could use the passkeys of people",
                hint="choose a host that is not below it",
                key=f"apps.{app.name}.hosts",
            )
            for app in document.apps
            for host in app.hosts
            if is_at_or_below(host, portal)
        ]
        faults += [
            Fault(
                code="host-reserved",
                message=f"{host} is the host of the EST server",
                hint="choose another host, or set another est_host",
                key=f"apps.{app.name}.hosts",
            )
            for app in document.apps
            for host in app.hosts
            if host == settings.est_host
        ]
        if faults:
            raise ConfigurationError(faults)

    return check
