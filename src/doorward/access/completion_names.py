"""Names for completion on the command line: applications, partners, authorities, revisions. Reads only.

It imports no module that reads documents or decides: a person waits for the completion (docs/design/0049).
"""

from __future__ import annotations

from doorward.stores.records import AuthorityKind
from doorward.stores.services import Services

MOST_REVISIONS = 100
"""At most so many revisions are offered, the newest first."""


def list_application_names(services: Services) -> list[str]:
    """Return the names of the applications in force."""
    with services.work.read() as stores:
        return [one.name for one in stores.applications.list()]


def list_partner_names(services: Services) -> list[str]:
    """Return the names of the trusted partners."""
    with services.work.read() as stores:
        return [one.name for one in stores.partners.list()]


def list_issuer_ids(services: Services) -> list[str]:
    """Return the ids of the authorities that may issue client certificates: our own, and those of partners."""
    with services.work.read() as stores:
        own = [one.id for one in stores.authorities.list() if one.kind is AuthorityKind.ISSUING]
        partners = {one.id for one in stores.partners.list()}
        return [*own, *(one.id for one in stores.partners.every_authority() if one.partner_id in partners)]


def list_revision_numbers(services: Services) -> list[int]:
    """Return the numbers of the newest revisions of the document, newest first."""
    with services.work.read() as stores:
        return [one.number for one in stores.revisions.list(MOST_REVISIONS)]
