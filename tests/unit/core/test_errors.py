"""The error tree."""

from __future__ import annotations

import pytest

from doorward.core.errors import (
    AccessDenied,
    ConfigurationError,
    DoorwardError,
    Fault,
    NotFound,
    RequestRefused,
)


def test_an_error_carries_code_detail_hint_and_context():
    """The error holds everything that an edge renders; its text is the detail."""
    error = RequestRefused("some-code", "it is refused", hint="do that", limit=3)
    assert (error.code, error.detail, error.hint, error.context) == (
        "some-code",
        "it is refused",
        "do that",
        {"limit": 3},
    )
    assert str(error) == "it is refused"


def test_what_is_not_found_is_refused_too():
    """A caller that handles refusals handles missing things."""
    assert issubclass(NotFound, RequestRefused)
    assert issubclass(AccessDenied, DoorwardError)


def test_a_fault_says_where_it_is():
    """File, line and column if known; the key in brackets."""
    assert str(Fault(code="c", message="m")) == "m"
    assert str(Fault(code="c", message="m", key="user")) == "m (user)"
    assert str(Fault(code="c", message="m", file="f")) == "f: m"
    assert str(Fault(code="c", message="m", line=2, column=3)) == "document:2:3: m"
    assert str(Fault(code="c", message="m", file="f", line=2, column=3, key="apps.x")) == "f:2:3: m (apps.x)"


def test_a_configuration_error_lists_every_fault():
    """The first is the text, the others are counted, all are kept."""
    faults = [Fault(code="one", message="m1", hint="h"), Fault(code="two", message="m2")]
    error = ConfigurationError(faults)
    assert error.faults == tuple(faults)
    assert (error.code, error.hint, str(error)) == ("one", "h", "m1 (and 1 more)")
    assert str(ConfigurationError(faults[:1])) == "m1"


def test_a_configuration_error_without_a_fault_is_a_bug():
    """The constructor refuses it."""
    with pytest.raises(ValueError, match="at least one"):
        ConfigurationError([])
