"""Sessions as administrators see them: with names instead of ids.

Not here: a person's own sessions at the portal (`web.portal`), ending sessions (`sessions`, `session_ending`).
"""

from __future__ import annotations

from dataclasses import dataclass

from doorward.core.names import PORTAL_APPLICATION
from doorward.stores.factor_records import SessionRecord
from doorward.stores.prerequisites import require_principal
from doorward.stores.services import Services

PORTAL_NAME = "portal"
"""The name of the portal in lists of applications; its id is `app_portal`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session with the name of its principal and of its application.

    An id is shown if there is no name any more: an application may be removed while its sessions are open.
    """

    session: SessionRecord
    name: str
    application: str


def list_session_views(services: Services, name: str | None = None) -> list[SessionView]:
    """Return the open sessions of one principal or all, oldest first.

    Raises:
        NotFound: `principal-unknown`.
    """
    with services.work.read() as stores:
        principal_id = None if name is None else require_principal(stores, name).id
        found = stores.sessions.open_at(services.clock.now(), principal_id)
        applications = {one.id: one.name for one in stores.applications.list()}
        applications[PORTAL_APPLICATION] = PORTAL_NAME
        names = {}
        for one in {session.principal_id for session in found}:
            principal = stores.directory.get(one)
            names[one] = one if principal is None else principal.name
    return [
        SessionView(
            session=one,
            name=names[one.principal_id],
            application=applications.get(one.application_id, one.application_id),
        )
        for one in found
    ]
