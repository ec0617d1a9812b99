"""Reads events: the newest that match a filter, new ones as they come, and all that mention an id.

Not here: describing them (`event_lines`), verifying (`evidence`). An event is in the log within a second, if
`doorward serve` runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import structlog

from doorward.audit.catalogue import list_event_names
from doorward.audit.index import term_of
from doorward.audit.searching import Found, SearchedStore, find_mentions, find_requests, list_places
from doorward.authority.inventory import find_certificate
from doorward.core.entities import Principal, PrincipalKind
from doorward.core.errors import MalformedInput, NotFound
from doorward.core.names import PORTAL_APPLICATION, PORTAL_AUDIENCE
from doorward.runtime.compose import Installation
from doorward.runtime.event_lines import result_of
from doorward.runtime.evidence import Evidence, read_events
from doorward.stores.prerequisites import require_principal, require_tenant
from doorward.stores.services import Services

_log = structlog.get_logger("doorward.reading")
MOST_FOUND = 200
"""How many events that mention an id are shown: the newest."""
SLACK = timedelta(minutes=5)
"""How far the order of the log may differ from the order of time."""

_SPAN = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_KINDS = frozenset(kind.value for kind in PrincipalKind)
_MENTIONED = re.compile(r"[A-Za-z0-9_.:-]{6,128}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A filter of events; an empty field excludes none."""

    principal_id: str = ""
    application_id: str = ""
    certificate_id: str = ""
    event: str = ""
    result: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event matches."""
        data, kind = event.get("data", {}), str(event.get("type", ""))
        return (
            (not self.principal_id or self.principal_id in (data.get("principal"), event.get("actor")))
            and (not self.application_id or data.get("application") == self.application_id)
            and (
                not self.certificate_id
                or self.certificate_id in (data.get("certificate"), data.get("replaces"))
            )
            and (not self.event or kind == self.event or kind.startswith(f"{self.event}:"))
            and (not self.result or result_of(event) == self.result)
            and self._is_in_time(str(event.get("at", "")))
        )

    def terms(self) -> list[bytes]:
        """Return the terms under which every matching event is indexed."""
        ids = (self.principal_id, self.application_id, self.certificate_id)
        return [term for one in ids if (term := term_of(one)) is not None]

    def _is_in_time(self, text: str) -> bool:
        if self.since is None and self.until is None:
            return True
        at = datetime.fromisoformat(text)
        return (self.since is None or at >= self.since) and (self.until is None or at <= self.until)


class Reader:
    """The events of one installation, and the names of the ids in them."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._log = installation.event_log
        self._evidence = Evidence(installation)
        self._principals: dict[str, str] = {}

    # names

    def principal(self, principal_id: str) -> str:
        """Return `person/alice`, or the id if it is unknown."""
        if principal_id not in self._principals:
            with self._installation.services.work.read() as stores:
                found = stores.directory.get(principal_id)
            self._principals[principal_id] = f"{found.kind.value}/{found.name}" if found else principal_id
        return self._principals[principal_id]

    def application(self, application_id: str) -> str:
        """Return the application's name, or the id if it was removed."""
        return self._applications.get(application_id, application_id)

    @cached_property
    def _applications(self) -> dict[str, str]:
        with self._installation.services.work.read() as stores:
            names = {one.id: one.name for one in stores.applications.list()}
        return {**names, PORTAL_APPLICATION: PORTAL_AUDIENCE}

    def wanted(
        self,
        *,
        person: str = "",
        application: str = "",
        certificate: str = "",
        event: str = "",
        result: str = "",
        since: str = "",
        until: str = "",
    ) -> Wanted:
        """Return the filter that the options describe.

        Raises:
            NotFound: `principal-unknown`, `application-unknown`, `certificate-unknown`.
            MalformedInput: `time-malformed`, `event-unknown`.
            RequestRefused: as `find_certificate`.
        """
        services, now = self._installation.services, self._installation.services.clock.now()
        return Wanted(
            principal_id=find_recorded_principal(services, person).id if person else "",
            application_id=self._application_id(application) if application else "",
            certificate_id=find_certificate(services, certificate).id if certificate else "",
            event=_require_event(event) if event else "",
            result=result,
            since=parse_moment(since, now) if since else None,
            until=parse_moment(until, now) if until else None,
        )

    def _application_id(self, name: str) -> str:
        found = next((key for key, value in self._applications.items() if name in (key, value)), None)
        if found is None:
            raise NotFound(
                "application-unknown", f"there is no application {name}", hint="`doorward app list`"
            )
        return found

    # events

    def size(self) -> int:
        """Return the number of events in the log."""
        return self._evidence.size()

    def newest(self, wanted: Wanted, most: int, *, end: int) -> list[dict[str, Any]]:
        """Return the newest matching events before number `end`, at most so many, oldest first."""
        found: list[dict[str, Any]] = []
        first = self._begin(wanted.since, end) if wanted.since is not None else 0
        with self._log.read() as store:
            for place in list_places(store, wanted.terms(), end):
                if place.end <= first or len(found) >= most:
                    break
                events = read_events(store, max(first, place.start), place.end)
                found[:0] = [one for one in events if wanted.matches(one)]
        return found[-most:] if most else []

    def coming(self, start: int) -> Iterator[dict[str, Any]]:
        """Yield all events from a number on."""
        return self._evidence.events(start)

    def mentioning(self, text: str) -> list[dict[str, Any]]:
        """Return the newest events that hold this id as a whole value, oldest first.

        Raises:
            MalformedInput: `id-malformed`.
        """
        if not _MENTIONED.fullmatch(text):
            raise MalformedInput(
                "id-malformed",
                "this is not an id: 6 to 128 letters, digits and the signs _ . : -",
                hint="a request's id is on the page of a refusal; ids of events and certificates in `doorward audit tail`",
            )
        return self._found(find_mentions, text)

    def of_incident(self, digits: str) -> list[dict[str, Any]]:
        """Return the newest events of requests with an id that begins with these eight digits, oldest first."""
        return self._found(find_requests, digits)

    def _found(self, find: Callable[[SearchedStore, str, int], Found], text: str) -> list[dict[str, Any]]:
        with self._log.read() as store:
            found = find(store, text, MOST_FOUND)
            events = [
                one for number in sorted(found.numbers) for one in read_events(store, number, number + 1)
            ]
        if found.misled:
            _log.warning(
                "the index of the log named events that do not have this id; `doorward audit verify` compares it with the log",
                groups=found.misled,
            )
        return events

    def _between(self, start: int, end: int) -> Iterator[dict[str, Any]]:
        return self._evidence.events(start, end)

    def _begin(self, since: datetime, size: int) -> int:
        """Return a number before which no event matches: events are in order of time within `SLACK`."""
        low, high = 0, size
        while low < high:
            middle = (low + high) // 2
            event = next(self._between(middle, middle + 1), None)
            if event is not None and datetime.fromisoformat(event["at"]) < since - SLACK:
                low = middle + 1
            else:
                high = middle
        return low


