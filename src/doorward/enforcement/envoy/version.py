"""Versions of resources."""

from __future__ import annotations

import hashlib

VERSION_LENGTH = 24
"""Hex digits of a version: 96 bits."""


def version_of(content: bytes) -> str:
    """Return the version of a content: its SHA-256, shortened."""
    return hashlib.sha256(content).hexdigest()[:VERSION_LENGTH]
