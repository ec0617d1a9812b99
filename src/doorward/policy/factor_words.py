"""Whether a document may ask for second factors, by its text alone: most commands load no reader of documents for it.

Not here: reading the document (`document`).
"""

from __future__ import annotations

_WORDS = ("require", "factors", "\\")  # the keys, and what may hide a key: an escape


def may_require_factors(text: str) -> bool:
    """Return False only if no rule and no group of this document can require a second factor."""
    return any(word in text for word in _WORDS)
