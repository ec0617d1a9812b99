"""The catalogue of events is closed, total and consistent with itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import doorward
from doorward.audit.catalogue import (
    ACTOR_FIELDS,
    CATALOGUE,
    EventType,
    FieldKind,
    Retention,
    list_event_names,
)

SOURCE = Path(doorward.__path__[0])


def test_every_type_has_a_row() -> None:
    """Every type has a row, and every row a type."""
    assert set(CATALOGUE) == set(EventType)


def test_events_are_asked_for_by_type_or_noun() -> None:
    """Every type and every noun is listed once, sorted."""
    names = list_event_names()
    assert names == sorted(set(names))
    assert {"certificate", "certificate:revoked"} <= set(names)
    assert set(names) >= {one.value for one in EventType}


@pytest.mark.parametrize("event", EventType)
def test_types_are_kebab_words(event: EventType) -> None:
    """Types have the form `noun:past-verb`."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*:[a-z]+(-[a-z]+)*", event.value)


@pytest.mark.parametrize("event", EventType)
def test_no_field_is_public_and_personal(event: EventType) -> None:
    """No field of a type is public and personal, and required fields are fields."""
    spec = CATALOGUE[event]
    assert spec.required <= spec.fields.keys()
    assert not spec.personal & spec.fields.keys() - {"name"}
    assert spec.personal >= ACTOR_FIELDS


def test_a_name_is_public_for_applications_only() -> None:
    """`name` is an application's in two types, and personal in all others."""
    public = {event for event, spec in CATALOGUE.items() if "name" in spec.fields}
    assert public == {EventType.APPLICATION_CREATED, EventType.APPLICATION_REMOVED}
    assert not any("name" in CATALOGUE[event].personal for event in public)


@pytest.mark.parametrize("field", ["source", "path", "san", "display_name", "line", "claimed_subject"])
def test_personal_fields_are_public_in_no_type(field: str) -> None:
    """Addresses, names, paths and unreadable lines are public in no type."""
    assert not any(field in spec.fields for spec in CATALOGUE.values())


def test_unproved_identities_are_called_claimed() -> None:
    """A failed handshake proves nothing, so its event has no principal, certificate, subject or name."""
    spec = CATALOGUE[EventType.HANDSHAKE_FAILED]
    fields = spec.fields.keys() | spec.personal
    assert not fields & {"principal", "certificate", "subject", "san", "name", "sha256", "serial"}
    assert {"claimed_sha256", "claimed_subject", "claimed_san"} <= fields


@pytest.mark.parametrize(
    ("event", "about_actor"),
    [
        (EventType.PRINCIPAL_SUSPENDED, ACTOR_FIELDS),
        (EventType.GATEWAY_STOPPED, ACTOR_FIELDS),
        (EventType.CONNECTION_CUT, frozenset()),
        (EventType.REQUEST_ANSWERED, frozenset()),
    ],
)
def test_an_address_is_about_the_actor_or_the_caller(event: EventType, about_actor: frozenset[str]) -> None:
    """An administrator's address is about the administrator; a connection's is about the caller."""
    assert CATALOGUE[event].about_actor == about_actor


def test_every_field_has_a_writer() -> None:
    """Every field is written by code outside of this room, because a released field stays for ever."""
    words: set[object] = set()
    for path in SOURCE.rglob("*.py"):
        if SOURCE / "audit" not in path.parents:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            words |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    fields = {name for spec in CATALOGUE.values() for name in (*spec.fields, *spec.personal)}
    assert fields <= words


def test_the_widest_event_fits() -> None:
    """No row has more fields than an event is allowed to have."""
    assert max(len(spec.fields) + len(spec.personal) for spec in CATALOGUE.values()) <= 32
    assert max(len(spec.personal) for spec in CATALOGUE.values()) == 6
    assert {spec.retention for spec in CATALOGUE.values()} == set(Retention)
    assert {kind for spec in CATALOGUE.values() for kind in spec.fields.values()} == set(FieldKind)