def parse_moment(text: str, now: datetime) -> datetime:
    """Return a moment: a duration ago (`10m`, `2h`, `3d`), or a date and time (UTC if it has no zone).

    Raises:
        MalformedInput: `time-malformed`.
    """
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            return now - timedelta(seconds=int(span[1]) * _SECONDS[span[2]])
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedInput(
            "time-malformed",
            f"{text[:40]} is not a time",
            hint="write a duration such as 10m, 2h or 3d, or a date such as 2026-11-29 or 2026-11-29T10:00",
        ) from None


def _require_event(name: str) -> str:
    """Return a type of event, or the noun of several; refuse a misspelt one, which would silently match nothing."""
    known = list_event_names()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else "docs/reference/events.md lists them, such as certificate:revoked"
        )
        raise MalformedInput("event-unknown", f"there is no event named {name}", hint=hint)
    return name


def find_recorded_principal(services: Services, text: str) -> Principal:
    """Return the principal that a text names; its values may be erased, so it is never taken for another.

    Args:
        services: the ports of this process.
        text: an id, also of a removed principal; a whole name, such as `alice`, `svc_backup` or `acme/alice` of a partner;
            or `person/alice`, as events show it, if no principal has this as its whole name.

    Raises:
        NotFound: `principal-unknown`, `not-founded`.
        RequestRefused: `principal-kind`: the principal of that name is of another kind.
    """
    kind, _, name = text.partition("/")
    with services.work.read() as stores:
        require_tenant(stores)
        found = stores.directory.get(text) or stores.directory.by_name(text)
        if found is None and kind in _KINDS and stores.directory.by_name(name) is not None:
            found = require_principal(stores, name, PrincipalKind(kind))
    if found is None:
        raise NotFound(
            "principal-unknown",
            f"there is no person, device or service named {text[:64]}",
            hint="`doorward person list` shows the names of persons; give the id of one that was removed: "
            "`doorward audit tail --event principal:removed --json` shows it",
        )
    return found
