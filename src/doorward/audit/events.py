"""Events: what happened, checked against the closed catalogue before it can exist.

Not here: how an event is written and committed to (`leaf`), and where it is kept (`log`).

An `Event` that exists is valid: known type, all required fields, no unknown field, every value
within the stated limits, no control character (a forged line break in a log is the oldest trick),
no lone surrogate (it has no UTF-8 form, so it has no canonical leaf).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeGuard

from doorward.audit.catalogue import ACTOR_FIELDS, CATALOGUE, EventSpec, EventType, FieldKind, Retention
from doorward.core.errors import MalformedInput

__all__ = [
    "ACTOR_FIELDS",
    "CATALOGUE",
    "MAX_FIELDS",
    "MAX_ITEMS",
    "MAX_PERSONAL_CHARACTERS",
    "MAX_PUBLIC_CHARACTERS",
    "MAX_STRING",
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

Value = str | int | bool | tuple[str, ...]
"""What a public field holds once the event is built."""

MAX_FIELDS = 32
"""Fields of one event, public and personal together; the widest row of the catalogue has 22."""
MAX_STRING = 2048
"""Characters of one string; Envoy's request headers are capped at 60 KiB, a path in practice at 2,048."""
MAX_ITEMS = 256
"""Items of one list; grants are capped at 4 KiB on the wire, which is fewer ids than this."""
MAX_PUBLIC_CHARACTERS = 8192
"""Characters of all public values together: with four bytes a character a leaf stays under 64 KiB."""
MAX_PERSONAL_CHARACTERS = 16384
"""Characters of all personal values together: what one export line must be able to carry."""
MAX_INTEGER = 2**53 - 1
"""RFC 8785 section 3.2.2.3: beyond this a number is not the same in every JSON implementation."""

