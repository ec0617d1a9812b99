"""Events: values that are checked against the closed catalogue when they are constructed.

Not here: the encoding of events and the commitments (`leaf`), storing them (`log`).

Every `Event` is valid: its type is known, it has all required fields and no unknown field, and every value is of
its kind and within the limits (`values`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from doorward.audit.catalogue import ACTOR_FIELDS, CATALOGUE, EventSpec, EventType, FieldKind, Retention
from doorward.audit.values import (
    ACTOR,
    ID,
    INVALID,
    MAX_STRING,
    Value,
    line_length,
    printable,
    render_moment,
    require_utc,
    value_length,
)
from doorward.core.errors import MalformedInput

__all__ = [
    "ACTOR_FIELDS",
    "CATALOGUE",
    "MAX_FIELDS",
    "MAX_PUBLIC_CHARACTERS",
    "Event",
    "EventSpec",
    "EventType",
    "FieldKind",
    "Retention",
    "Value",
    "build_event",
    "printable",
    "render_moment",
]

MAX_FIELDS = 32
"""Fields of one event, public and personal together; the widest row of the catalogue has 22."""
MAX_PUBLIC_CHARACTERS = 8192
"""Characters of all public values together; at four bytes per character a leaf stays below 64 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event; the constructor checks it against the catalogue.

    Args:
        id: `evt_` and an opaque part, never used again.
        type: a row of the catalogue.
        at: when it happened, aware, UTC.
        tenant: the tenant's id.
        actor: who did it: an opaque id, `os:<uid>`, or `system` for an automatic action.
        data: the public fields; `MOMENT` fields as RFC 3339 text, lists as tuples.
        personal: the personal fields, as text.

    Raises:
        MalformedInput: `event-malformed`, naming the field and never its value.
    """

    id: str
    type: EventType
    at: datetime
    tenant: str
    actor: str
    data: Mapping[str, Value] = field(hash=False)
    personal: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _check_envelope(self)
        data, personal = dict(self.data), dict(self.personal)  # copied, so that the caller cannot change them
        spec = CATALOGUE[self.type]
        if len(data) + len(personal) > MAX_FIELDS:
            raise _malformed(self.type, "event", f"has more than {MAX_FIELDS} fields")
        for name in spec.required - data.keys():
            raise _malformed(self.type, name, "is required")
        _check_public(self.type, spec, data)
        _check_personal(self.type, spec, personal)
        # Sorted, so that leaf and openings have the same order.
        object.__setattr__(self, "data", MappingProxyType(dict(sorted(data.items()))))
        object.__setattr__(self, "personal", MappingProxyType(dict(sorted(personal.items()))))

    @property
    def retention(self) -> Retention:
        """The retention class of the personal fields."""
        return CATALOGUE[self.type].retention

    def subject_of(self, name: str) -> str:
        """Return the id that a personal field is about: the actor, or the principal in the event."""
        principal = self.data.get("principal")
        if name in CATALOGUE[self.type].about_actor or not isinstance(principal, str):
            return self.actor
        return principal


def build_event(
    *,
    id: str,  # noqa: A002  # the field's name
    type: EventType,  # noqa: A002  # the field's name
    at: datetime,
    tenant: str,
    actor: str,
    data: Mapping[str, str | int | bool | datetime | Sequence[str] | None],
    personal: Mapping[str, str | None] | None = None,
) -> Event:
    """Build an event from the types that use cases have.

    Args:
        id: `evt_` and an opaque part, never used again.
        type: a row of the catalogue.
        at: when it happened, aware, UTC.
        tenant: the tenant's id.
        actor: an opaque id, `os:<uid>`, or `system`.
        data: public fields; datetimes (aware) are rendered, sequences become tuples, None is left out.
        personal: personal fields; None is left out.

    Returns:
        A valid event.

    Raises:
        MalformedInput: `event-malformed`, as `Event` does.
    """
    values: dict[str, Value] = {}
    for name, value in data.items():
        if isinstance(value, datetime):
            values[name] = render_moment(value)
        elif isinstance(value, list):
            values[name] = tuple(value)
        elif value is not None:
            values[name] = value  # type: ignore[assignment]  # the constructor of Event checks it
    return Event(
        id=id,
        type=type,
        at=at,
        tenant=tenant,
        actor=actor,
        data=values,
        personal={name: text for name, text in (personal or {}).items() if text is not None},
    )


def _malformed(event: EventType, name: object, problem: str) -> MalformedInput:
    # The value is not repeated: it may be personal, and errors end up in logs.
    shown = printable(str(name), 64)
    return MalformedInput(
        "event-malformed", f"{event.value}: {shown} {problem}", event=event.value, field=shown
    )


def _check_envelope(event: Event) -> None:
    if not isinstance(event.type, EventType):
        raise MalformedInput("event-malformed", "the event's type is not in the catalogue", field="type")
    require_utc(event.at)
    for name, value, pattern in (
        ("id", event.id, ID),
        ("tenant", event.tenant, ID),
        ("actor", event.actor, ACTOR),
    ):
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise MalformedInput("event-malformed", f"the event's {name} is not an opaque id", field=name)


def _check_public(event: EventType, spec: EventSpec, data: Mapping[str, object]) -> None:
    characters = 0
    for name, value in data.items():
        kind = spec.fields.get(name)
        if kind is None:
            raise _malformed(event, name, "is not a public field of this type")
        length = value_length(kind, value)
        if length == INVALID:
            raise _malformed(event, name, f"is not a valid {kind.value}")
        characters += length
    if characters > MAX_PUBLIC_CHARACTERS:
        raise _malformed(event, "data", f"is longer than {MAX_PUBLIC_CHARACTERS} characters together")


def _check_personal(event: EventType, spec: EventSpec, personal: Mapping[str, object]) -> None:
    # No limit for all together: there are at most eight fields, and what a hostile peer claims must fit.
    for name, value in personal.items():
        if name not in spec.personal:
            raise _malformed(event, name, "is not a personal field of this type")
        if line_length(value) == INVALID:
            raise _malformed(event, name, f"is not one line of at most {MAX_STRING} characters")
