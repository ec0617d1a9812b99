"""Lists the applications in force. Reads only."""

from __future__ import annotations

from doorward.policy.model import AppPolicy
from doorward.stores.policy_snapshot import current_document
from doorward.stores.services import Services


def list_applications(services: Services) -> list[tuple[AppPolicy, str]]:
    """Return the applications of the document in force with their ids, in its order; raises as `current_document`."""
    with services.work.read() as stores:
        document, _ = current_document(stores)
        ids = {one.name: one.id for one in stores.applications.list()}
    return [(one, ids.get(one.name, "")) for one in document.apps]
