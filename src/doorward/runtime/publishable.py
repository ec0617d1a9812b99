"""What is known before a document is stored: whether the gateway of this machine could enforce it.

Not here: what only Envoy knows (`gateway.publishing.validation`) and what other processes of the gateway's user hold
(`gateway.publishing.watches`): the gateway asks for both before it publishes.
"""

from __future__ import annotations

import os

from doorward.core.names import OWN_AUTHORITY
from doorward.gateway.publishing.watches import Room, check_watches, envoys_of_user, survey_room, watch_limit
from doorward.policy.model import Document


def check_publishable(document: Document) -> None:
    """Raise `ConfigurationError` (`watches-exhausted`) if Envoy could not watch the files of so many doors."""
    trusts = sum(app.trust != (OWN_AUTHORITY,) or app.admits_anonymous for app in document.apps)
    # Root gives itself up: the gateway counts what its own user holds.
    room = survey_room(envoys_of_user()) if os.geteuid() else Room(limit=watch_limit())
    check_watches(len(document.apps) + 1, room, trusts=trusts)
