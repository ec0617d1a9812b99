"""Caching fields of answers that relying parties may keep, and requests by clients that have the newest version.

Standard: RFC 9111 section 5.2.2, RFC 9110 sections 8.8 and 13.1.2, RFC 5019 section 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime

NO_STORE = {"Cache-Control": "no-store"}


def caching_fields(tag: str, age: timedelta, *, since: datetime, until: datetime) -> dict[str, str]:
    """Return the fields for content that is replaced at `until` or before, and may be kept for `age`."""
    seconds = max(0, int(age.total_seconds()))
    return {
        "Cache-Control": f"public, max-age={seconds}, no-transform, must-revalidate",
        "ETag": tag,
        "Last-Modified": format_datetime(since, usegmt=True),
        "Expires": format_datetime(until, usegmt=True),
    }


def is_cached_by_client(method: str, if_none_match: str, fields: Mapping[str, str]) -> bool:
    """Say whether the client already has the version with these fields.

    Args:
        method: of the request.
        if_none_match: the field of the request, empty if there is none.
        fields: of the answer; only one with an ETag can be known.
    """
    if method not in ("GET", "HEAD") or not if_none_match or "ETag" not in fields:
        return False
    return fields["ETag"] in {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
