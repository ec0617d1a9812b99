"""Revocation reasons as kebab words: `keyCompromise` in a CRL is `key-compromise` here."""

from __future__ import annotations

from cryptography import x509


def name_reason(reason: x509.ReasonFlags | None) -> str:
    """Return the word; empty if no reason was given."""
    if reason is None:
        return ""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in reason.value)
