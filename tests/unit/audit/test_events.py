"""Every event that can be constructed is valid."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from doorward.audit.events import (
    CATALOGUE,
    MAX_PUBLIC_CHARACTERS,
    Event,
    EventType,
    Retention,
    build_event,
)
from doorward.audit.values import MAX_STRING
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput
from tests.support.events import ALICE, BOB, principal_suspended, request_answered
from tests.support.ports import NOON


def make(**changes: Any) -> Event:
    """Return a valid event with these changes."""
    return build_event(
        **{
            "id": "evt_1",
            "type": EventType.REQUEST_ANSWERED,
            "at": NOON,
            "tenant": TENANT,
            "actor": ALICE,
            "data": {"gateway": "gtw_1", "method": "GET", "status": 200},
            "personal": {"source": "203.0.113.9"},
        }
        | changes
    )


def with_data(**data: Any) -> Event:
    """Return a valid event with these public fields."""
    return make(data={"gateway": "gtw_1", "method": "GET", "status": 200} | data)


def test_values_are_taken_as_use_cases_have_them() -> None:
    """Datetimes are rendered, lists become tuples, None is left out, fields come out sorted."""
    event = with_data(started_at=NOON, rules=["b", "a"], application=None, connection="c1")
    assert dict(event.data) == {
        "connection": "c1",
        "gateway": "gtw_1",
        "method": "GET",
        "rules": ("b", "a"),
        "started_at": "2026-11-23T12:00:00.000000Z",
        "status": 200,
    }
    assert list(event.data) == sorted(event.data)
    assert make(personal={"source": None}).personal == {}
    assert make(personal=None).personal == {}


def test_events_cannot_be_changed() -> None:
    """Neither the fields given nor the fields read back change an event."""
    personal = {"source": "203.0.113.9"}
    event = make(personal=personal)
    personal["source"] = "198.51.100.1"
    assert event.personal["source"] == "203.0.113.9"
    with pytest.raises(TypeError):
        event.data["status"] = 404  # type: ignore[index]


def test_the_class_of_retention_is_the_type_s() -> None:
    """The retention class follows from the type."""
    assert make().retention is Retention.ACCESS
    assert principal_suspended(1).retention is Retention.IDENTITY


@pytest.mark.parametrize(("field", "subject"), [("source", ALICE), ("name", BOB)])
def test_a_personal_field_is_about_somebody(field: str, subject: str) -> None:
    """An administrator's address is about the administrator, a name is about the principal."""
    assert principal_suspended(1, actor=ALICE, principal=BOB).subject_of(field) == subject


def test_an_address_is_the_caller_s() -> None:
    """In a request, the address is about the caller, or about the actor if the caller is unknown."""
    assert request_answered(1, principal=BOB).subject_of("source") == BOB
    assert make(actor="system").subject_of("source") == "system"


@pytest.mark.parametrize("actor", ["per_a", "os:1000", "system", "gtw_1"])
def test_actors(actor: str) -> None:
    """Actors are opaque ids, users of the operating system, or the system itself."""
    assert make(actor=actor).actor == actor


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "request:answered"}, "type"),
        ({"type": None}, "type"),
        ({"id": "1"}, "id"),
        ({"id": 1}, "id"),
        ({"tenant": "default"}, "tenant"),
        ({"actor": "alice"}, "actor"),
        ({"actor": "os:alice"}, "actor"),
        ({"data": {"gateway": "gtw_1", "method": "GET"}}, "status"),
        ({"data": {"gateway": "gtw_1", "method": "GET", "status": "200"}}, "status"),
        ({"data": {"gateway": "gtw_1", "method": "GET", "status": 200, "path": "/"}}, "path"),
        ({"data": {"gateway": "gtw_1", "method": "GET", "status": 200, 7: 8}}, "7"),
        ({"personal": {"display_name": "Alice"}}, "display_name"),
        ({"personal": {"path": "/a\nb"}}, "path"),
        ({"personal": {"path": 7}}, "path"),
        ({"personal": {"bad\nname": "x"}}, "bad\\x0aname"),
        ({"personal": {f"p{number}": "" for number in range(30)}}, "event"),
    ],
)
def test_values_outside_of_the_catalogue_are_refused(changes: dict[str, Any], field: str) -> None:
    """Unknown types and fields, missing fields and wrong values are refused; the error names the field."""
    with pytest.raises(MalformedInput) as caught:
        make(**changes)
    assert caught.value.code == "event-malformed"
    assert caught.value.context["field"] == field


def test_a_naive_time_is_refused() -> None:
    """A time without a time zone is refused."""
    with pytest.raises(MalformedInput):
        make(at=datetime(2026, 1, 1))  # noqa: DTZ001  # that is the point


def test_the_value_is_not_in_the_error() -> None:
    """Errors are logged, so they never repeat a personal value."""
    with pytest.raises(MalformedInput) as caught:
        make(personal={"path": "/patients/jane-doe\n"})
    assert "jane" not in str(caught.value) + repr(caught.value.context)


@pytest.mark.parametrize(
    ("count", "fits"), [(MAX_PUBLIC_CHARACTERS // 256 - 1, True), (MAX_PUBLIC_CHARACTERS // 256, False)]
)
def test_public_values_are_limited_together(count: int, fits: bool) -> None:  # noqa: FBT001  # a table
    """All public values together have a limit, so that a leaf has one."""
    rules = [f"{number:03d}".ljust(256, "r") for number in range(count)]
    if fits:
        assert len(with_data(rules=rules).data["rules"]) == count  # type: ignore[arg-type]
    else:
        with pytest.raises(MalformedInput) as caught:
            with_data(rules=rules)
        assert caught.value.context["field"] == "data"


def test_every_claim_of_a_peer_can_be_recorded() -> None:
    """A refusal with all personal fields at their longest is still a valid event."""
    spec = CATALOGUE[EventType.CONNECTION_REFUSED]
    event = make(
        type=EventType.CONNECTION_REFUSED,
        data={"gateway": "gtw_1", "reasons": ["issuer-unknown"]},
        personal=dict.fromkeys(spec.personal, "\N{GRINNING FACE}" * MAX_STRING),
    )
    assert event.personal.keys() == spec.personal
