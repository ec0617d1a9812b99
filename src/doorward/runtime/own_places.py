"""Which places are this installation's own, and the check of a document that no upstream is one of them.

Not here: deciding it (gateway.own_places). The gateway asks again whenever it publishes: a link may be
made, and a name changed, after a document was applied.
"""

from __future__ import annotations

from collections.abc import Callable

from doorward.core.errors import ConfigurationError, Fault
from doorward.gateway.own_places import BY_NAME_ONLY, OwnListener, OwnPlaces
from doorward.gateway.publishing.upstream_files import known_hosts
from doorward.policy.model import Document
from doorward.runtime.compose import Installation
from doorward.runtime.layout import Layout
from doorward.runtime.publishable import check_publishable
from doorward.runtime.settings import Settings, split_listen


def own_places(settings: Settings, layout: Layout) -> OwnPlaces:
    """Return where an installation answers itself: below its data, at the door, at the status listener."""
    door, status = split_listen(settings.gateway_listen), split_listen(settings.status_listen)
    listeners = [OwnListener("the door", *door), OwnListener("the status listener", *status)]
    if settings.gateway_public_port:
        listeners.append(OwnListener("the door", BY_NAME_ONLY, settings.gateway_public_port))
    return OwnPlaces(folder=layout.data, listeners=tuple(listeners))


def publishable(installation: Installation) -> Callable[[Document], None]:
    """Return the check of a document before it is stored: whether this installation's gateway can enforce it."""
    own = own_places(installation.settings, installation.layout)

    def check(document: Document) -> None:
        check_publishable(document)
        faults = [
            Fault(
                code="upstream-own",
                message=f"{app.upstream.url} is {found}",
                hint="write where the application itself listens",
                key=f"apps.{app.name}.upstream",
            )
            for app in document.apps
            if (found := own.objection(app.upstream, known_hosts(document)))
        ]
        if faults:
            raise ConfigurationError(faults)

    return check
