"""Looking up incident ids for the help desk: who may do it, how often, and the event for each look-up.

Not here: the look-up itself (`runtime.explaining`, passed in), and the page (web.portal.help_desk).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from doorward.audit.events import EventType
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.directory.callers import Caller
from doorward.stores.events import new_event
from doorward.stores.services import Services

WINDOW_SECONDS = 60.0
MOST_LOOKUPS = 30
"""By one person in a minute: more than a person can read, and too few to guess ids."""

MOST_PEOPLE = 1000
"""How many people have a count; beyond that the oldest count is forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The explanation of one id.

    Args:
        title: what the id stands for.
        facts: pairs of name and value.
        lines: the related events.
        hints: what to do, mostly commands.
        value: the same facts for `--json`.
        application: name of the application concerned; empty if there is none.
        reasons: the reason codes of a refusal, of `core.entities.Reason` and of Envoy's rules; empty if nothing was refused.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    lines: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    value: Mapping[str, Any] = field(default_factory=dict)
    application: str = ""
    reasons: tuple[str, ...] = ()


Explain = Callable[[str], Explained]
"""Explains an id; raises `NotFound` or `MalformedInput`."""


class HelpDesk:
    """Lets the members of one group look up ids.

    Args:
        services: the ports of this process.
        group: name of the group; members of groups in it count too.
        explain: explains an id.
    """

    def __init__(self, services: Services, group: str, explain: Explain) -> None:
        self._services = services
        self._group = group
        self._explain = explain
        self._counts: dict[str, tuple[float, int]] = {}

    def is_open_to(self, caller: Caller) -> bool:
        """Say whether the caller belongs to the help desk now."""
        with self._services.work.read() as stores:
            principal = stores.directory.get(caller.principal_id)
        return principal is not None and self._group in principal.groups

    def count(self, caller: Caller) -> None:
        """Count a look-up; must be called on one event loop only.

        Raises:
            RequestRefused: `lookups-too-many`.
        """
        now = self._services.clock.monotonic()
        began, number = self._counts.pop(caller.principal_id, (now, 0))
        if now - began >= WINDOW_SECONDS:
            began, number = now, 0
        self._counts[caller.principal_id] = (began, number + 1)
        if len(self._counts) > MOST_PEOPLE:
            del self._counts[next(iter(self._counts))]
        if number >= MOST_LOOKUPS:
            raise RequestRefused(
                "lookups-too-many",
                f"more than {MOST_LOOKUPS} ids were looked up within a minute",
                hint="wait a minute; `doorward audit tail` lists many events at once",
                retry_after_seconds=max(1, round(began + WINDOW_SECONDS - now)),
            )

    def look_up(self, caller: Caller, text: str) -> Explained | None:
        """Return the explanation of an id; None if the id is unknown. The event is stored before the answer is shown.

        The event does not contain an unknown id: the text may be a name.
        """
        try:
            found = self._explain(text)
        except (NotFound, MalformedInput) as error:
            self._record(caller, reason=error.code)
            return None
        self._record(caller, incident=text)
        return found

    def _record(self, caller: Caller, *, incident: str = "", reason: str = "") -> None:
        event = new_event(
            self._services,
            EventType.INCIDENT_EXPLAINED,
            actor=caller.principal_id,
            data={
                "principal": caller.principal_id,
                "incident": "".join(incident.split()),
                "certificate": caller.certificate_id,
                "reason": reason,
            },
            personal={"name": caller.name, "source": caller.source},
        )
        with self._services.work.change() as stores:
            stores.outbox.add(event)