_ID = re.compile(r"[a-z]{3}_[a-z0-9]{1,40}", re.ASCII)
_ACTOR = re.compile(r"[a-z]{3}_[a-z0-9]{1,40}|os:[0-9]{1,10}|system", re.ASCII)
_TOKEN = re.compile(r"[!-~]{1,256}", re.ASCII)
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPED = re.compile(_UNSAFE.pattern[:-1] + r"\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened; constructing one checks it against the catalogue.

    Args:
        id: `evt_` and an opaque part, unique for ever.
        type: a row of the catalogue.
        at: when it happened, aware, UTC.
        tenant: the tenant's id.
        actor: who did it: an opaque id, `os:<uid>`, or `system` for what happens by itself.
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
        spec = CATALOGUE[self.type]
        _check_envelope(self.id, self.at, self.tenant, self.actor)
        data, personal = dict(self.data), dict(self.personal)
        if len(data) + len(personal) > MAX_FIELDS:
            raise _malformed(self.type, "event", f"has more than {MAX_FIELDS} fields")
        for name in spec.required:
            if name not in data:
                raise _malformed(self.type, name, "is required")
        _check_size(self.type, "data", sum(_check_public(self.type, spec, *item) for item in data.items()))
        _check_size(
            self.type, "personal", sum(_check_personal(self.type, spec, *item) for item in personal.items())
        )
        object.__setattr__(self, "data", MappingProxyType(data))
        object.__setattr__(self, "personal", MappingProxyType(personal))

    @property
    def retention(self) -> Retention:
        """How long the personal fields are kept."""
        return CATALOGUE[self.type].retention

    def subject_of(self, name: str) -> str:
        """Return the id that a personal field is about: the actor, or the principal that was acted on."""
        principal = self.data.get("principal")
        return self.actor if name in ACTOR_FIELDS or not isinstance(principal, str) else principal


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
    """Build an event from the types that use cases have at hand.

    Args:
        id: `evt_` and an opaque part, unique for ever.
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
            values[name] = value  # type: ignore[assignment]  # Event judges whatever is left
    return Event(
        id=id,
        type=type,
        at=at,
        tenant=tenant,
        actor=actor,
        data=values,
        personal={name: text for name, text in (personal or {}).items() if text is not None},
    )


def render_moment(moment: datetime) -> str:
    """Return an aware UTC datetime as RFC 3339 text with microseconds and `Z`: one moment, one text.

    Raises:
        MalformedInput: `event-malformed` where the datetime is naive or not UTC.
    """
    if moment.utcoffset() != timedelta(0):
        raise MalformedInput("event-malformed", "a moment of an event must be aware and in UTC")
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def printable(text: str, limit: int = MAX_STRING) -> str:
    r"""Return hostile text in a form that a personal or TEXT field accepts.

    Control characters, direction overrides, lone surrogates and the backslash itself become
    `\xNN` or `\uNNNN`, so that two different texts never look the same; what is longer than
    `limit` characters (at least 1) ends in an ellipsis.
    """
    safe = _ESCAPED.sub(_escape, text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + "\u2026"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004  # one byte, two digits


def _malformed(event: EventType, name: str, problem: str) -> MalformedInput:
    # The value is not repeated: it may be personal, and errors end up in logs.
    return MalformedInput(
        "event-malformed", f"{event.value}: {name} {problem}", event=event.value, field=name
    )


def _check_envelope(event_id: str, at: datetime, tenant: str, actor: str) -> None:
    render_moment(at)
    for name, value, pattern in (("id", event_id, _ID), ("tenant", tenant, _ID), ("actor", actor, _ACTOR)):
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise MalformedInput("event-malformed", f"the event's {name} is not an opaque id", field=name)


def _check_size(event: EventType, part: str, characters: int) -> None:
    limit = MAX_PUBLIC_CHARACTERS if part == "data" else MAX_PERSONAL_CHARACTERS
    if characters > limit:
        raise _malformed(event, part, f"is longer than {limit} characters together")


def _check_public(event: EventType, spec: EventSpec, name: str, value: object) -> int:
    """Return the length of a public value in characters, or raise."""
    kind = spec.kind(name)
    if kind is None:
        raise _malformed(event, printable(str(name), 64), "is not a public field of this type")
    length = public_length(kind, value)
    if length is None:
        raise _malformed(event, name, f"is not a valid {kind.value}")
    return length


def public_length(kind: FieldKind, value: object) -> int | None:
    """Return how many characters a public value takes, or None where it is not of that kind."""
    match kind:
        case FieldKind.FLAG:
            return 5 if type(value) is bool else None
        case FieldKind.INTEGER:
            # type() and not isinstance: a bool is an int, and 1 and true are two different leaves.
            return 16 if type(value) is int and abs(value) <= MAX_INTEGER else None
        case FieldKind.TOKENS:
            if not isinstance(value, tuple) or len(value) > MAX_ITEMS:
                return None
            if not all(isinstance(item, str) and _TOKEN.fullmatch(item) for item in value):
                return None
            return sum(map(len, value))
        case FieldKind.TEXT:
            return len(value) if _is_line(value) else None
        case FieldKind.MOMENT:
            return len(value) if isinstance(value, str) and _is_moment(value) else None
        case FieldKind.ID | FieldKind.TOKEN:
            return len(value) if isinstance(value, str) and _PATTERNS[kind].fullmatch(value) else None


_PATTERNS = {FieldKind.ID: _ID, FieldKind.TOKEN: _TOKEN}


def _is_moment(text: str) -> bool:
    try:
        return render_moment(datetime.fromisoformat(text)) == text
    except (ValueError, MalformedInput):
        return False


def _check_personal(event: EventType, spec: EventSpec, name: str, value: object) -> int:
    """Return the length of a personal value in characters, or raise."""
    if name not in spec.personal:
        raise _malformed(event, printable(str(name), 64), "is not a personal field of this type")
    if not _is_line(value):
        raise _malformed(event, name, f"is not one line of at most {MAX_STRING} characters")
    return len(value)


def _is_line(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= MAX_STRING and not _UNSAFE.search(value)
