"""Facts that an agent reports about itself and its machine; they are for the inventory and decide nothing.

Not here: who may report (enrolment.renewal).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from doorward.core.errors import MalformedInput
from doorward.stores.services import Services
from doorward.wire.json_object import parse_json_object

FACTS_LIMIT = 4096
"""Bytes of JSON."""

TEXT_LIMIT = 200
"""Characters of each text."""

_TEXTS = ("host_name", "system", "agent_version", "store")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """What an agent said; a text is empty, and `next_renewal` None, if it did not say it. No fact is proven."""

    host_name: str = ""
    system: str = ""
    agent_version: str = ""
    store: str = ""
    next_renewal: datetime | None = None


def parse_facts(data: bytes) -> DeviceFacts:
    """Return the facts of a report; unknown members are ignored, because a newer agent may send more.

    Args:
        data: a JSON object of at most 4 KiB; each text has at most 200 printable characters.

    Raises:
        MalformedInput: `facts-malformed`.
    """
    if len(data) > FACTS_LIMIT:
        raise _malformed(f"the facts may have {FACTS_LIMIT} bytes at most")
    members = parse_json_object(data, code="facts-malformed", what="the report of facts")
    texts = {name: _parse_text(name, members.get(name, "")) for name in _TEXTS}
    return DeviceFacts(**texts, next_renewal=_parse_moment(members.get("next_renewal")))


def record_facts(services: Services, certificate_id: str, facts: DeviceFacts) -> None:
    """Store what an agent said about the machine of a certificate. The store is not made yet: the facts are dropped."""


def _parse_text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > TEXT_LIMIT or not value.isprintable():
        raise _malformed(f"{name} must be a text of at most {TEXT_LIMIT} printable characters")
    return value


def _parse_moment(value: object) -> datetime | None:
    """Return a moment of RFC 3339 in UTC."""
    if value is None:
        return None
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise _malformed("next_renewal must be a moment in UTC, such as 2027-01-31T12:00:00Z")


def _malformed(why: str) -> MalformedInput:
    return MalformedInput("facts-malformed", why)
