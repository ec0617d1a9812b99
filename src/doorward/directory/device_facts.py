"""Facts that an agent reports about itself and its machine; they are for the inventory and decide nothing.

They are removed with their principal (docs/design/0082).
Not here: who may report (enrolment.renewal).
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from doorward.core.errors import MalformedInput, Unavailable
from doorward.stores.fact_protocols import ReportedFacts
from doorward.stores.services import Services
from doorward.wire.json_object import parse_json_object

FACTS_LIMIT = 4096
"""Bytes of JSON."""

TEXT_LIMIT = 200
"""Characters of each text."""

SAME_AGAIN = timedelta(hours=1)
"""The same facts are written again after this time, so that the inventory shows that the agent is alive."""

_TEXTS = ("host_name", "system", "agent_version", "store")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z", re.ASCII)


def parse_facts(data: bytes) -> ReportedFacts:
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
    return ReportedFacts(**texts, next_renewal=_parse_moment(members.get("next_renewal")))


def record_facts(services: Services, certificate_id: str, facts: ReportedFacts) -> None:
    """Store what an agent said about the machine of a certificate, for the inventory.

    The same facts within an hour are not written again, so that an agent that reports too often costs reads only. If the
    database has no room or no time, the facts are dropped: the agent reports again, and its answer must not wait.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        known = stores.facts.of([certificate_id]).get(certificate_id)
    if known and known.reported == facts and known.reported_at and now - known.reported_at < SAME_AGAIN:
        return
    with suppress(Unavailable), services.work.change(traffic=True) as stores:
        stores.facts.report(certificate_id, facts, now)


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
