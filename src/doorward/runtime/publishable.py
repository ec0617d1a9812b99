"""What is known before a document is stored: whether the gateway of this machine could enforce it.

Not here: what only Envoy knows (`gateway.validation`), which the gateway asks before it publishes.
"""

from __future__ import annotations

from doorward.core.names import OWN_AUTHORITY
from doorward.gateway.watches import check_watches, watch_limit
from doorward.policy.model import Document


def check_publishable(document: Document) -> None:
    """Raise `ConfigurationError` (`watches-exhausted`) where Envoy could not watch the files of so many doors."""
    trusts = sum(app.trust != (OWN_AUTHORITY,) for app in document.apps)
    check_watches(len(document.apps) + 1, watch_limit(), trusts=trusts)
