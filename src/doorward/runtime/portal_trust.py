"""Whether a document needs second factors that browsers cannot enrol, because they do not trust the portal.

Not here: the portal's certificate itself (`gateway.publishing`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.policy.factor_words import may_require_factors
from doorward.runtime import lazy
from doorward.runtime.compose import Installation
from doorward.stores.protocols import Stores

if TYPE_CHECKING:
    from doorward.policy.model import Document

TROUBLE = "browsers do not trust the portal's certificate, and make no passkey there"
MEND = "set portal_certificate and portal_key, or portal_from_acme, or root_is_deployed = true, in doorward.toml, and start again"
UNTRUSTED = f"{TROUBLE}: {MEND}"
"""The warning if rules need second factors, and no setting says that browsers trust the portal."""


def is_trust_missing(installation: Installation, document: Document) -> bool:
    """Return whether a document asks for second factors, and no setting says that browsers trust the portal."""
    return document.requires_factors and not installation.is_portal_trusted()


def is_trust_missing_in_force(installation: Installation, stores: Stores) -> bool:
    """Return the same of the document in force; most documents are not parsed for it.

    Raises:
        NotFound, IntegrityError: as `current_document`.
    """
    latest = None if installation.is_portal_trusted() else stores.revisions.latest()
    if latest is None or not may_require_factors(latest.document):
        return False
    return is_trust_missing(installation, lazy.policy_snapshot.current_document(stores)[0])


def tell_missing_trust(installation: Installation, text: str, *, file: str) -> list[str]:
    """Return the warning about a document before it is in force; raise as `parse_document` does."""
    return (
        [UNTRUSTED] if is_trust_missing(installation, lazy.document.parse_document(text, file=file)) else []
    )
