"""policy.app_limits: how long an application's exchanges may be silent, and how large header fields may be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.core.errors import ConfigurationError
from doorward.policy.analysis import diff_documents
from doorward.policy.app_limits import DEFAULT_APP_LIMITS, AppLimits
from doorward.policy.document import parse_document, render_document

APP = """\
trust_domain: corp.example
apps:
  chat:
    hosts: [chat.corp.example]
    upstream: http://127.0.0.1:9000
"""


@pytest.mark.parametrize(
    ("text", "app_limits"),
    [
        ("timeouts: {idle: 90s}", AppLimits(idle=timedelta(seconds=90))),
        ("timeouts: {idle: 10m}", AppLimits(idle=timedelta(minutes=10))),
        ("timeouts: {idle: 24h}", AppLimits(idle=timedelta(hours=24))),
        ("timeouts: {idle: 3600s}", DEFAULT_APP_LIMITS),
        ("limits: {headers: 100}", AppLimits(headers=100)),
        ("limits: {header_kilobytes: 128}", AppLimits(header_kilobytes=128)),
        ("limits: {headers: 2048, header_kilobytes: 256}", AppLimits(headers=2048, header_kilobytes=256)),
    ],
)
def test_an_application_says_what_it_needs(text: str, app_limits: AppLimits) -> None:
    """The canonical document parses back, and a comparison shows each changed limit."""
    before, document = parse_document(APP), parse_document(f"{APP}    {text}\n")
    assert document.apps[0].app_limits == app_limits
    assert parse_document(render_document(document)) == document
    changes = [str(one) for one in diff_documents(before, document)]
    assert bool(changes) is (app_limits != DEFAULT_APP_LIMITS)
    assert all(text.partition(":")[0] in one for one in changes)


@pytest.mark.parametrize(
    "text",
    [
        "timeouts: {idle: 0s}",
        "timeouts: {idle: 25h}",
        "timeouts: {idle: 999999h}",
        "timeouts: {idle: 1d}",
        "timeouts: {idle: 1.5h}",
        "timeouts: {idle: []}",
        "timeouts: {answer: 1h}",
        "timeouts: 1h",
        "limits: {headers: 0}",
        "limits: {headers: 2049}",
        "limits: {headers: many}",
        "limits: {headers: []}",
        "limits: {header_kilobytes: 257}",
        "limits: {body: 1}",
    ],
)
def test_another_value_is_a_fault(text: str) -> None:
    """Every limit has a limit."""
    with pytest.raises(ConfigurationError):
        parse_document(f"{APP}    {text}\n")


@pytest.mark.parametrize(
    "values",
    [
        {"idle": timedelta()},
        {"idle": timedelta(days=2)},
        {"idle": timedelta(seconds=1.5)},
        {"headers": 0},
        {"headers": 5000},
        {"header_kilobytes": 0},
        {"header_kilobytes": 1000},
    ],
)
def test_no_value_lies_outside(values: dict[str, object]) -> None:
    """Limits out of range cannot be made."""
    with pytest.raises(ValueError, match="out of range"):
        AppLimits(**values)  # type: ignore[arg-type]
