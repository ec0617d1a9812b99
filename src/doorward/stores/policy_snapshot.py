"""The policy document in force, as it is stored: parsed, with its number.

Not here: applying and comparing documents (`policies`).
"""

from __future__ import annotations

from doorward.core.errors import ConfigurationError, IntegrityError
from doorward.policy.document import parse_document
from doorward.policy.model import Document
from doorward.stores.protocols import Stores
from doorward.stores.records import RevisionRecord, TenantRecord
from doorward.stores.standing import require_tenant


def current_document(stores: Stores) -> tuple[Document, int]:
    """Return the document in force and its number; the empty document and 0 before the first revision.

    Raises:
        NotFound: `not-founded`.
        IntegrityError: `revision-unreadable`: what is stored was checked when it was stored.
    """
    latest = stores.revisions.latest()
    return (empty_document(require_tenant(stores)), 0) if latest is None else (_parsed(latest), latest.number)


def document_of(stores: Stores, number: int) -> Document | None:
    """Return the document of a revision (the empty one for 0), None where there is none; raises the same."""
    if number == 0:
        return empty_document(require_tenant(stores))
    revision = stores.revisions.get(number)
    return None if revision is None else _parsed(revision)


def _parsed(revision: RevisionRecord) -> Document:
    try:
        return parse_document(revision.document, file=f"revision {revision.number}")
    except ConfigurationError as fault:
        raise IntegrityError(
            "revision-unreadable",
            f"revision {revision.number} of the policy document cannot be read any more: {fault}",
            hint="apply the document anew from your own copy",
        ) from fault


def empty_document(tenant: TenantRecord) -> Document:
    """Return the document before the first revision: no application."""
    return Document(trust_domain=tenant.trust_domain)
