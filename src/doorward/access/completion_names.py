"""What there is to name on a command line: applications, partners, authorities, revisions. Reads only.

It loads nothing that reads documents or judges: a person waits for a completion (docs/design/0049).
"""

from __future__ import annotations

from doorward.stores.records import AuthorityKind
from doorward.stores.services import Services

MOST_REVISIONS = 100
"""Revisions that are offered: the newest."""


def list_application_names(services: Services) -> list[str]:
    """Return the names of the applications in force."""
    with services.work.read() as stores:
        return [one.name for one in stores.applications.list()]


def list_partner_names(services: Services) -> list[str]:
    """Return the names of the partners that are trusted."""
    with services.work.read() as stores:
        return [one.name for one in stores.partners.list()]


def list_issuer_ids(services: Services) -> list[str]:
    """Return the ids of the authorities that may issue a client's certificate: our own, and partners'."""
    with services.work.read() as stores:
        own = [one.id for one in stores.authorities.list() if one.kind is AuthorityKind.ISSUING]
        partners = {one.id for one in stores.partners.list()}
        return [*own, *(one.id for one in stores.partners.every_authority() if one.partner_id in partners)]


def list_revision_numbers(services: Services) -> list[int]:
    """Return the numbers of the newest revisions of the document, newest first."""
    with services.work.read() as stores:
        return [one.number for one in stores.revisions.list(MOST_REVISIONS)]
